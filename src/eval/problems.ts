/** The problems of an evaluation: each once, in an order that depends only on the task, the seed and the part. */
import { createHash } from "node:crypto";
import { userError } from "../lib/errors.ts";
import { atEffort } from "../tasks/effort.ts";
import type { ListPart, Problem, Task } from "../tasks/problem.ts";

/** A problem of an evaluation. */
export interface EvaluatedProblem {
  problem: Problem;
  /** See `ProblemTally.key`. */
  key: string;
  /** Part of the key of its random streams: the index that it was drawn with, or its index in the list. */
  index: number;
  /** Rows of the list with this problem: each gets its samples, and all are samples of this problem. */
  copies: number;
}

/** Which problems, and how many. */
export interface ProblemChoice {
  seed: number;
  part: ListPart;
  /** Number of distinct problems; absent: all of a list. */
  problems?: number;
  /** The thinking effort that they are asked at; the keys are those of the problems without it. */
  effort?: number;
}

/** Repeated problems in a row after which a generator counts as exhausted. */
const REPEATS = 1000;

/** Digest of a problem's content. */
function problemKey(task: Task, problem: Problem): string {
  const content = task.content?.(problem) ?? problem.prompt;
  return createHash("sha256").update(`${task.name} ${content}`).digest("hex").slice(0, 12);
}

/**
 * The first problems of a list, or of those that a task generates for the seed, without repeats.
 * @throws UserError where there are fewer than asked for
 */
export function chooseProblems(task: Task, choice: ProblemChoice): EvaluatedProblem[] {
  const chosen = task.list === undefined ? drawn(task, choice) : listed(task, task.list(choice.part), choice);
  return chosen.map((one) => ({ ...one, problem: atEffort(one.problem, choice.effort) }));
}

function listed(task: Task, rows: readonly Problem[], { part, problems }: ProblemChoice): EvaluatedProblem[] {
  const found = new Map<string, EvaluatedProblem>();
  for (const [index, problem] of rows.entries()) {
    const key = problemKey(task, problem);
    const known = found.get(key);
    if (known === undefined) found.set(key, { problem, key, index, copies: 1 });
    else known.copies++;
  }
  const wanted = problems ?? found.size;
  if (wanted > found.size) {
    const repeated = rows.length - found.size;
    const there = part === "all" ? "the file has" : `the ${part} split of its file has`;
    throw userError(
      "evaluation",
      `${wanted} problems were asked for, and ${there} ${found.size}${repeated > 0 ? ` different ones in ${rows.length} rows` : ""}.`,
      `Ask for at most ${found.size}; for several completions of each, raise the samples.`,
    );
  }
  return [...found.values()].slice(0, wanted);
}

function drawn(task: Task, { seed, part, problems }: ProblemChoice): EvaluatedProblem[] {
  if (part === "all")
    throw userError(
      "evaluation",
      `The task ${task.name} generates its problems and has no list of all of them.`,
      "Choose the split train, validation or test.",
    );
  if (problems === undefined)
    throw userError(
      "evaluation",
      `The task ${task.name} generates problems without end.`,
      "Say how many problems are asked for.",
    );
  const found = new Map<string, EvaluatedProblem>();
  for (let index = 0, repeats = 0; found.size < problems; index++) {
    const problem = task.generate({ seed, split: part, index });
    const key = problemKey(task, problem);
    if (!found.has(key)) {
      found.set(key, { problem, key, index, copies: 1 });
      repeats = 0;
    } else if (++repeats === REPEATS)
      throw userError(
        "evaluation",
        `${problems} problems were asked for, and the ${part} split of the task ${task.name} has about ${found.size} different ones: ${REPEATS} further draws gave none.`,
        `Ask for at most ${found.size}, or widen the ranges of the task's options.`,
      );
  }
  return [...found.values()];
}
