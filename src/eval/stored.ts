/**
 * An evaluation's completions in a JSONL file: a header with every setting, the problems, and each completion as it
 * ended. With it completions can be verified again without the model, and an interrupted evaluation can be continued.
 */
import fs from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import type { EvaluationRecord } from "../events.ts";
import { differences } from "../lib/differences.ts";
import { usageError } from "../lib/errors.ts";
import { Journal, wholeLines } from "../lib/journal.ts";
import { taskOptions, type Verifier, verifierFrom } from "../tasks/registry.ts";
import { type Completion, completionKey } from "./completions.ts";
import { evaluationRecord, verifyCompletions } from "./evaluate.ts";
import type { EvaluatedProblem } from "./problems.ts";

const FORMAT = "sputnik-evaluation";

const count = z.int().nonnegative();

/** Every setting that decides the completions. */
const headerSchema = z.object({
  format: z.literal(FORMAT),
  version: z.literal(1),
  /** Its folder or file; step, sizes and times of its weights show whether it has changed since. */
  model: z.string(),
  step: z.number().nullable(),
  weights: z.string(),
  precision: z.string(),
  taskName: z.string(),
  task: taskOptions,
  /** How the model was asked: "chat", "plain" or "r1". */
  prompt: z.string(),
  seed: z.number(),
  part: z.string(),
  problems: count,
  samples: count.min(1),
  temperature: z.number(),
  topP: z.number().nullable(),
  topK: z.number().nullable(),
  maxNewTokens: z.number(),
  /** The thinking effort that the problems were asked at; absent: none. */
  effort: z.number().optional(),
});

export type EvaluationHeader = z.input<typeof headerSchema>;

export const header = (fields: Omit<EvaluationHeader, "format" | "version">): EvaluationHeader => ({
  ...{ format: FORMAT, version: 1 },
  ...fields,
});

type Line = { problem: EvaluatedProblem } | { completion: Completion };

const lineSchema = z.union([
  z.object({
    problem: z.looseObject({
      problem: z.looseObject({ id: z.string(), prompt: z.string() }),
      ...{ key: z.string(), index: count, copies: count.min(1) },
    }),
  }),
  z.object({
    completion: z.looseObject({
      ...{ problem: z.string(), sample: count, text: z.string(), tokens: count },
      finish: z.enum(["stop", "length"]),
      turns: z.array(z.string()).min(1).optional(),
      steps: z.array(z.looseObject({ position: z.number(), holds: z.boolean() })),
    }),
  }),
]);

/** Completions that older versions stored call their steps equations. */
function currentLine(value: unknown): unknown {
  const completion = (value as { completion?: Record<string, unknown> } | null)?.completion;
  if (completion?.equations === undefined) return value;
  const { equations: steps, ...rest } = completion;
  return { completion: { ...rest, steps } };
}

export interface StoredEvaluation {
  header: EvaluationHeader;
  problems: EvaluatedProblem[];
  /** By `completionKey`. */
  completions: Map<string, Completion>;
}

/** Whether the file begins as one of these. */
export function isStoredEvaluation(file: string): boolean {
  const head = Buffer.alloc(FORMAT.length + 16);
  const handle = fs.openSync(file, "r");
  try {
    fs.readSync(handle, head);
  } finally {
    fs.closeSync(handle);
  }
  return head.toString().startsWith(`{"format":"${FORMAT}"`);
}

/** A kill came while the first line was written. */
function headerIsTorn(file: string): boolean {
  if (!fs.statSync(file, { throwIfNoEntry: false })?.isFile() || !isStoredEvaluation(file)) return false;
  const lines = wholeLines(file);
  const torn = lines.next().done === true;
  lines.return(undefined);
  return torn;
}

