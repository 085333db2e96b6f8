/** Linear equations in x with whole coefficients and one exact solution. */
import { Fraction } from "fraction.js";
import { z } from "zod";
import type { Random } from "../lib/random.ts";
import { levelsOf, targetDifficulty } from "./curriculum.ts";
import { verifyNumber } from "./number-answer.ts";
import type { Problem, Task } from "./problem.ts";
import { chatPromptTemplate, wordPrompt } from "./prompt.ts";
import { drawInSplit, problemId } from "./stream.ts";
import { equationSteps } from "./thought-equations.ts";
import { checkBlock, verifyAgainst } from "./verdict.ts";

const LEVELS = 3;

export const equationsOptions = z.strictObject({
  kind: z.literal("equations"),
  difficulty: z
    .union([z.array(z.int().min(1).max(LEVELS)).min(1), targetDifficulty])
    .default([1])
    .describe("1: ax + b = c with a whole solution; 2: x on both sides, free signs; 3: also fractions."),
  size: z
    .int()
    .min(3)
    .max(1_000_000)
    .default(12)
    .describe("Largest coefficient; constants and whole solutions go up to it too, or follow from them."),
  template: chatPromptTemplate
    .default("plain")
    .describe("`plain`: the question alone; `r1`: R1-Zero's template; `chat`: the model's chat template."),
});

export type EquationsOptions = z.infer<typeof equationsOptions>;

export interface EquationsProblem extends Problem {
  /** "3*x + 5 = 20" */
  equation: string;
  /** The solution, "5" or "-7/2". */
  answer: string;
}

export function equationsTask(options: EquationsOptions): Task<EquationsProblem> {
  const { levels, curriculum } = levelsOf(options.difficulty, LEVELS);
  return {
    ...equationSteps,
    name: "equations",
    curriculum,
    generate(key) {
      const drawn = drawInSplit(
        "equations",
        key,
        (random) => draw(random, key.level ?? random.pick(levels), options.size),
        (sides) => canonical(sides.map(show)),
      );
      const equation = drawn.map(show).join(" = ");
      return {
        id: problemId("equations", key),
        ...wordPrompt(`Solve ${equation} for x.`, options.template),
        equation,
        answer: solution(drawn).toFraction(),
      };
    },
    content: ({ equation }) => canonical(equation.split(" = ")),
    verify: (problem, completion) => {
      if (options.template === "chat") return verifyNumber(completion, problem.answer, options.template);
      return verifyAgainst(problem.answer, completion, (found, right) => {
        const { answer } = found;
        const named = answer === null ? found : { ...found, answer: withoutName(answer) };
        return { ...checkBlock(named, right), extracted: answer ?? found.shown };
      });
    },
  };
}

/** a*x + b */
interface Line {
  a: number;
  b: number;
}

type Equation = [Line, Line];

function draw(random: Random, difficulty: number, size: number): Equation | null {
  const signed = () => random.integer(-size, size);
  if (difficulty === 1) {
    const [a, b, x] = [random.integer(2, size), signed(), signed()];
    return [
      { a, b },
      { a: 0, b: a * x + b },
    ];
  }
  const left = { a: signed(), b: signed() };
  const a = signed();
  if (left.a === 0 || a === 0 || left.a === a) return null;
  if (difficulty === 3) return [left, { a, b: signed() }];
  const x = signed();
  return [left, { a, b: left.a * x + left.b - a * x }];
}

function solution([left, right]: Equation): Fraction {
  return new Fraction(BigInt(right.b - left.b), BigInt(left.a - right.a));
}

/** Equal for equations with swapped sides. */
function canonical(sides: readonly string[]): string {
  return sides.toSorted().join(" = ");
}

function show({ a, b }: Line): string {
  if (a === 0) return String(b);
  const term = a === 1 ? "x" : a === -1 ? "-x" : `${a}*x`;
  return b === 0 ? term : `${term} ${b < 0 ? "-" : "+"} ${Math.abs(b)}`;
}

/** An answer may name the unknown: "x = 5" is 5. Only this one name, only once, only in front. */
function withoutName(answer: string): string {
  return /^x[ \t]*=/.test(answer) ? answer.slice(answer.indexOf("=") + 1) : answer;
}
