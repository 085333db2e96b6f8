/**
 * The next number of a sequence. Every rule here is a linear recurrence of order 4 or less, and at least twice as many terms
 * are shown as its order: then one shortest recurrence fits the terms (Massey 1969), so the answer is the only one.
 */
import type { Random } from "../../lib/random.ts";
import { type Drawn, family } from "./family.ts";
import { readWhole } from "./readers.ts";

export interface NumberSequence {
  terms: number[];
}

/** Absolute value of the largest term, the answer included. */
const LARGEST = 9999;

export const numberSequence = family<"number-sequence", NumberSequence>({
  kind: "number-sequence",
  levels: [
    "a number is added each time",
    "the differences grow evenly, or each term is a multiple of the one before plus a number",
    "each term is the sum of the two before plus a number, or the differences of the differences grow evenly",
    "two sequences take turns, or adding and multiplying do",
  ],
  example: { data: { terms: [4, 7, 10, 13, 16] }, thought: "3 is added each time. 16 + 3 = 19" },
  draw,
  question: ({ terms }) => `Which number comes next: ${terms.join(", ")}, ...? Answer with the number.`,
  read: readWhole,
  solve: ({ terms }) => String(continued(terms)),
});

function draw(random: Random, level: number): Drawn<NumberSequence> | null {
  const upTo = (limit: number) => random.integer(-limit, limit);
  const notZero = (limit: number) => random.integer(1, limit) * random.pick([1, -1]);
  const count = [5, 6, 8, 8][level - 1]!;
  const all = RULES[level - 1]![random.integer(0, 1)]!(upTo, notZero, count + 1);
  if (all.some((term) => Math.abs(term) > LARGEST) || new Set(all).size < count / 2) return null;
  return { data: { terms: all.slice(0, -1) }, answer: String(all.at(-1)) };
}

type Limited = (limit: number) => number;
/** The terms of a sequence. */
type Rule = (upTo: Limited, notZero: Limited, count: number) => number[];

/** Each term from those before it. */
function terms(first: number[], count: number, next: (before: number[]) => number): number[] {
  const all = [...first];
  while (all.length < count) all.push(next(all));
  return all;
}

/** `start`, then each term more by the next of the steps. */
const sums = (start: number, steps: readonly number[]) =>
  terms([start], steps.length + 1, (all) => all.at(-1)! + steps[all.length - 1]!);

const progression: Rule = (upTo, notZero, count) => {
  const [start, step] = [upTo(99), notZero(30)];
  return terms([start], count, (all) => all.at(-1)! + step);
};

const growing: Rule = (upTo, notZero, count) => {
  const [start, first, step] = [upTo(20), upTo(10), notZero(6)];
  return sums(
    start,
    terms([first], count - 1, (all) => all.at(-1)! + step),
  );
};

const multiplied: Rule = (upTo, notZero, count) => {
  const [start, factor, plus] = [notZero(20), [-2, 2, 3][upTo(1) + 1]!, upTo(30)];
  return terms([start], count, (all) => all.at(-1)! * factor + plus);
};

const twoBefore: Rule = (upTo, notZero, count) => {
  const [first, second, plus] = [upTo(20), notZero(20), upTo(9)];
  return terms([first, second], count, (all) => all.at(-1)! + all.at(-2)! + plus);
};

const twiceGrowing: Rule = (upTo, notZero, count) => sums(upTo(9), growing(upTo, notZero, count - 1));

const takingTurns: Rule = (upTo, notZero, count) => {
  const [first, second, a, b] = [upTo(30), upTo(30), notZero(9), notZero(9)];
  return terms([first, second], count, (all) => all.at(-2)! + (all.length % 2 === 0 ? a : b));
};

const adding: Rule = (upTo, notZero, count) => {
  const [start, plus, factor] = [upTo(50), notZero(20), upTo(1) === 0 ? 3 : 2];
  return terms([start], count, (all) => (all.length % 2 === 1 ? all.at(-1)! + plus : all.at(-1)! * factor));
};

/** Two rules of each level. */
const RULES: readonly (readonly [Rule, Rule])[] = [
  [progression, progression],
  [growing, multiplied],
  [twoBefore, twiceGrowing],
  [takingTurns, adding],
];

/** A prime, so that the recurrence can be found in whole numbers; far above any term. */
const PRIME = 2n ** 61n - 1n;

/** The next term by the shortest linear recurrence, which the Berlekamp-Massey algorithm finds. */
function continued(shown: readonly number[]): bigint {
  const all = shown.map((term) => rest(BigInt(term)));
  let [found, before] = [[1n], [1n]];
  let [order, shift, error] = [0, 1, 1n];
  for (let at = 0; at < all.length; at++) {
    const wrongBy = rest(found.reduce((sum, factor, i) => sum + factor * (all[at - i] ?? 0n), 0n));
    const factor = rest(wrongBy * inverse(error));
    const length = Math.max(found.length, before.length + shift);
    const better = Array.from({ length }, (_, i) =>
      rest((found[i] ?? 0n) - factor * (before[i - shift] ?? 0n)),
    );
    if (wrongBy !== 0n && 2 * order <= at) {
      [order, before, error, shift] = [at + 1 - order, found, wrongBy, 1];
    } else shift++;
    found = better;
  }
  const next = rest(-found.slice(1).reduce((sum, factor, i) => sum + factor * (all.at(-1 - i) ?? 0n), 0n));
  return next > PRIME / 2n ? next - PRIME : next;
}

const rest = (value: bigint) => ((value % PRIME) + PRIME) % PRIME;

/** By Fermat: value^(PRIME - 2). */
function inverse(value: bigint): bigint {
  let result = 1n;
  for (let power = value, left = PRIME - 2n; left > 0n; left /= 2n, power = rest(power * power))
    if (left % 2n === 1n) result = rest(result * power);
  return result;
}
