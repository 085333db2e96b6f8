/**
 * Countdown as in TinyZero (github.com/Jiayi-Pan/TinyZero): some numbers, each used exactly once, and
 * + - * / make the target. The answer is one expression in the grammar of `expression.ts`, without "=".
 */
import { z } from "zod";
import { Random } from "../lib/random.ts";
import { type DrawOptions, drawCountdown, type Step } from "./countdown-generate.ts";
import { parseCountdown } from "./countdown-input.ts";
import { expression } from "./expression.ts";
import type { Extraction } from "./extract.ts";
import { showNumber } from "./number.ts";
import type { Problem, StreamKey, Task, Verdict } from "./problem.ts";
import { drawInSplit, problemId } from "./stream.ts";
import { equationSteps } from "./thought-equations.ts";
import { type Finding, unparsed, unscored, verifyCompletion } from "./verdict.ts";

const range = z.tuple([z.int().min(1), z.int().max(1_000_000)]).refine(([low, high]) => low <= high, {
  error: "The first end of a range must not be above the second.",
});

export const countdownOptions = z.strictObject({
  kind: z.literal("countdown"),
  numbers: z
    .array(z.int().min(2).max(6))
    .min(1)
    .default([3])
    .describe("How many numbers; several entries are drawn evenly."),
  numberRange: range.default([1, 99]).describe("The smallest and the largest number."),
  targetRange: range.default([10, 100]).describe("The smallest and the largest target."),
  maxResult: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(200)
    .describe("Intermediate results of the known solution are whole, not negative and at most this."),
  languages: z
    .array(z.enum(["en", "bg"]))
    .min(1)
    .default(["en"])
    .describe("Of the compact form's words; several are drawn evenly. `bg` needs the bilingual vocabulary."),
  template: z
    .enum(["plain", "chat"])
    .optional()
    .describe(
      "`chat` asks in words through the model's chat template; default: a compact form for small models.",
    ),
});

export type CountdownOptions = z.infer<typeof countdownOptions>;

/** The fields that the verifier needs; a problem that a person typed has no others. */
export interface CountdownQuestion extends Problem {
  numbers: number[];
  target: number;
}

export interface CountdownProblem extends CountdownQuestion {
  /** The solution that the problem was made from, one of several perhaps: "(82-27)-11". */
  solution: string;
  steps: Step[];
}

export interface CountdownTask extends Task<CountdownProblem> {
  verify(problem: CountdownQuestion, completion: string): Verdict;
}

export function countdown(options: CountdownOptions): CountdownTask {
  return {
    ...equationSteps,
    name: "countdown",
    generate: (key) => generate(key, options),
    content,
    verify: (problem, completion) =>
      isUsable(problem)
        ? verifyCompletion(completion, (found) => check(problem, found))
        : unscored("gold not usable: numbers or target are no whole numbers"),
    // As the compact vocabulary spells it.
    solve: ({ solution }) => solution.replaceAll(/[-+*/]/g, " $& "),
  };
}

/** The words of Countdown, each a token of the compact vocabulary. */
export const COUNTDOWN_WORDS = {
  en: { make: " make ", no: ", no.\n", yes: ", yes!\n" },
  bg: { make: " правят ", no: ", не.\n", yes: ", да!\n" },
} as const;

export type CountdownLanguage = keyof typeof COUNTDOWN_WORDS;

/** The prompt, token by token the compact vocabulary's: "82, 27, 11 make 44", then the open thought. */
export function countdownPrompt(
  numbers: number[],
  target: number,
  language: CountdownLanguage = "en",
): string {
  return `${numbers.join(", ")}${COUNTDOWN_WORDS[language].make}${target}\n<think>\n`;
}

/** A person's own problem, solvable or not (see `solve`). @throws UserError */
export function parseUserProblem(text: string): CountdownQuestion {
  const { numbers, target } = parseCountdown(text);
  return { id: "countdown/user", prompt: countdownPrompt(numbers, target), numbers, target };
}

/** Equal for problems that differ in the order of the numbers. */
function content({ numbers, target }: Pick<CountdownQuestion, "numbers" | "target">): string {
  return `${numbers.toSorted((a, b) => a - b).join(" ")} = ${target}`;
}

/** For a model that knows language: the task in words, as TinyZero asks it. */
function chatMessages(numbers: number[], target: number): NonNullable<Problem["messages"]> {
  const content =
    `Using the numbers ${numbers.join(", ")}, each exactly once, write an expression with + - * / and parentheses ` +
    `that equals ${target}. Think first, then give the expression alone in <answer> </answer> tags, ` +
    "for example <answer>(1 + 2) / 3</answer>.";
  return [{ role: "user", content }];
}

function generate(
  key: StreamKey,
  options: DrawOptions & Pick<CountdownOptions, "template" | "languages">,
): CountdownProblem {
  const problem = drawInSplit("countdown", key, (random) => drawCountdown(random, options), content);
  const { numbers, target } = problem;
  const language = new Random(key.seed, "language", key.split, key.index).pick(options.languages);
  const prompt = countdownPrompt(numbers, target, language);
  const asked = { id: problemId("countdown", key), prompt, ...problem };
  return options.template === "chat" ? { ...asked, messages: chatMessages(numbers, target) } : asked;
}

/** A missing target would otherwise equal the value 0. */
function isUsable({ numbers, target }: CountdownQuestion): boolean {
  const isWhole = (number: unknown) => Number.isSafeInteger(number) && (number as number) >= 0;
  return Array.isArray(numbers) && numbers.length > 0 && [...numbers, target].every(isWhole);
}

function check(problem: CountdownQuestion, { answer, shown, reason }: Extraction): Finding {
  if (answer === null) return unparsed(shown, reason);
  const parsed = expression(answer);
  if (!parsed.ok) return unparsed(answer, parsed.reason);
  const finding = (right: boolean, reason: string, canonical = parsed.value.toFraction()): Finding => ({
    right,
    extracted: answer,
    canonical,
    reason,
  });
  const misused = misuse(problem.numbers, parsed.literals);
  // An expression of other numbers is another answer, even if it has the target's value.
  const others = () => `${parsed.value.toFraction()} of ${parsed.literals.toSorted().join(" ")}`;
  if (misused !== null) return finding(false, misused, others());
  if (parsed.value.equals(problem.target)) return finding(true, "right");
  return finding(false, `value is ${showNumber(parsed.value)}, not ${problem.target}`);
}

/** How the literals differ from the given numbers, as multisets, or `null`. */
function misuse(numbers: number[], literals: string[]): string | null {
  const left = new Map<string, number>();
  for (const number of numbers) left.set(String(number), (left.get(String(number)) ?? 0) + 1);
  for (const literal of literals) {
    const count = left.get(literal);
    if (count === undefined) return `number ${literal} is not given`;
    if (count === 0) return `number ${literal} used too often`;
    left.set(literal, count - 1);
  }
  const unused = [...left].find(([, count]) => count > 0);
  return unused ? `number ${unused[0]} not used` : null;
}
