/** All kinds of tasks: the schema of their options, and the function that makes a task of them. */
import { z } from "zod";
import { arithmetic, arithmeticOptions } from "./arithmetic.ts";
import { countdown, countdownOptions } from "./countdown.ts";
import { equationsOptions, equationsTask } from "./equations.ts";
import { baseConversion } from "./families/base-conversion.ts";
import { booleanExpression } from "./families/boolean-expression.ts";
import { calendar } from "./families/calendar.ts";
import { familyRelationships } from "./families/family-relationships.ts";
import { graphColoring } from "./families/graph-coloring.ts";
import { knightsAndKnaves } from "./families/knights-and-knaves.ts";
import { miniSudoku } from "./families/mini-sudoku.ts";
import { numberSequence } from "./families/number-sequence.ts";
import { sortingSteps } from "./families/sorting-steps.ts";
import { syllogism } from "./families/syllogism.ts";
import { towerOfHanoi } from "./families/tower-of-hanoi.ts";
import { wordSorting } from "./families/word-sorting.ts";
import { instructions, instructionsOptions } from "./instructions.ts";
import { type JsonlProblem, jsonl, jsonlOptions, jsonlVerifier } from "./jsonl.ts";
import { mixture, mixtureOptions } from "./mixture.ts";
import { moduleOptions, moduleTask } from "./module-task.ts";
import type { Task } from "./problem.ts";
import type { ChatPromptTemplate } from "./prompt.ts";
import { equationSteps } from "./thought-equations.ts";
import { wordProblems, wordProblemsOptions } from "./word-problems.ts";

/** A kind of task: the schema of its options, and the function that makes a task of them. */
const kind = <S extends z.ZodObject>(options: S, make: (options: z.output<S>) => Task) => ({ options, make });

type SchemasOf<T extends readonly { options: z.ZodObject }[]> = { -readonly [K in keyof T]: T[K]["options"] };

/** The kinds that generate their problems, of which a mixture has its parts. */
const GENERATED = [
  kind(countdownOptions, countdown),
  kind(arithmeticOptions, arithmetic),
  kind(equationsOptions, equationsTask),
  kind(wordProblemsOptions, wordProblems),
  kind(instructionsOptions, instructions),
  baseConversion,
  booleanExpression,
  calendar,
  familyRelationships,
  graphColoring,
  knightsAndKnaves,
  miniSudoku,
  numberSequence,
  sortingSteps,
  syllogism,
  towerOfHanoi,
  wordSorting,
] as const;

/** A new kind is one line here, and a file of its own. Those of `families/` are entries as they are. */
const KINDS = [...GENERATED, kind(jsonlOptions, jsonl), kind(moduleOptions, moduleTask)] as const;

const schemasOf = <T extends readonly { options: z.ZodObject }[]>(kinds: T) =>
  kinds.map(({ options }) => options) as SchemasOf<T>;

const generatedOptions = z.discriminatedUnion("kind", schemasOf(GENERATED));

/** The options of every kind of task, by `kind`. */
export const taskOptions = z.discriminatedUnion("kind", [
  ...schemasOf(KINDS),
  mixtureOptions(generatedOptions),
]);

/** The kinds that need no file, so that their name alone is a task. */
export const NAMED_KINDS = KINDS.map(({ options }) => options.shape.kind.value).filter(
  (name) => name !== "jsonl" && name !== "module",
);

/** Rewards of the tasks above, by name: a recipe may name these beside those of train/rewards.ts. */
export const builtInRewards = equationSteps.rewards;

/** The form of the prompts. */
export const templateOf = (options: TaskOptions): ChatPromptTemplate =>
  (options.kind === "mix" ? options.parts[0].task.template : options.template) ?? "plain";

/** The same task, asked in this form. */
export function withTemplate(options: TaskOptions, template: ChatPromptTemplate): TaskOptions {
  if (options.kind !== "mix") return taskOptions.parse({ ...options, template });
  const parts = options.parts.map((part) => ({ ...part, task: { ...part.task, template } }));
  return taskOptions.parse({ ...options, parts });
}

/** Options of a task with all defaults. */
export type TaskOptions = z.infer<typeof taskOptions>;

/** As a person writes them: options with a default may be left out. */
export type TaskInput = z.input<typeof taskOptions>;

/** @throws ZodError for options outside the schema; UserError for a broken data set. */
export function taskFrom(input: TaskInput): Task {
  const options = taskOptions.parse(input);
  if (options.kind === "mix")
    return mixture(options.parts.map((part) => ({ ...part, task: taskFrom(part.task) })));
  const { make } = KINDS.find(({ options: schema }) => schema.shape.kind.value === options.kind)!;
  return (make as (options: TaskOptions) => Task)(options);
}

/** The parts of a task that need no data set: they verify stored completions again. */
export type Verifier = Pick<
  Task,
  "verify" | "verifyAll" | "environment" | "checkSteps" | "stepName" | "rewards"
>;

export function verifierFrom(input: TaskInput): Verifier {
  const options = taskOptions.parse(input);
  if (options.kind !== "jsonl") return taskFrom(options);
  const verify = jsonlVerifier(options);
  return { ...equationSteps, verify: (problem, completion) => verify(problem as JsonlProblem, completion) };
}
