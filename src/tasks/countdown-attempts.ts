/**
 * The base model's diet for Countdown: attempts, right and wrong alike. An attempt is a random walk over valid
 * operations that uses all numbers, and its verdict; after a miss the thought goes on or gives up. A model of these
 * documents can compute, check, go on and give up, but finds a solution seldom: what is left for RL to learn.
 */
import { Random } from "../lib/random.ts";
import type { CountdownProblem } from "./countdown.ts";
import type { Task } from "./problem.ts";

export interface AttemptOptions {
  /** Probability that an attempt is the known solution rather than a random walk. */
  hint: number;
  /** Share of documents that are a single equation, so that arithmetic is learned evenly. */
  singles: number;
  /** Attempts in one thought, at most. */
  maxAttempts: number;
  /** Probability of going on after a miss. */
  goOn: number;
  /** Largest intermediate result. */
  maxResult: number;
  /** Share of problems redrawn until their known solution multiplies or divides. */
  products: number;
  /** Whether a thought never holds the same attempt twice. */
  distinct: boolean;
}

/** A document in the compact vocabulary's text; only what follows `prompt` is trained. */
export interface AttemptDocument {
  prompt: string;
  completion: string;
}

type Operator = "+" | "-" | "*" | "/";
const OPERATORS: readonly Operator[] = ["+", "-", "*", "/"];

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

/** The value of `a op b` if it is whole, not negative and at most `maxResult`; else `null`. */
export function validResult(a: number, op: Operator, b: number, maxResult: number): number | null {
  const result =
    op === "+" ? a + b : op === "-" ? a - b : op === "*" ? a * b : b !== 0 && a % b === 0 ? a / b : -1;
  return result >= 0 && result <= maxResult ? result : null;
}

const grouped = (part: Part): string => (part.composite ? `(${part.text})` : part.text);

function combine(a: Part, op: Operator, b: Part, result: number): { part: Part; equation: string } {
  return {
    part: { value: result, text: `${grouped(a)} ${op} ${grouped(b)}`, composite: true },
    equation: `${a.value} ${op} ${b.value} = ${result}`,
  };
}

/** A random walk: two numbers at a time, in random order, by a random valid operation; `null` at a dead end. */
function walk(numbers: readonly number[], random: Random, maxResult: number): Attempt | null {
  const parts: Part[] = numbers.map((value) => ({ value, text: String(value), composite: false }));
  const equations: string[] = [];
  while (parts.length > 1) {
    const [a, b] = [
      parts.splice(random.integer(0, parts.length - 1), 1)[0],
      parts.splice(random.integer(0, parts.length - 1), 1)[0],
    ];
    const valid = OPERATORS.filter((op) => validResult(a.value, op, b.value, maxResult) !== null);
    if (valid.length === 0) return null;
    const op = random.pick(valid);
    const { part, equation } = combine(a, op, b, validResult(a.value, op, b.value, maxResult) as number);
    parts.push(part);
    equations.push(equation);
  }
  return { equations, expression: parts[0].text, value: parts[0].value };
}

/** The known solution as an attempt. */
function solutionAttempt(problem: CountdownProblem): Attempt {
  const parts: Part[] = problem.numbers.map((value) => ({ value, text: String(value), composite: false }));
  const take = (value: number): Part => {
    // A result of an earlier step is preferred to an equal given number that a later step may need.
    const index = parts.findIndex((part) => part.value === value && part.composite);
    return parts.splice(index >= 0 ? index : parts.findIndex((part) => part.value === value), 1)[0];
  };
  const equations: string[] = [];
  for (const { left, op, right, result } of problem.steps) {
    const { part, equation } = combine(take(left), op, take(right), result);
    parts.push(part);
    equations.push(equation);
  }
  return { equations, expression: parts[0].text, value: parts[0].value };
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
  let attempt: Attempt | null = null;
  for (let count = 0; count < options.maxAttempts; count++) {
    const next =
      random.uniform() < options.hint
        ? solutionAttempt(problem)
        : walk(problem.numbers, random, options.maxResult);
    if (next === null) continue;
    const written = next.equations.join(", ");
    if (options.distinct && tried.has(written)) continue;
    tried.add(written);
    attempt = next;
    const hit = attempt.value === problem.target;
    lines.push(`${written}${hit ? ", yes!" : ", no."}\n`);
    if (hit || random.uniform() >= options.goOn) break;
  }
  const last = attempt ?? solutionAttempt(problem);
  return {
    prompt: problem.prompt,
    completion: `${lines.join("")}</think>\n<answer>${last.expression}</answer>`,
  };
}
