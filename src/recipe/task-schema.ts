/** The task of a recipe or of one evaluation. */
import { z } from "zod";

export const taskSchema = z.looseObject({ kind: z.enum(["countdown", "arithmetic", "equations", "jsonl"]) });

export type TaskOptions = z.infer<typeof taskSchema>;
