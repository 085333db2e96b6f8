/** Example problems. test/web/examples.slow.test.ts tests how often the shipped model solves them. */
import { SEPARATOR } from "../tasks/countdown-input.ts";

export interface Example {
  numbers: string;
  target: string;
  /** The model mostly fails, and the page says so. */
  hard?: boolean;
}

export const EXAMPLES: readonly [Example, ...Example[]] = [
  { numbers: "82, 27, 11", target: "44" },
  { numbers: "88, 40, 9", target: "57" },
  { numbers: "17, 19, 21", target: "57" },
  { numbers: "12, 30, 5", target: "90", hard: true },
];

/** Reads the two fields; the first may contain the target too, as in the terminal. */
export function readFields(numbers: string, target: string): Omit<Example, "hard"> {
  const [some, ...rest] = numbers.split(SEPARATOR);
  const own = rest.join("=").trim();
  return { numbers: some!.trim().replace(/,$/, ""), target: own === "" ? target.trim() : own };
}
