/** A stage's problems against the model: each split has some, and each prompt leaves room for its completion. */
import type { ModelShape } from "../checkpoint/folder.ts";
import { encodeProblem } from "../data/prompt.ts";
import { encodeReply } from "../data/reply.ts";
import { isUserError, UserError, usageError } from "../lib/errors.ts";
import { usablePositions } from "../models/rope.ts";
import { atEffort } from "../tasks/effort.ts";
import { splitRows } from "../tasks/jsonl-rows.ts";
import { probeTask } from "../tasks/probe.ts";
import type { Problem, Task } from "../tasks/problem.ts";
import { taskFrom } from "../tasks/registry.ts";
import { dataSetError } from "../tasks/rows.ts";
import { Endpoint } from "../train/endpoint.ts";
import { rewardsOf } from "../train/rewards.ts";
import type { Note } from "./check-data.ts";
import { evaluationProblems, largestCompletion, resolveEvaluation } from "./resolve.ts";
import {
  type AskingStage,
  type EvaluateStage,
  type Recipe,
  type TaskOptions,
  taskOfStage,
} from "./schema.ts";

/** Generated problems whose prompts are measured. */
const MEASURED = 256;

/**
 * @throws UserError for a file that cannot be read, a split without rows, a question that is too long, a limit that exceeds
 *   the model's positions, a reward that the task does not have, a teacher's key that is not set, or a task module that is at fault
 */
export function checkTask(stage: AskingStage, recipe: Recipe, model: ModelShape): Note[] {
  const options = taskOfStage(stage, recipe);
  const task = taskFrom(options);
  const problems =
    stage.kind === "evaluate"
      ? evaluationProblems(resolveEvaluation(stage, recipe, model)).map(({ problem }) => problem)
      : atLongestEffort(stage, task.list?.("train") ?? generated(task, stage, recipe.seed));
  if (stage.kind !== "sample" || stage.teacher === undefined) checkRoom(stage, options, problems, model);
  else new Endpoint(stage.teacher);
  if (task.environment !== undefined) checkReplies(stage, problems[0]!, model);
  const weighted = stage.kind === "grpo" ? rewardsOf(stage, task) : [];
  if (options.kind === "module") {
    const names = weighted.map(({ name }) => name);
    return probeTask(task, problems, names).map((message) => ({ level: "warning", message }));
  }
  if (options.kind !== "jsonl") return [];
  const { shared } = splitRows(options);
  return stage.kind === "grpo" && shared > 0
    ? [
        {
          level: "warning",
          message: `${shared} rows of ${options.file} have a question of ${options.test} and are not trained.`,
        },
      ]
    : [];
}

function generated(task: Task, stage: Exclude<AskingStage, EvaluateStage>, seed: number): Problem[] {
  const asked = stage.kind === "sample" ? stage.problems : stage.steps * stage.problemsPerStep;
  const length = Math.min(asked, MEASURED);
  return Array.from({ length }, (_, index) => task.generate({ seed, split: "train", index }));
}

/** As the level with the most digits makes them. */
function atLongestEffort(stage: AskingStage, problems: readonly Problem[]): Problem[] {
  const levels = stage.kind === "grpo" ? stage.effort?.levels : undefined;
  const level = levels && Math.max(...levels);
  return problems.map((problem) => atEffort(problem, level));
}

/** A chat template may have no place for an environment's replies. */
function checkReplies(stage: AskingStage, problem: Problem, model: ModelShape): void {
  try {
    encodeReply(model, problem, [{ role: problem.tools === undefined ? "user" : "tool", content: "" }], -1);
  } catch (error) {
    if (!isUserError(error, "chat-template")) throw error;
    throw usageError(`Stage "${stage.name}", task: ${error.found}.`, error.remedy ?? "");
  }
}

function checkRoom(
  stage: AskingStage,
  options: TaskOptions,
  problems: readonly Problem[],
  model: ModelShape,
): void {
  const { name, maxNewTokens } = stage;
  const maxPositions = usablePositions(model.config.maxPositions);
  const needed = maxNewTokens ?? largestCompletion(model);
  let longest = { length: 0, id: "" };
  let shortest = Number.POSITIVE_INFINITY;
  for (const problem of problems) {
    const { length } = promptOf(problem, stage, options, model);
    shortest = Math.min(shortest, length);
    if (length > longest.length) longest = { length, id: problem.id };
  }
  const { length, id } = longest;
  if (length + needed <= maxPositions) return;
  const found = `its prompt takes ${length} tokens, and stage "${name}" wants ${needed} more for the completion${maxNewTokens === undefined ? ", three quarters of its positions" : " (maxNewTokens)"}, where the model has ${maxPositions} positions`;
  const lower = maxPositions - length >= 1 ? `maxNewTokens can be at most ${maxPositions - length}` : null;
  // A limit that the shortest prompt leaves no room for is the recipe's mistake, and not a row's.
  if (options.kind === "jsonl" && shortest + needed <= maxPositions)
    throw rowError(
      id,
      options,
      stage,
      found,
      `Shorten the question or leave the row out${lower === null ? "" : `, or lower the limit: ${lower}`}.`,
    );
  throw stageError(
    name,
    [maxNewTokens === undefined ? "name" : "maxNewTokens"],
    `Completions of ${needed} tokens and the longest prompt (${length} tokens) do not fit the model's ${maxPositions} positions.`,
    lower === null
      ? "Choose a task with shorter prompts, or a model with more positions."
      : `Lower it: ${lower}.`,
  );
}

function promptOf(problem: Problem, stage: AskingStage, options: TaskOptions, model: ModelShape): number[] {
  try {
    return encodeProblem(model, problem);
  } catch (error) {
    if (isUserError(error, "input") && options.kind === "jsonl")
      throw rowError(problem.id, options, stage, error.message.replace(/\.$/, ""), null);
    if (isUserError(error, "chat-template"))
      throw usageError(`Stage "${stage.name}", task: ${error.found}.`, error.remedy ?? "");
    if (isUserError(error, "input"))
      throw usageError(`Stage "${stage.name}", task: ${error.message}`, "Choose another task or model.");
    throw error;
  }
}

/** The id of a listed problem ends with its place in the file. */
function rowError(
  id: string,
  { file, test }: TaskOptions & { kind: "jsonl" },
  stage: AskingStage,
  found: string,
  remedy: string | null,
): UserError {
  const place = id.replace(/^[^/]*\//, "");
  const line = /^line (\d+)$/.exec(place)?.[1];
  const where = stage.kind === "evaluate" && stage.split === "test" && test !== undefined ? test : file;
  return dataSetError(
    where,
    line === undefined ? null : Number(line),
    line === undefined ? `${place}: ${found}` : found,
    "questions that the model can read, with room for a completion",
    remedy,
  );
}

/** A stage asks for what its model or its data do not have. @param path the key within the stage */
export const stageError = (
  stage: string,
  path: (string | number)[],
  message: string,
  remedy: string,
): UserError =>
  new UserError({
    kind: "stage",
    where: `Stage "${stage}", ${path.join(".")}`,
    what: message,
    remedy,
    data: { path },
  });
