/** The task of a recipe or of one evaluation: its kind here, its options as the task itself checks them. */
import { z } from "zod";
import { numbers } from "./part-schemas.ts";

export const taskSchema = z.discriminatedUnion("kind", [
  z.looseObject({ kind: z.literal("countdown"), numbers }),
  z.looseObject({ kind: z.literal("arithmetic") }),
  z.looseObject({ kind: z.literal("equations") }),
  z.looseObject({ kind: z.literal("jsonl"), file: z.string().min(1) }),
]);

export type TaskOptions = z.infer<typeof taskSchema>;
