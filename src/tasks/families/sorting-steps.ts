/** The list after each of the first passes of bubble sort, selection sort or insertion sort. */
import type { Random } from "../../lib/random.ts";
import { type Drawn, family, type Reading } from "./family.ts";
import { bare } from "./readers.ts";

const RULES = {
  bubble: "Each pass goes through the list from left to right and swaps two neighbors that are out of order.",
  selection: "Pass k swaps the smallest number from position k on with the number at position k.",
  insertion: "Pass k moves the number at position k + 1 left to its place among the k numbers before it.",
};
type Algorithm = keyof typeof RULES;
const ALGORITHMS: readonly Algorithm[] = ["bubble", "selection", "insertion"];

export interface SortingSteps {
  algorithm: Algorithm;
  /** All different. */
  list: number[];
  passes: number;
}

const LEVELS: readonly { numbers: number; passes: number; algorithms: readonly Algorithm[] }[] = [
  { numbers: 4, passes: 1, algorithms: ["bubble"] },
  { numbers: 5, passes: 2, algorithms: ALGORITHMS },
  { numbers: 6, passes: 3, algorithms: ALGORITHMS },
  { numbers: 8, passes: 4, algorithms: ALGORITHMS },
];
const LARGEST = 99;

export const sortingSteps = family<"sorting-steps", SortingSteps>({
  kind: "sorting-steps",
  levels: LEVELS.map(
    ({ numbers, passes, algorithms }) =>
      `${numbers} numbers, ${passes === 1 ? "the first pass" : `${passes} passes`} of ${algorithms.join(", ").replace(/, (?=\w+$)/, " or ")} sort`,
  ),
  example: {
    data: { algorithm: "bubble", list: [4, 3, 1], passes: 2 },
    thought: "Pass 1: 4 and 3 swap, 4 and 1 swap. Pass 2: 3 and 1 swap.",
  },
  draw,
  question: ({ algorithm, list, passes }) =>
    `Sort ${list.join(" ")} by ${algorithm} sort, the smallest number first. ${RULES[algorithm]} ${passes === 1 ? "Answer with the list after the first pass." : `Answer with the list after each of the first ${passes} passes, a semicolon between two lists.`}`,
  read,
  solve({ algorithm, list, passes }) {
    const after = { bubble: bubbled, selection: selected, insertion: inserted }[algorithm];
    return show(Array.from({ length: passes }, (_, i) => after(list, i + 1)));
  },
});

const show = (lists: readonly (readonly number[])[]): string =>
  lists.map((list) => list.join(" ")).join("; ");

/** Each pass moves a number that a larger one precedes one place to the left, behind fewer larger ones. */
function bubbled(list: readonly number[], passes: number): number[] {
  const larger = list.map((number, i) =>
    Math.max(0, list.slice(0, i).filter((other) => other > number).length - passes),
  );
  // The numbers of larger ones before each number, in the order of the numbers, say where each is.
  const places = [...larger.keys()].sort((a, b) => list[b]! - list[a]!);
  return places.reduce<number[]>((made, i) => made.toSpliced(larger[i]!, 0, list[i]!), []);
}

/** After k passes the k smallest are in front; what was there went where they came from. */
function selected(list: readonly number[], passes: number): number[] {
  const sorted = list.toSorted((a, b) => a - b);
  return sorted.slice(0, passes).reduce<number[]>(
    (made, smallest, to) => {
      const from = made.indexOf(smallest);
      return made.with(from, made[to]!).with(to, smallest);
    },
    [...list],
  );
}

function inserted(list: readonly number[], passes: number): number[] {
  return [...list.slice(0, passes + 1).sort((a, b) => a - b), ...list.slice(passes + 1)];
}

/** One pass on the list itself, comparison by comparison; `k` counts passes from 1. */
const PASS: Record<Algorithm, (list: number[], k: number) => void> = {
  bubble(list) {
    for (let i = 1; i < list.length; i++) if (list[i - 1]! > list[i]!) swap(list, i - 1, i);
  },
  selection(list, k) {
    let least = k - 1;
    for (let i = k; i < list.length; i++) if (list[i]! < list[least]!) least = i;
    swap(list, k - 1, least);
  },
  insertion(list, k) {
    for (let i = k; i > 0 && list[i - 1]! > list[i]!; i--) swap(list, i - 1, i);
  },
};

function swap(list: number[], i: number, j: number): void {
  [list[i], list[j]] = [list[j]!, list[i]!];
}

/** `null` where a pass changes nothing, which a guess would find. */
function draw(random: Random, level: number): Drawn<SortingSteps> | null {
  const { numbers, passes, algorithms } = LEVELS[level - 1]!;
  const algorithm = random.pick(algorithms);
  const drawn = new Set<number>();
  while (drawn.size < numbers) drawn.add(random.integer(1, LARGEST));
  const list = [...drawn];
  const lists = [list];
  for (let k = 1; k <= passes; k++) {
    const next = [...lists.at(-1)!];
    PASS[algorithm](next, k);
    if (next.every((number, i) => number === lists.at(-1)![i])) return null;
    lists.push(next);
  }
  return { data: { algorithm, list, passes }, answer: show(lists.slice(1)) };
}

/** As many lists as passes, each with all the numbers: semicolons or line breaks between lists, blanks or commas in them. */
function read(text: string, { list, passes }: SortingSteps): Reading {
  const lists = bare(text)
    .split(/[;\n]/)
    .map((part) => part.split(/[ \t\r,]+/).filter((word) => word !== ""))
    .filter((words) => words.length > 0);
  if (lists.length !== passes) return { ok: false, reason: `${lists.length} lists, not ${passes}` };
  const given = list.toSorted((a, b) => a - b).join();
  const sorted = (words: string[]) => words.toSorted((a, b) => Number(a) - Number(b)).join();
  return lists.every((words) => sorted(words) === given)
    ? { ok: true, canonical: lists.map((words) => words.join(" ")).join("; ") }
    : { ok: false, reason: "not lists of these numbers" };
}
