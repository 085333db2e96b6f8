/** Problems of several tasks in given shares, as one task: each problem is asked and verified as its own task does it. */
import { z } from "zod";
import { UserError } from "../lib/errors.ts";
import { interleaved } from "../lib/interleave.ts";
import { answerTo } from "./probe.ts";
import type { Problem, Task } from "./problem.ts";

/** The options of a mixture whose parts are one of `single`. */
export const mixtureOptions = <S extends z.ZodType>(single: S) =>
  z
    .strictObject({
      kind: z.literal("mix"),
      parts: z
        .array(
          z.strictObject({
            share: z.number().positive().describe("Weight of this part."),
            task: single,
          }),
        )
        .min(2)
        .describe("Tasks, each with its share of the problems."),
    })
    .describe("Several tasks of one turn whose problems are generated.");

/** A problem of the part at this index. */
interface Mixed extends Problem {
  part: number;
}

/** A task of a mixture. */
export interface Part {
  share: number;
  task: Task;
}

/** @throws UserError for a part whose difficulty is moved by the pass rate: a mixture has no one level */
export function mixture(parts: readonly Part[]): Task<Mixed> {
  const moving = parts.find(({ task }) => task.curriculum !== undefined)?.task;
  if (moving !== undefined)
    throw new UserError({
      kind: "task",
      what: `The difficulty of ${moving.name} is moved by the pass rate, and it is a part of a mixture`,
      remedy: "Give it levels, such as difficulty: [1, 2].",
    });
  const place = interleaved(parts.map(({ share }) => share));
  const tasks = parts.map(({ task }) => task);
  const of = ({ part }: Mixed): Task => tasks[part];
  const steps = tasks.find(({ checkSteps }) => checkSteps !== undefined);
  return {
    name: "mix",
    generate(key) {
      const { part, rank } = place(key.index);
      const problem = tasks[part].generate({ ...key, index: rank });
      // Two parts may be of one kind.
      return { ...problem, id: `mix/${part}/${problem.id}`, part };
    },
    content: (problem) => `${problem.part} ${of(problem).content?.(problem) ?? problem.prompt}`,
    verify: (problem, completion) => of(problem).verify(problem, completion),
    solve: (problem) => answerTo(of(problem), problem) ?? "",
    thought: (problem) => of(problem).thought?.(problem) ?? "",
    ...(steps !== undefined && { checkSteps: steps.checkSteps, stepName: steps.stepName }),
    rewards: Object.assign({}, ...tasks.map(({ rewards }) => rewards)),
  };
}
