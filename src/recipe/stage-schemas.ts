/** What each kind of stage may say in a recipe: the options of src/train with a name and data, and evaluations. */
import { z } from "zod";
import { count, fraction } from "../lib/schema.ts";
import { grpoOptions, pretrainOptions, sftOptions } from "../train/options.ts";
import { dataSchema } from "./part-schemas.ts";
import { taskSchema } from "./task-schema.ts";

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, {
  error: "A stage's name labels its metrics: letters, digits, '.', '_' and '-' only.",
});

export const pretrainSchema = z.strictObject({ name, data: dataSchema, ...pretrainOptions.shape });
export const sftSchema = z.strictObject({ name, data: dataSchema, ...sftOptions.shape });
export const grpoSchema = z.strictObject({ name, ...grpoOptions.shape });

export const evaluateSchema = z.strictObject({
  name,
  kind: z.literal("evaluate"),
  label: z.string().min(1),
  /** How many different ones; where it is left out: all of a file's. */
  problems: count.optional(),
  /** Completions per problem. */
  samples: count,
  temperature: z.number().min(0),
  topP: fraction.positive().optional(),
  topK: count.optional(),
  /** Where it is left out: what the model's positions leave after the prompt. */
  maxNewTokens: count.optional(),
  /** Rows that the sampler decodes at once. */
  maxBatch: count.default(128),
  /** Of a file that no stage trains on, "test" is all of the file; so is "all" of any file. */
  split: z.enum(["train", "validation", "test", "all"]).default("test"),
  task: taskSchema.optional(),
});

export const stageSchema = z.discriminatedUnion("kind", [
  pretrainSchema,
  sftSchema,
  grpoSchema,
  evaluateSchema,
]);

export type PretrainStage = z.infer<typeof pretrainSchema>;
export type SftStage = z.infer<typeof sftSchema>;
export type GrpoStage = z.infer<typeof grpoSchema>;
export type EvaluateStage = z.infer<typeof evaluateSchema>;
export type Stage = z.infer<typeof stageSchema>;
