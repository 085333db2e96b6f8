/** Sums, differences and products of numbers with several digits; "*" binds before "+" and "-". */
import type { Fraction } from "fraction.js";
import { z } from "zod";
import type { Random } from "../lib/random.ts";
import { expression } from "./expression.ts";
import { verifyNumber } from "./number-answer.ts";
import type { Problem, Task } from "./problem.ts";
import { chatPromptTemplate, wordPrompt } from "./prompt.ts";
import { drawInSplit, problemId } from "./stream.ts";
import { equationSteps } from "./thought-equations.ts";
import { checkBlock, verifyAgainst } from "./verdict.ts";

const sizes = (low: number, high: number, usual: number) =>
  z.array(z.int().min(low).max(high)).min(1).default([usual]);

/** Difficulty is the number of digits and of terms. Of several choices all are equally likely. */
export const arithmeticOptions = z.strictObject({
  kind: z.literal("arithmetic"),
  digits: sizes(1, 12, 2).describe("Digits of each number, drawn anew for each."),
  terms: sizes(2, 6, 2).describe("Numbers in the chain."),
  operations: z
    .array(z.enum(["+", "-", "*"]))
    .min(1)
    .default(["+", "-"])
    .describe("Operators, drawn evenly."),
  template: chatPromptTemplate,
});

export type ArithmeticOptions = z.infer<typeof arithmeticOptions>;

export interface ArithmeticProblem extends Problem {
  /** "23 + 45 * 2" */
  expression: string;
  /** The right answer in digits, "113", "-4". */
  answer: string;
}

export function arithmetic(options: ArithmeticOptions): Task<ArithmeticProblem> {
  return {
    ...equationSteps,
    name: "arithmetic",
    generate(key) {
      const chain = drawInSplit(
        "arithmetic",
        key,
        (random) => draw(random, options),
        (chain) => canonical(show(chain)),
      );
      const text = show(chain);
      return {
        id: problemId("arithmetic", key),
        ...wordPrompt(`What is ${text}?`, options.template),
        expression: text,
        answer: valueFrom(text).toFraction(),
      };
    },
    content: (problem) => canonical(problem.expression),
    verify: (problem, completion) =>
      options.template === "chat"
        ? verifyNumber(completion, problem.answer, options.template)
        : verifyAgainst(problem.answer, completion, checkBlock),
  };
}

interface Chain {
  numbers: number[];
  /** One fewer: `operators[i]` precedes `numbers[i + 1]`. */
  operators: string[];
}

function draw(random: Random, options: ArithmeticOptions): Chain {
  const terms = random.pick(options.terms);
  const numbers = Array.from({ length: terms }, () => {
    const digits = random.pick(options.digits);
    return random.integer(10 ** (digits - 1), 10 ** digits - 1);
  });
  const operators = Array.from({ length: terms - 1 }, () => random.pick(options.operations));
  return { numbers, operators };
}

function show({ numbers, operators }: Chain): string {
  return numbers.map((number, i) => (i === 0 ? `${number}` : `${operators[i - 1]} ${number}`)).join(" ");
}

/** The same for chains that differ only in the order of summands or factors: 2 + 3 is 3 + 2. */
function canonical(text: string): string {
  const summands = text
    .replaceAll("- ", "+ -")
    .split(" + ")
    .map((summand) => {
      const sign = summand.startsWith("-") ? "-" : "+";
      return sign + summand.replace("-", "").split(" * ").sort().join("*");
    });
  return summands.sort().join("");
}

function valueFrom(text: string): Fraction {
  const parsed = expression(text);
  if (!parsed.ok) throw new Error(`The generated expression ${text} has no value: ${parsed.reason}`);
  return parsed.value;
}
