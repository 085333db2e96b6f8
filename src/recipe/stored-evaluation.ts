/**
 * An evaluation's completions in a JSONL file: a header with every setting, the problems, and each completion as it
 * ended. With it a verdict can be repeated without the model, and an interrupted evaluation goes on.
 */
import fs from "node:fs";
import { dirname } from "node:path";
import { type Completion, completionKey } from "../eval/completions.ts";
import { evaluationRecord, judgeCompletions } from "../eval/evaluate.ts";
import type { EvaluatedProblem } from "../eval/problems.ts";
import type { EvaluationRecord } from "../events.ts";
import type { Problem, Task } from "../tasks/problem.ts";
import { type TaskInput, verifierFrom } from "../tasks/registry.ts";
import { UsageError } from "./find-model.ts";
import { Journal } from "./journal.ts";
import { differences } from "./run-info.ts";

const FORMAT = "sputnik-evaluation";

/** Every setting that decides the completions. */
export interface EvaluationHeader {
  format: typeof FORMAT;
  version: 1;
  /** Its folder or file, and what tells whether it changed since: step, sizes and times of its weights. */
  model: string;
  step: number | null;
  weights: string;
  precision: string;
  taskName: string;
  task: TaskInput;
  /** How the model was asked: "chat", "plain" or "r1". */
  prompt: string;
  seed: number;
  part: string;
  problems: number;
  samples: number;
  temperature: number;
  topP: number | null;
  topK: number | null;
  maxNewTokens: number;
}

export const header = (fields: Omit<EvaluationHeader, "format" | "version">): EvaluationHeader => ({
  ...{ format: FORMAT, version: 1 },
  ...fields,
});

type Line = { problem: EvaluatedProblem } | { completion: Completion };

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
  if (!fs.existsSync(file) || !fs.statSync(file).isFile()) return false;
  const text = fs.readFileSync(file, "utf8");
  const start = `{"format":"${FORMAT}"`;
  return text !== "" && !text.includes("\n") && (text.startsWith(start) || start.startsWith(text));
}

/** Reads a file whole; a last line that a kill tore is passed over. @throws UsageError naming the line */
export function readStored(file: string): StoredEvaluation {
  if (!fs.existsSync(file))
    throw new UsageError(`There is no file ${file}.`, "Make one with: eval --out FILE");
  if (fs.statSync(file).isDirectory() || !isStoredEvaluation(file))
    throw new UsageError(
      `${file} holds no stored completions: its first line is no header of an evaluation.`,
      "Name a file that eval --out FILE made.",
    );
  const [first, ...lines] = fs.readFileSync(file, "utf8").split("\n");
  const problems = new Map<string, EvaluatedProblem>();
  const completions = new Map<string, Completion>();
  const broken = (line: number, found: string) =>
    new UsageError(
      `${file}, line ${line}: ${found}.`,
      "Remove the line, and its completion is sampled again, or restore the file.",
    );
  const parse = (text: string, line: number): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      throw broken(line, "not JSON");
    }
  };
  const head = parse(first as string, 1) as EvaluationHeader;
  if (head.version !== 1)
    throw new UsageError(
      `${file} is of version ${head.version}, and this Sputnik reads version 1.`,
      "Use the version that made it.",
    );
  // What follows the last line break was torn, or is nothing.
  for (const [i, text] of lines.slice(0, -1).entries()) {
    const line = parse(text, i + 2) as Line;
    if ("problem" in line) problems.set(line.problem.problem.id, line.problem);
    else if ("completion" in line && problems.has(line.completion.problem))
      completions.set(completionKey(line.completion.problem, line.completion.sample), line.completion);
    else throw broken(i + 2, "neither a problem nor a completion of one above");
  }
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
 * Begins the file, or goes on with one of the same settings and problems.
 * @throws UsageError where it holds something else, naming what differs; RunFolderError where it cannot be written
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
      throw new UsageError(
        `${file} holds the completions of another evaluation:\n  ${differ.slice(0, 5).join("\n  ")}\n`,
        "Name another file with --out, or remove this one.",
      );
    if (torn) fs.rmSync(file);
    known = stored.completions;
  }
  fs.mkdirSync(dirname(file), { recursive: true });
  const journal = new Journal<EvaluationHeader | Line>(file);
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
export function finishedProblems(
  { problems, completions }: Pick<StoredEvaluation, "problems" | "completions">,
  samples: number,
): { problems: EvaluatedProblem[]; completions: Completion[]; whole: boolean } {
  const of = ({ problem, copies }: EvaluatedProblem): (Completion | undefined)[] =>
    Array.from({ length: samples * copies }, (_, sample) =>
      completions.get(completionKey(problem.id, sample)),
    );
  const groups = problems.map(of);
  const open = groups.findIndex((group) => group.includes(undefined));
  const end = open === -1 ? groups.length : open;
  return {
    problems: problems.slice(0, end),
    completions: groups.slice(0, end).flat() as Completion[],
    whole: open === -1,
  };
}

/** The record of what is there, judged by the task's verifier as it is now; `null` where no problem is finished. */
export async function judgeStored(
  stored: StoredEvaluation,
  verifier: Pick<Task<Problem>, "verify" | "verifyAll"> = verifierFrom(stored.header.task),
): Promise<{ record: EvaluationRecord | null; whole: boolean }> {
  const { samples, temperature, taskName } = stored.header;
  const { problems, completions, whole } = finishedProblems(stored, samples);
  if (problems.length === 0) return { record: null, whole };
  const verdicts = await judgeCompletions(verifier, problems, completions);
  const named = { label: "eval", task: taskName, samples, temperature };
  return { record: evaluationRecord(problems, completions, verdicts, named), whole };
}
