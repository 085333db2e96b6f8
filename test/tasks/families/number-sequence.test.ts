import { expect, it } from "vitest";
import { type NumberSequence, numberSequence } from "../../../src/tasks/families/number-sequence.ts";
import { testFamily } from "./family-tests.ts";

const differences = (terms: number[]) => terms.slice(1).map((term, i) => term - terms[i]!);
const constant = (terms: number[]) => terms.every((term) => term === terms[0]);
const every = (terms: number[], step: number, from: number) => terms.filter((_, i) => i % step === from);

/** The rules as a person would test them: whether the terms, the last one included, follow one. */
const RULES: ((terms: number[]) => boolean)[] = [
  ...[1, 2, 3].map((depth) => (terms: number[]) => {
    let all = terms;
    for (let i = 0; i < depth; i++) all = differences(all);
    return constant(all);
  }),
  (terms) =>
    [-2, 2, 3].some((factor) => constant(terms.slice(1).map((term, i) => term - factor * terms[i]!))),
  (terms) => constant(terms.slice(2).map((term, i) => term - terms[i]! - terms[i + 1]!)),
  (terms) => [0, 1].every((from) => constant(differences(every(terms, 2, from)))),
  (terms) => {
    const steps = differences(terms);
    return (
      constant(every(steps, 2, 0)) &&
      [2, 3].some((factor) =>
        every(terms, 2, 1)
          .slice(0, every(terms, 2, 0).length - 1)
          .every((term, i) => every(terms, 2, 0)[i + 1] === factor * term),
      )
    );
  },
];

function right(question: string, answer: string): boolean {
  const terms = /next: ([-\d, ]+), \.\.\./.exec(question)![1]!.split(", ").map(Number);
  return /^-?\d+$/.test(answer) && RULES.some((rule) => rule([...terms, Number(answer)]));
}

/** The order of the shortest linear recurrence: the rank of the Hankel matrix, here modulo a prime. */
function order(terms: number[]): number {
  const prime = 1_000_003n;
  const size = Math.ceil(terms.length / 2);
  const rows = Array.from({ length: size }, (_, i) =>
    Array.from({ length: size }, (_, j) => ((BigInt(terms[i + j]!) % prime) + prime) % prime),
  );
  const power = (value: bigint, exponent: bigint): bigint =>
    exponent === 0n
      ? 1n
      : (power((value * value) % prime, exponent / 2n) * (exponent % 2n ? value : 1n)) % prime;
  let rank = 0;
  for (let column = 0; column < size; column++) {
    const pivot = rows.findIndex((row, i) => i >= rank && row[column] !== 0n);
    if (pivot === -1) continue;
    [rows[rank], rows[pivot]] = [rows[pivot]!, rows[rank]!];
    const [top] = rows.slice(rank, ++rank) as [bigint[]];
    for (const row of rows.slice(rank)) {
      const factor = (row[column]! * power(top[column]!, prime - 2n)) % prime;
      for (let j = 0; j < size; j++) row[j] = (((row[j]! - factor * top[j]!) % prime) + prime) % prime;
    }
  }
  return rank;
}

testFamily<NumberSequence>({
  kind: "number-sequence",
  levels: 4,
  isRight: right,
  measure: ({ data, answer }) => order([...data.terms, Number(answer)]),
  distinct: [956, 961, 993, 976],
  others: ({ answer, data }) =>
    [1, -1, 10].map((more) => String(Number(answer) + more)).concat(`${1_000_000 + data.terms[0]!}`),
  equal: (answer) => [`${answer}.`, `**${answer}**`, `$${answer}$`, `${answer}.0`],
  refused: (answer) => [
    ...[
      `${answer}, ${answer}`,
      `${answer}/1`,
      `${answer}.5`,
      `x = ${answer}`,
      `${answer} + 0`,
      `--${answer}`,
      "٤٢",
      "⁴²",
      "NaN",
      "Infinity",
    ],
  ],
});

const solve = (terms: number[]) =>
  numberSequence.make(numberSequence.options.parse({ kind: "number-sequence" })).solve!({
    id: "",
    prompt: "",
    level: 1,
    answer: "",
    data: { terms },
  });

// Worked out by hand; those of the last lines are well known.
it.each([
  [[2, 5, 8, 11, 14], "17"],
  [[-1, -1, -1, -1], "-1"],
  [[0, 0, 0, 0], "0"],
  [[3, 1, -1, -3, -5], "-7"],
  [[1, 4, 9, 16, 25, 36], "49"],
  [[1, 2, 4, 8, 16, 32], "64"],
  [[1, -2, 4, -8, 16, -32], "64"],
  [[0, 1, 3, 7, 15, 31], "63"],
  [[1, 10, 2, 9, 3, 8, 4, 7], "5"],
  [[1, 3, 6, 8, 16, 18, 36, 38], "76"],
  [[0, 1, 8, 27, 64, 125, 216, 343], "512"],
  [[1, 1, 2, 3, 5, 8, 13, 21], "34"],
  [[0, 0, 0, 1, 4, 10, 20, 35], "56"],
])("%j goes on with %s", (terms, next) => {
  expect(solve(terms)).toBe(next);
});
