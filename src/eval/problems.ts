/** The problems of an evaluation: each once, in an order that only the task, the seed and the part decide. */
import { createHash } from "node:crypto";
import { UserError } from "../lib/errors.ts";
import type { ListPart, Problem, Task } from "../tasks/problem.ts";

/** An evaluation cannot be made as it was asked for. */
export const evaluationError = (what: string, remedy: string): UserError =>
  new UserError({ kind: "evaluation", what, remedy });

export interface EvaluatedProblem {
  problem: Problem;
  /** See `ProblemTally.key`. */
  key: string;
  /** Names its random streams: the index it was drawn with, or its place in the list. */
  index: number;
  /** Rows of the list that hold it: each is asked for its own samples, and all of them are samples of one problem. */
  copies: number;
}

export interface ProblemChoice {
  seed: number;
  part: ListPart;
  /** How many different ones; absent: all of a list. */
  problems?: number;
}

/** Draws that bring nothing new before a generator counts as exhausted. */
const REPEATS = 1000;

/** Digest of a problem's content. */
export function problemKey(task: Task, problem: Problem): string {
  const content = task.content?.(problem) ?? problem.prompt;
  return createHash("sha256").update(`${task.name} ${content}`).digest("hex").slice(0, 12);
}

/**
 * The first problems of a list, or of what a task generates for the seed, without repeats.
 * @throws UserError where there are fewer than asked for
 */
export function chooseProblems(task: Task, choice: ProblemChoice): EvaluatedProblem[] {
  return task.list === undefined ? drawn(task, choice) : listed(task, task.list(choice.part), choice);
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
    throw evaluationError(
      `${wanted} problems were asked for, and ${there} ${found.size}${repeated > 0 ? ` different ones in ${rows.length} rows` : ""}.`,
      `Ask for at most ${found.size}; for several answers to each, raise the samples.`,
    );
  }
  return [...found.values()].slice(0, wanted);
}

function drawn(task: Task, { seed, part, problems }: ProblemChoice): EvaluatedProblem[] {
  if (part === "all")
    throw evaluationError(
      `The task ${task.name} generates its problems and has no list of all of them.`,
      "Choose the split train, validation or test.",
    );
  if (problems === undefined)
    throw evaluationError(
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
      throw evaluationError(
        `${problems} problems were asked for, and the ${part} split of the task ${task.name} has about ${found.size} different ones: ${REPEATS} further draws gave none.`,
        `Ask for at most ${found.size}, or widen the ranges of the task's options.`,
      );
  }
  return [...found.values()];
}
