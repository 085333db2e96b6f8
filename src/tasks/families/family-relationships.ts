/** What one person of a family is to another. */
import type { Random } from "../../lib/random.ts";
import { type Drawn, family } from "./family.ts";
import { bare, readWord } from "./readers.ts";

interface Couple {
  husband: string;
  wife: string;
  children: { name: string; sex: Sex }[];
}

type Sex = "female" | "male";

export interface FamilyRelationships {
  couples: Couple[];
  /** "What is `person` to `other`?" */
  person: string;
  other: string;
}

/** The way from the other to the person (p: to a parent, c: to a child, m: to wife or husband), and the words for its end. */
interface Relation {
  ways: string[];
  words: Record<Sex, string>;
}

const relation = (way: string, female: string, male: string): Relation => ({
  ways: way.split(" "),
  words: { female, male },
});

/** By level. */
const RELATIONS: readonly (readonly Relation[])[] = [
  [
    relation("p", "mother", "father"),
    relation("c", "daughter", "son"),
    relation("m", "wife", "husband"),
    relation("pc", "sister", "brother"),
  ],
  [
    relation("pp", "grandmother", "grandfather"),
    relation("cc", "granddaughter", "grandson"),
    relation("mp", "mother-in-law", "father-in-law"),
    relation("cm", "daughter-in-law", "son-in-law"),
  ],
  [
    relation("ppc", "aunt", "uncle"),
    relation("pcc", "niece", "nephew"),
    relation("pcm mpc", "sister-in-law", "brother-in-law"),
  ],
  [
    relation("ppcc", "cousin", "cousin"),
    relation("ppp", "great-grandmother", "great-grandfather"),
    relation("ccc", "great-granddaughter", "great-grandson"),
    relation("ppc", "aunt", "uncle"),
    relation("pcc", "niece", "nephew"),
  ],
];
const WORDS = [...new Set(RELATIONS.flat().flatMap(({ words }) => [words.female, words.male]))];

const NAMES = {
  female:
    "Alice Anna Bella Clara Diana Ella Emma Fiona Grace Hannah Ida Julia Kate Laura Lucy Maria Nora Olivia Paula Rosa Sarah Tina Vera Zoe",
  male: "Adam Ben Carl David Edgar Felix Frank George Henry Ivan Jack Kevin Leo Louis Mark Noah Oscar Paul Peter Robert Simon Thomas Victor William",
};

export const familyRelationships = family<"family-relationships", FamilyRelationships>({
  kind: "family-relationships",
  levels: [
    "parents, children, wives, husbands, sisters and brothers of one couple",
    "grandparents, grandchildren, parents-in-law and children-in-law",
    "aunts, uncles, nieces, nephews, sisters-in-law and brothers-in-law",
    "four generations: cousins, great-grandparents, great-grandchildren, and again aunts, uncles, nieces and nephews",
  ],
  example: {
    data: {
      couples: [{ husband: "Max", wife: "Eva", children: [{ name: "Tom", sex: "male" }] }],
      ...{ person: "Eva", other: "Tom" },
    },
    thought: "Tom is a son of Max and Eva. Eva is the wife, so she is his mother.",
  },
  draw,
  question: ({ couples, person, other }) =>
    `${couples.map(sentence).join(" ")} What is ${person} to ${other}? Answer with one word.`,
  content: ({ couples, person, other }) => `${couples.map(sentence).sort().join(" ")} ${person}, ${other}`,
  read: (text) => readWord(bare(text).replaceAll(" ", "-"), WORDS),
  solve({ couples, person, other }) {
    const way = shortestWay(couples, other, person);
    const sexOf = new Map<string, Sex>(
      couples.flatMap(({ husband, wife, children }) => [
        ...([
          [husband, "male"],
          [wife, "female"],
        ] as const),
        ...children.map(({ name, sex }) => [name, sex] as const),
      ]),
    );
    return RELATIONS.flat().find(({ ways }) => ways.includes(way))!.words[sexOf.get(person)!];
  },
});

