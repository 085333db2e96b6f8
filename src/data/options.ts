/** The training data that a pretraining or SFT stage may name. */
import { z } from "zod";
import { count, fraction, off } from "../lib/schema.ts";
import { countdownOptions } from "../tasks/countdown.ts";
import { effortLevel } from "../tasks/effort.ts";
import { taskOptions } from "../tasks/registry.ts";

/** How many numbers a Countdown problem has; several entries are drawn evenly. */
const numbers = z.array(z.int().min(2).max(6)).min(1);

/** Attempts, right and wrong alike, generated on the fly: every equation in them is true. */
const countdownAttempts = z.strictObject({
  kind: z.literal("countdown-attempts"),
  numbers: numbers.describe("How many numbers a problem has; several entries are drawn evenly."),
  hint: fraction.describe("Probability that an attempt is the known solution."),
  singles: fraction.describe("Fraction of documents that are one equation."),
  maxAttempts: count.describe("Most attempts in one thought."),
  goOn: fraction.describe("Probability of another attempt after a miss."),
  maxResult: count.describe("Largest intermediate result."),
  products: fraction.default(0).describe("Fraction of solutions that multiply or divide; 0: as drawn."),
  distinct: off.describe("No attempt twice in one thought."),
  effort: effortLevel.optional().describe("The effort at which the problems are asked, in the prompt."),
  languages: countdownOptions.shape.languages,
  sameLanguage: fraction
    .default(1)
    .describe(
      "Probability that an attempt's words are in the prompt's language; below 1 thoughts mix languages.",
    ),
});

/**
 * The files below a folder, those that import one another as one document, imported files first
 * (DeepSeek-Coder, 2401.14196, section 2.2), and cut for fill-in-the-middle (section 3.1.2) where there is `fim`.
 */
const repository = z.strictObject({
  kind: z.literal("repository"),
  folder: z.string().min(1).describe("Path of the folder."),
  extensions: z
    .array(z.string().regex(/^[A-Za-z0-9+]+$/))
    .min(1)
    .describe("Extensions of the files, without the dot."),
  fim: z
    .strictObject({ rate: fraction.default(0.5), spm: fraction.default(0) })
    .optional()
    .describe("Fill-in-the-middle: `rate` of documents are cut, `spm` of those have the suffix first."),
});

const solvedProblems = z
  .strictObject({
    kind: z.literal("task"),
    task: taskOptions.optional().describe("Default: the recipe's task."),
    wrong: fraction
      .default(0)
      .describe("Share of documents with another problem's answer, as text of mixed quality has them."),
  })
  .describe(
    "Problems of a task, each with the answer of its solver: a model that never solves one learns from these before RL.",
  );

const sampled = z
  .strictObject({
    kind: z.literal("samples"),
    stage: z.string().min(1).describe("The earlier stage that sampled them."),
  })
  .describe("Completions that an earlier stage of `kind: sample` kept.");

const sources = [
  countdownAttempts,
  z.strictObject({
    kind: z.literal("jsonl"),
    file: z.string().min(1).describe("Path of the file; rows have `prompt` and `completion`, or `messages`."),
    template: z
      .enum(["chat", "plain"])
      .optional()
      .describe("Default for SFT: the model's chat template, if any."),
  }),
  z.strictObject({ kind: z.literal("text"), file: z.string().min(1) }),
  repository,
  solvedProblems,
  sampled,
] as const;

const sourceSchema = z.discriminatedUnion("kind", sources);

/** Documents of several sources in given shares. */
const mixture = z.strictObject({
  kind: z.literal("mix"),
  parts: z
    .array(
      z.strictObject({ share: z.number().positive().describe("Weight of this part."), data: sourceSchema }),
    )
    .min(2)
    .describe("Sources, each with its share of the documents."),
});

export const dataSchema = z.discriminatedUnion("kind", [...sources, mixture]);

/** A source that is no mixture. */
export type DataSource = z.infer<typeof sourceSchema>;

export type TrainingData = z.infer<typeof dataSchema>;

/** The sources that a stage's documents come from. */
export const partsOf = (data: TrainingData): DataSource[] =>
  data.kind === "mix" ? data.parts.map((part) => part.data) : [data];
