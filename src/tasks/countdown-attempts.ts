/**
 * Pretraining documents for Countdown: attempts, right and wrong. An attempt is a random walk over valid operations that
 * uses all numbers, with its verdict; after a miss the thought tries again or gives up. A model of these documents can
 * compute, check, try again and give up, but seldom finds a solution: RL has to teach that.
 */
import { Random } from "../lib/random.ts";
import { COUNTDOWN_WORDS, type CountdownLanguage, type CountdownProblem } from "./countdown.ts";
import { OPERATORS, operations, type Step } from "./countdown-generate.ts";
import { languageOf } from "./language.ts";
import type { Task } from "./problem.ts";

export interface AttemptOptions {
  /** Probability that an attempt is the known solution rather than a random walk. */
  hint: number;
  /** Fraction of documents that are a single equation, so that every operation is learned. */
  singles: number;
  /** Attempts in one thought, at most. */
  maxAttempts: number;
  /** Probability of another attempt after a miss. */
  goOn: number;
  /** Largest intermediate result. */
  maxResult: number;
  /** Fraction of problems redrawn until their known solution multiplies or divides. */
  products: number;
  /** Whether the attempts of a thought are all different. */
  distinct: boolean;
  /** The languages of prompts and thoughts. */
  languages: readonly CountdownLanguage[];
  /** Probability that the words of an attempt are in the prompt's language, where there are several. */
  sameLanguage: number;
}

/** A document in the compact vocabulary's text; only what follows `prompt` is trained. */
export interface AttemptDocument {
  prompt: string;
  completion: string;
}

interface Part {
  value: number;
  /** The expression that made it, e.g. "82 - 27". */
  text: string;
  composite: boolean;
}

interface Attempt {
  equations: string[];
  expression: string;
  value: number;
}

const grouped = (part: Part): string => (part.composite ? `(${part.text})` : part.text);

/** An attempt from the given numbers, of which `next` takes two and names their operation; `null` at a dead end. */
function attempt(
  numbers: readonly number[],
  next: (parts: Part[]) => { a: Part; b: Part; step: Step } | null,
): Attempt | null {
  const parts: Part[] = numbers.map((value) => ({ value, text: String(value), composite: false }));
  const equations: string[] = [];
  while (parts.length > 1) {
    const taken = next(parts);
    if (taken === null) return null;
    const { a, b, step } = taken;
    parts.push({ value: step.result, text: `${grouped(a)} ${step.op} ${grouped(b)}`, composite: true });
    equations.push(`${step.left} ${step.op} ${step.right} = ${step.result}`);
  }
  return { equations, expression: parts[0].text, value: parts[0].value };
}

/** A random walk: two numbers at a time, in random order, by a random valid operation. */
function walk(numbers: readonly number[], random: Random, maxResult: number): Attempt | null {
  const draw = (parts: Part[]): Part => parts.splice(random.integer(0, parts.length - 1), 1)[0];
  return attempt(numbers, (parts) => {
    const [a, b] = [draw(parts), draw(parts)];
    const valid = operations(a.value, b.value, maxResult);
    return valid.length === 0 ? null : { a, b, step: random.pick(valid) };
  });
}

/** The known solution as an attempt. */
function solutionAttempt({ numbers, steps }: CountdownProblem): Attempt {
  const take = (parts: Part[], value: number): Part => {
    // A result of an earlier step is preferred to an equal given number that a later step may need.
    const index = parts.findIndex((part) => part.value === value && part.composite);
    return parts.splice(index >= 0 ? index : parts.findIndex((part) => part.value === value), 1)[0];
  };
  const left = [...steps];
  return attempt(numbers, (parts) => {
    const step = left.shift() as Step;
    return { a: take(parts, step.left), b: take(parts, step.right), step };
  }) as Attempt;
}

/** One equation whose operation is drawn evenly, with operands that keep the result within `maxResult`. */
export function singleEquation(random: Random, maxResult: number): string {
  const op = random.pick(OPERATORS);
  if (op === "+" || op === "-") {
    const larger = random.integer(1, maxResult);
    const smaller = random.integer(0, larger);
    return op === "+"
      ? `${larger - smaller} + ${smaller} = ${larger}`
      : `${larger} - ${smaller} = ${larger - smaller}`;
  }
  const a = random.integer(1, Math.min(99, maxResult));
  const b = random.integer(1, Math.max(1, Math.floor(maxResult / a)));
  const [left, right] = random.uniform() < 0.5 ? [a, b] : [b, a];
  return op === "*" ? `${left} * ${right} = ${left * right}` : `${left * right} / ${left} = ${right}`;
}

/** Draws of the problem stream that belong to one document. */
const DRAWS = 64;

const multiplies = ({ steps }: CountdownProblem): boolean => steps.some(({ op }) => op === "*" || op === "/");

/** The problem of document `index`. */
function drawProblem(
  task: Task<CountdownProblem>,
  { products }: AttemptOptions,
  random: Random,
  seed: number,
  index: number,
): CountdownProblem {
  const draws = random.uniform() < products ? DRAWS : 1;
  for (let draw = 0; ; draw++) {
    const problem = task.generate({ seed, split: "train", index: index * DRAWS + draw });
    if (draw === draws - 1 || multiplies(problem)) return problem;
  }
}

/** Document `index` of the stream `seed`: equal arguments give equal documents. */
export function attemptDocument(
  task: Task<CountdownProblem>,
  options: AttemptOptions,
  seed: number,
  index: number,
): AttemptDocument {
  const random = new Random(seed, "countdown-attempts", index);
  if (random.uniform() < options.singles)
    return { prompt: "", completion: singleEquation(random, options.maxResult) };
  const problem = drawProblem(task, options, random, seed, index);
  const lines: string[] = [];
  const tried = new Set<string>();
  let last: Attempt | null = null;
  const asked = languageOf(problem.prompt) as CountdownLanguage;
  const { languages } = options;
  for (let count = 0; count < options.maxAttempts; count++) {
    const next =
      random.uniform() < options.hint
        ? solutionAttempt(problem)
        : walk(problem.numbers, random, options.maxResult);
    if (next === null) continue;
    const written = next.equations.join(", ");
    if (options.distinct && tried.has(written)) continue;
    tried.add(written);
    last = next;
    const hit = next.value === problem.target;
    const same = languages.length === 1 || random.uniform() < options.sameLanguage;
    const words = COUNTDOWN_WORDS[same ? asked : random.pick(languages.filter((other) => other !== asked))];
    lines.push(`${written}${hit ? words.yes : words.no}`);
    if (hit || random.uniform() >= options.goOn) break;
  }
  return {
    prompt: problem.prompt,
    completion: `${lines.join("")}</think>\n<answer>${(last ?? solutionAttempt(problem)).expression}</answer>`,
  };
}