function sentence({ husband, wife, children }: Couple): string {
  const each = children.map(({ name, sex }) => `a ${sex === "female" ? "daughter" : "son"} called ${name}`);
  const all =
    each.length > 1 ? `${each.slice(0, -1).join(", ")} and ${each.at(-1)}` : (each[0] ?? "no children");
  return `${husband} and his wife ${wife} have ${all}.`;
}

/** Breadth-first over the sentences. */
function shortestWay(couples: readonly Couple[], from: string, to: string): string {
  const ways = new Map([[from, ""]]);
  for (const [name, way] of ways) {
    if (name === to) return way;
    const reach = (other: string, step: string) => ways.has(other) || ways.set(other, way + step);
    for (const { husband, wife, children } of couples) {
      const names = children.map((child) => child.name);
      if (names.includes(name)) for (const parent of [husband, wife]) reach(parent, "p");
      if (name !== husband && name !== wife) continue;
      reach(name === husband ? wife : husband, "m");
      for (const child of names) reach(child, "c");
    }
  }
  throw new Error(`${to} is no relative of ${from}`);
}

interface Person {
  name: string;
  sex: Sex;
  parents: Person[];
  children: Person[];
  spouse: Person | null;
}

/** The generator grows a family tree, and then looks for two people whose relation it has chosen. */
function draw(random: Random, level: number): Drawn<FamilyRelationships> | null {
  const names = {
    female: random.shuffle(NAMES.female.split(" ")),
    male: random.shuffle(NAMES.male.split(" ")),
  };
  const people: Person[] = [];
  const born = (sex: Sex, parents: Person[]): Person => {
    const person: Person = { name: names[sex].pop()!, sex, parents, children: [], spouse: null };
    people.push(person);
    return person;
  };
  const generations = [1, 2, 2, 3][level - 1]!;
  const marry = (person: Person, depth: number): void => {
    const spouse = born(person.sex === "female" ? "male" : "female", []);
    [person.spouse, spouse.spouse] = [spouse, person];
    const count = depth === generations ? random.integer(2, 3) : random.integer(depth === 1 ? 0 : 1, 2);
    const children = Array.from({ length: depth === 0 ? 0 : count }, () =>
      born(random.pick(["female", "male"] as const), [person, spouse]),
    );
    [person.children, spouse.children] = [children, children];
    children.forEach((child, i) => {
      if (depth > 1 && (i < 2 || random.integer(0, 2) === 0)) marry(child, depth - 1);
    });
  };
  marry(born("male", []), generations);

  const { ways, words } = random.pick(RELATIONS[level - 1]!);
  const pairs = people.flatMap((other) =>
    ways.flatMap((way) => follow(other, way).map((person) => ({ person, other }))),
  );
  if (pairs.length === 0) return null;
  const { person, other } = random.pick(pairs);
  const husbands = people.filter(({ sex, spouse }) => sex === "male" && spouse !== null);
  const couples = random.shuffle(husbands).map(({ name, spouse, children }) => ({
    ...{ husband: name, wife: spouse!.name },
    children: children.map((child) => ({ name: child.name, sex: child.sex })),
  }));
  return { data: { couples, person: person.name, other: other.name }, answer: words[person.sex] };
}

/** The people at the ends of a way that comes to nobody twice. */
function follow(start: Person, way: string): Person[] {
  let ends: Person[][] = [[start]];
  for (const step of way)
    ends = ends.flatMap((passed) => {
      const { parents, children, spouse } = passed.at(-1)!;
      const next = step === "p" ? parents : step === "c" ? children : spouse === null ? [] : [spouse];
      return next.filter((person) => !passed.includes(person)).map((person) => [...passed, person]);
    });
  return [...new Set(ends.map((passed) => passed.at(-1)!))];
}
