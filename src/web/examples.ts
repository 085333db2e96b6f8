/** Problems to begin with. What the shipped model does with them is a test: 8 tries each, test/web/examples.slow.test.ts. */
import { SEPARATOR } from "../tasks/countdown-input.ts";

export interface Example {
  numbers: string;
  target: string;
  /** It mostly fails, and the page says so. */
  hard?: boolean;
}

export const EXAMPLES: readonly [Example, ...Example[]] = [
  { numbers: "82, 27, 11", target: "44" },
  { numbers: "88, 40, 9", target: "57" },
  { numbers: "17, 19, 21", target: "57" },
  { numbers: "12, 30, 5", target: "90", hard: true },
];

/** What a person typed into the two fields; numbers may come with their target, as the terminal takes them. */
export function readFields(numbers: string, target: string): Omit<Example, "hard"> {
  const [some, ...rest] = numbers.split(SEPARATOR);
  const own = rest.join("=").trim();
  return { numbers: some!.trim().replace(/,$/, ""), target: own === "" ? target.trim() : own };
}
