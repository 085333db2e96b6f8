/**
 * The base model's diet for Countdown: attempts, right and wrong alike. An attempt is a random walk over valid
 * operations that uses all numbers, and its verdict; after a miss the thought goes on with something new or gives up. A
 * model of these documents can compute, check, go on and give up, but seldom solves: that is left for RL to learn.
 */
import { Random } from "../runtime/random.ts";
import type { CountdownProblem } from "./countdown.ts";
import type { Task } from "./problem.ts";

export interface AttemptOptions {
  /** Probability that an attempt is the known solution rather than a random walk. */
  hint: number;
  /** Share of documents that are a single equation, so that arithmetic is learned evenly. */
  singles: number;
  /** Attempts in one thought, at most. */
  maxAttempts: number;
  /**
   * How soon a thought gives up: it has patience for n attempts or more with probability n^-patience. Most are short,
   * and long searches are seen, rarely.
   */
  patience: number;
  /** Largest intermediate result. */
  maxResult: number;
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

/** The ordered pairs of parts on which an operation is valid; the larger operand comes first. */
function pairsFor(op: Operator, parts: readonly Part[], maxResult: number): [number, number][] {
  const pairs: [number, number][] = [];
  for (const [i, a] of parts.entries())
    for (const [j, b] of parts.entries()) {
      const ordered = a.value > b.value || (a.value === b.value && i < j);
      if (i !== j && ordered && validResult(a.value, op, b.value, maxResult) !== null) pairs.push([i, j]);
    }
  return pairs;
}

/**
 * A random walk: one of the operations that are possible, then a pair on which it is valid, until one number is left;
 * `null` at a dead end. The operation comes first, or products and quotients, which few pairs allow, would hardly be tried.
 */
function walk(numbers: readonly number[], random: Random, maxResult: number): Attempt | null {
  let parts: Part[] = numbers.map((value) => ({ value, text: String(value), composite: false }));
  const equations: string[] = [];
  while (parts.length > 1) {
    const possible = OPERATORS.map((op) => ({ op, pairs: pairsFor(op, parts, maxResult) })).filter(
      ({ pairs }) => pairs.length > 0,
    );
    if (possible.length === 0) return null;
    const { op, pairs } = random.pick(possible);
    const [i, j] = random.pick(pairs);
    const { part, equation } = combine(
      parts[i],
      op,
      parts[j],
      validResult(parts[i].value, op, parts[j].value, maxResult) as number,
    );
    parts = [...parts.filter((_, k) => k !== i && k !== j), part];
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
    const [a, b] = [take(left), take(right)];
    // The order of a sum or a product is free: the larger operand first, as in every walk.
    const swap = (op === "+" || op === "*") && a.value < b.value;
    const { part, equation } = swap ? combine(b, op, a, result) : combine(a, op, b, result);
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

/** Walks until one ends in a value that this thought has not had: a search that does not repeat itself. */
function freshWalk(
  numbers: readonly number[],
  random: Random,
  maxResult: number,
  seen: ReadonlySet<number>,
): Attempt | null {
  for (let tries = 0; tries < WALK_TRIES; tries++) {
    const attempt = walk(numbers, random, maxResult);
    if (attempt !== null && !seen.has(attempt.value)) return attempt;
  }
  return null;
}

/** Draws before a thought gives up on finding something new. */
const WALK_TRIES = 20;

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
  const problem = task.generate({ seed, split: "train", index });
  const lines: string[] = [];
  const seen = new Set<number>();
  let attempt: Attempt | null = null;
  const patience = Math.min(
    options.maxAttempts,
    Math.floor((1 - random.uniform()) ** (-1 / options.patience)),
  );
  for (let count = 0; count < patience; count++) {
    const next =
      random.uniform() < options.hint
        ? solutionAttempt(problem)
        : freshWalk(problem.numbers, random, options.maxResult, seen);
    if (next === null) break;
    attempt = next;
    seen.add(attempt.value);
    const hit = attempt.value === problem.target;
    lines.push(`${attempt.equations.join(", ")}${hit ? ", yes!" : ", no."}\n`);
    if (hit) break;
  }
  const last = attempt ?? solutionAttempt(problem);
  return {
    prompt: problem.prompt,
    completion: `${lines.join("")}</think>\n<answer>${last.expression}</answer>`,
  };
}
