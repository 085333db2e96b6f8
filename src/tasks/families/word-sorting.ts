/** Words in alphabetical order, or in the reverse of it. */
import type { Random } from "../../lib/random.ts";
import { type Drawn, family } from "./family.ts";
import { readWords } from "./readers.ts";

export interface WordSorting {
  words: string[];
  reverse: boolean;
}

/** Words of a line begin alike. */
const GROUPS = `
  able about above absent absorb abstract accept accident account
  back bacon badge bag bake balance ball balloon bamboo banana band bank
  care cargo carpet carriage carrot carry cart carton carve
  comb combat combine come comfort comic command comment common company compare complete
  dance danger dare dark dash data date daughter dawn day
  fabric face fact factor factory fade fair faith fall false
  garage garden garlic gas gate gather
  hand handle hang happen happy harbor hard harm harvest
  inside insect insert inspect install instance instant instead
  lab label labor lace lack ladder lake lamp land language
  main maintain major make male mall man manage map maple march
  over overall overcome overlap overlook oversee overtake
  past pasta paste pastry pasture path patch patient patrol pattern
  prefer prepare present preserve press pretty prevent price pride prince print
  rabbit race radar radio rail rain raise ranch random range
  stable stack staff stage stair stamp stand standard star start state station statue stay
  table tackle tail take tale talent talk tall tank tape
  transfer transform transit translate transmit transport
  under undergo underline understand undertake
  wagon wait wake walk wall wander want warm warn wash
`
  .trim()
  .split("\n")
  .map((line) => line.trim().split(" ").sort());
const WORDS = GROUPS.flat().sort();

export const wordSorting = family<"word-sorting", WordSorting>({
  kind: "word-sorting",
  levels: [
    "3 or 4 words that begin with different letters",
    "5 or 6 words, also in reverse order",
    "8 to 10 words",
    "10 to 12 words of which many begin alike",
  ],
  example: {
    data: { words: ["moon", "apple", "river"], reverse: false },
    thought: "apple begins with a, moon with m, river with r.",
  },
  draw,
  question: ({ words, reverse }) =>
    `Sort these words in ${reverse ? "reverse " : ""}alphabetical order: ${words.join(", ")}. Answer with the words and commas between them.`,
  content: ({ words, reverse }) => JSON.stringify([words.toSorted(), reverse]),
  read: readWords,
  solve({ words, reverse }) {
    const sorted: string[] = [];
    for (const word of words) {
      const place = sorted.findIndex((other) => comesFirst(word, other) !== reverse);
      sorted.splice(place === -1 ? sorted.length : place, 0, word);
    }
    return sorted.join(", ");
  },
});

/** Letter by letter; a word comes before those that go on after it. */
function comesFirst(word: string, other: string): boolean {
  for (let i = 0; i < word.length && i < other.length; i++)
    if (word[i] !== other[i]) return word.charCodeAt(i) < other.charCodeAt(i);
  return word.length < other.length;
}

/** The generator draws from sorted words and puts them out of order. */
function draw(random: Random, level: number): Drawn<WordSorting> | null {
  const low = [3, 5, 8, 10][level - 1]!;
  const count = random.integer(low, low + (level > 2 ? 2 : 1));
  const from =
    level === 4
      ? random
          .shuffle([...GROUPS])
          .slice(0, 2)
          .flat()
      : WORDS;
  const chosen = new Set(random.shuffle([...from]).slice(0, count));
  const sorted = WORDS.filter((word) => chosen.has(word));
  if (sorted.length < count) return null;
  if (level === 1 && new Set(sorted.map((word) => word[0])).size < count) return null;
  const reverse = level > 1 && random.integer(0, 1) === 1;
  if (reverse) sorted.reverse();
  const answer = sorted.join(", ");
  const words = random.shuffle(sorted);
  return words.join(", ") === answer ? null : { data: { words, reverse }, answer };
}
