/** Countdown problems with a known solution: random operations join all the numbers into the target. */
import type { Random } from "../lib/random.ts";

export type Operator = "+" | "-" | "*" | "/";
export const OPERATORS: readonly Operator[] = ["+", "-", "*", "/"];

export interface Step {
  left: number;
  op: Operator;
  right: number;
  result: number;
}

/** A problem before it is given an id and a prompt. */
export interface Draw {
  numbers: number[];
  target: number;
  /** An expression of all the numbers, with results in parentheses: "(82-27)-11". */
  solution: string;
  /** The same, one operation after the other. */
  steps: Step[];
}

export interface DrawOptions {
  /** How many numbers: one of these, all equally likely. */
  numbers: number[];
  numberRange: [number, number];
  targetRange: [number, number];
  /** No intermediate result is larger. */
  maxResult: number;
}

/** The value of `left op right` if it is whole, not negative and at most `maxResult`; else `null`. */
export function validResult(left: number, op: Operator, right: number, maxResult: number): number | null {
  const results = { "+": left + right, "-": left - right, "*": left * right, "/": left / right };
  return Number.isInteger(results[op]) && results[op] >= 0 && results[op] <= maxResult ? results[op] : null;
}

/** The valid operations on two numbers in this order: two to four steps, "+" to "/". */
export function operations(left: number, right: number, maxResult: number): Step[] {
  return OPERATORS.flatMap((op) => {
    const result = validResult(left, op, right, maxResult);
    return result === null ? [] : [{ left, op, right, result }];
  });
}

/**
 * One attempt: two of the values in random order are replaced by the result of a random valid operation,
 * until one is left. `null` where no operation was valid, or the target is out of range or a given number.
 */
export function drawCountdown(random: Random, options: DrawOptions): Draw | null {
  const count = random.pick(options.numbers);
  const numbers = Array.from({ length: count }, () => random.integer(...options.numberRange));
  const pool = numbers.map((value) => ({ value, text: String(value), operand: String(value) }));
  const steps: Step[] = [];
  while (pool.length > 1) {
    const [left] = pool.splice(random.integer(0, pool.length - 1), 1);
    const [right] = pool.splice(random.integer(0, pool.length - 1), 1);
    const valid = operations(left!.value, right!.value, options.maxResult);
    if (valid.length === 0) return null;
    const step = random.pick(valid);
    const text = left!.operand + step.op + right!.operand;
    steps.push(step);
    pool.push({ value: step.result, text, operand: `(${text})` });
  }
  const { value: target, text: solution } = pool[0]!;
  const [low, high] = options.targetRange;
  if (target < low || target > high || numbers.includes(target)) return null;
  return { numbers, target, solution, steps };
}