/** Reads a file; an incomplete last line is skipped. @throws UserError naming the line */
export function readStored(file: string): StoredEvaluation {
  if (!fs.existsSync(file)) throw usageError(`There is no file ${file}.`, "Make one with: eval --out FILE");
  if (!fs.statSync(file).isFile() || !isStoredEvaluation(file))
    throw usageError(
      `${file} holds no stored completions: its first line is no header of an evaluation.`,
      "Name a file that eval --out FILE made.",
    );
  const problems = new Map<string, EvaluatedProblem>();
  const completions = new Map<string, Completion>();
  const broken = (line: number, found: string, remedy?: string) =>
    usageError(
      `${file}, line ${line}: ${found}.`,
      remedy ?? "Remove the line, and its completion is sampled again, or restore the file.",
    );
  const parse = (text: string, line: number): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      throw broken(line, "not JSON");
    }
  };
  let head: EvaluationHeader | null = null;
  let number = 0;
  for (const text of wholeLines(file)) {
    const value = parse(text, ++number);
    if (head === null) {
      head = value as EvaluationHeader;
      if (head.version !== 1)
        throw usageError(
          `${file} is of version ${String(head.version)}, and this Sputnik reads version 1.`,
          "Use the version that made it.",
        );
      const wrong = headerSchema.safeParse(head).error?.issues[0]?.path.join(".");
      if (wrong !== undefined)
        throw broken(1, `the header's field "${wrong}" is not as an evaluation has it`, "Restore the file.");
      continue;
    }
    const known = currentLine(value);
    const line = lineSchema.safeParse(known).success ? (known as Line) : null;
    if (line !== null && "problem" in line) problems.set(line.problem.problem.id, line.problem);
    else if (line !== null && problems.has(line.completion.problem))
      completions.set(completionKey(line.completion.problem, line.completion.sample), line.completion);
    else throw broken(number, "neither a problem nor a completion of one above");
  }
  if (head === null) throw usageError(`${file} ends within its first line.`, "Evaluate again with --out.");
  return { header: head, problems: [...problems.values()], completions };
}

/** A file that is being written. */
export interface OpenStore {
  file: string;
  known: Map<string, Completion>;
  append(completion: Completion): void;
  close(): void;
}

/**
 * Begins the file, or continues one of the same settings and problems.
 * @throws UserError where it holds something else, naming what differs; UserError where it cannot be written
 */
export function openStore(file: string, head: EvaluationHeader, problems: EvaluatedProblem[]): OpenStore {
  if (headerIsTorn(file)) fs.rmSync(file);
  const there = fs.existsSync(file) && !(fs.statSync(file).isFile() && fs.statSync(file).size === 0);
  let known = new Map<string, Completion>();
  if (there) {
    const stored = readStored(file);
    const differ = [
      ...differences(stored.header, JSON.parse(JSON.stringify(head))),
      ...(stored.problems.length === problems.length &&
      stored.problems.every(({ key }, i) => key === problems[i]?.key)
        ? []
        : ["its problems"]),
    ];
    // A kill may have torn the list of problems: then nothing was sampled yet.
    const torn = stored.completions.size === 0 && differ.length === 1 && differ[0] === "its problems";
    if (differ.length > 0 && !torn)
      throw usageError(
        `${file} holds the completions of another evaluation:\n  ${differ.slice(0, 5).join("\n  ")}\n`,
        "Name another file with --out, or remove this one.",
      );
    if (torn) fs.rmSync(file);
    known = stored.completions;
  }
  fs.mkdirSync(dirname(file), { recursive: true });
  // A link that a person named as the place is meant.
  const journal = new Journal<EvaluationHeader | Line>(fs.existsSync(file) ? fs.realpathSync(file) : file);
  if (journal.position() === 0) {
    journal.append(head);
    for (const problem of problems) journal.append({ problem });
  }
  return {
    file,
    known,
    append: (completion) => journal.append({ completion }),
    close: () => journal.close(),
  };
}

/** The problems at the beginning whose completions are all there. */
function finishedProblems(
  { problems, completions }: Pick<StoredEvaluation, "problems" | "completions">,
  samples: number,
): { problems: EvaluatedProblem[]; completions: Completion[]; whole: boolean } {
  const finished: Completion[] = [];
  for (const [i, { problem, copies }] of problems.entries()) {
    const own: Completion[] = [];
    while (own.length < samples * copies) {
      const completion = completions.get(completionKey(problem.id, own.length));
      if (completion === undefined)
        return { problems: problems.slice(0, i), completions: finished, whole: false };
      own.push(completion);
    }
    for (const completion of own) finished.push(completion);
  }
  return { problems: [...problems], completions: finished, whole: true };
}

/** The record of the stored completions, verified again; `null` if no problem is finished. */
export async function verifyStored(
  stored: StoredEvaluation,
  task: Verifier = verifierFrom(stored.header.task),
): Promise<{ record: EvaluationRecord | null; whole: boolean }> {
  const { samples, temperature, taskName, effort } = stored.header;
  const { problems, completions, whole } = finishedProblems(stored, samples);
  if (problems.length === 0) return { record: null, whole };
  const verdicts = await verifyCompletions(task, problems, completions);
  const named = {
    ...{ label: "eval", task: taskName, stepName: task.stepName ?? null, samples, temperature },
    ...(effort !== undefined && { effort }),
  };
  return { record: evaluationRecord(problems, completions, verdicts, named), whole };
}
