/** A Countdown problem that a person types, such as "82 27 11 = 44". */
import { UserError } from "../lib/errors.ts";
import { SOLVE_LIMIT } from "./countdown-solve.ts";

export interface CountdownInput {
  numbers: number[];
  target: number;
}

/** Limits of a person's problem, which may exceed those of the training problems. */
const INPUT_LIMITS = {
  length: 200,
  numbers: [2, SOLVE_LIMIT],
  number: [1, 100],
  target: [1, 999],
} as const;

/** Separates numbers and target, also in the prompt's own spelling. */
export const SEPARATOR = /(?:=>|->|=|→|:|\bmakes?\b|\bto\b)/i;

/**
 * Numbers (separated by blanks, commas, semicolons or "and"), then "=", "->", "make", "to" or ":", then
 * the target. @throws UserError that says what is missing, with an example
 */
export function parseCountdown(input: string): CountdownInput {
  const { length, numbers: count, number: range, target: targetRange } = INPUT_LIMITS;
  const fail = (found: string, expected: string) =>
    new UserError({
      kind: "input",
      what: `${found} Expected: ${expected}, such as "82 27 11 = 44".`,
      ...{ found, expected, data: { input: input.slice(0, length) } },
    });
  const shape = "some numbers, then =, then the target";
  if (input.length > length) throw fail(`That is longer than ${length} characters.`, shape);
  const sides = input.trim().split(SEPARATOR);
  if (sides.length !== 2) {
    const found =
      sides.length === 1 ? "There is no = before a target." : "There is more than one = or target.";
    throw fail(found, shape);
  }
  const words = (side: string) => side.split(/[\s,;]+|\band\b/i).filter((word) => word !== "");
  const [left, right] = [words(sides[0]!), words(sides[1]!)];
  const odd = [...left, ...right].find((word) => !/^\d{1,9}$/.test(word));
  if (odd !== undefined) throw fail(`"${odd}" is not a whole number.`, "whole numbers in plain digits");
  if (right.length !== 1) throw fail(`There are ${right.length} targets.`, "one target after the =");
  const numbers = left.map(Number);
  const target = Number(right[0]);
  if (numbers.length < count[0] || numbers.length > count[1]) {
    throw fail(`There are ${numbers.length} numbers.`, `${count[0]} to ${count[1]} numbers`);
  }
  const far = numbers.find((number) => number < range[0] || number > range[1]);
  if (far !== undefined) throw fail(`${far} is out of range.`, `numbers from ${range[0]} to ${range[1]}`);
  if (target < targetRange[0] || target > targetRange[1]) {
    throw fail(
      `The target ${target} is out of range.`,
      `a target from ${targetRange[0]} to ${targetRange[1]}`,
    );
  }
  return { numbers, target };
}
