/**
 * Limits for files from anywhere: a template may never end; a `tokenizer.json` may have an expression that never ends, a
 * replacement that doubles a text with every step, or words that are read again at every character.
 */
import vm from "node:vm";
import { UserError } from "../lib/errors.ts";
import { SPLIT_PATTERN } from "./byte-level.ts";

/** GPT-2's split rule, which a "ByteLevel" step has built in. */
export const GPT2_SPLIT =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** Milliseconds, plus a second for 50,000 characters: any machine of today encodes ten times as fast. */
const LEAST_MS = 2000;
const CHARACTERS_A_MS = 50;

/** @throws UserError where a text of `length` takes far longer than with any published file */
export function inTime<T>(encode: () => T, length: number): T {
  const limit = LEAST_MS + length / CHARACTERS_A_MS;
  try {
    return clocked(encode, limit, true);
  } catch (error) {
    if (!(error instanceof OutOfTime)) throw error;
    throw new UserError({
      kind: "tokenizer",
      where: "tokenizer tokenizer.json",
      expected: "expressions that read a text in one go",
      found: `more than ${(limit / 1000).toFixed(0)} s for ${length} characters`,
      remedy: "Take the tokenizer.json of the model's own repository.",
    });
  }
}

/** How many times as long the normalizer of a published model may make a text. */
const MOST_GROWTH = 64;

/** @throws UserError for a normalizer that could make a text longer than that */
export function checkGrowth(normalizer: unknown): void {
  const times = growth(normalizer);
  if (times <= MOST_GROWTH) return;
  throw new UserError({
    kind: "tokenizer",
    where: "tokenizer tokenizer.json normalizer",
    expected: `replacements that make a text at most ${MOST_GROWTH} times as long`,
    found: `${times.toPrecision(2)} times`,
    remedy: "Take the tokenizer.json of the model's own repository.",
  });
}

interface Step {
  type?: string;
  normalizers?: unknown[];
  pattern?: { String?: string; Regex?: string };
  content?: string;
  prepend?: string;
}

function growth(step: unknown): number {
  if (typeof step !== "object" || step === null) return 1;
  const { type, normalizers, pattern, content = "", prepend = "" } = step as Step;
  if (Array.isArray(normalizers)) return normalizers.reduce<number>((all, one) => all * growth(one), 1);
  if (type === "Prepend") return 1 + prepend.length / 64;
  if (type !== "Replace") return 1;
  // An expression may match one character, or none beside each.
  const shortest = pattern?.String?.length ?? 1;
  return shortest === 0 ? content.length + 1 : Math.max(1, content.length / shortest);
}

/** Words of published vocabularies have fewer characters, so comparing them is fast. */
const LONG_WORD = 1024;
const KNOWN: readonly unknown[] = [SPLIT_PATTERN, GPT2_SPLIT];

/** Whether a file has no regular expressions but ours and no long words, so that it needs no time limit. */
export function isHarmless(json: {
  added_tokens: readonly { content: string }[];
  model: { type?: string; vocab: object };
  [part: string]: unknown;
}): boolean {
  const { added_tokens, model, normalizer, pre_tokenizer } = json;
  const words = [...added_tokens.map(({ content }) => content), ...Object.keys(model.vocab)];
  return (
    (model.type ?? "BPE") === "BPE" &&
    expressions([normalizer, pre_tokenizer]).every((source) => KNOWN.includes(source)) &&
    words.every((word) => word.length <= LONG_WORD)
  );
}

function expressions(value: unknown): unknown[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, one]) => (key === "Regex" ? [one] : expressions(one)));
}

/** Only a script can be stopped after a time; it calls back into our code. */
const script = new vm.Script("run()");
let job: (() => unknown) | null = null;
const context = vm.createContext({ run: () => job?.() });
let running = 0;

export class OutOfTime extends Error {}

/**
 * The result of `run`. @throws OutOfTime where it takes longer than `milliseconds`; `shared` work inside another
 * time limit counts towards that one alone
 */
export function clocked<T>(run: () => T, milliseconds: number, shared = false): T {
  if (shared && running > 0) return run();
  const outer = job;
  job = run;
  running++;
  try {
    return script.runInContext(context, { timeout: Math.ceil(milliseconds) }) as T;
  } catch (error) {
    // It is an error of another context, and so no `Error` here.
    const { code } = (error ?? {}) as { code?: unknown };
    if (code === "ERR_SCRIPT_EXECUTION_TIMEOUT") throw new OutOfTime(`it took more than ${milliseconds} ms`);
    throw error;
  } finally {
    job = outer;
    running--;
  }
}
