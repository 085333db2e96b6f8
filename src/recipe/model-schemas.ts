/** What a recipe may say of its model beside a new shape (src/models): weights to start from. */
import { z } from "zod";

/**
 * Weights to start from: a folder with config.json and safetensors, or a GGUF file; and a folder with a LoRA adapter in
 * PEFT's format that is merged into them.
 */
export const modelFolderSchema = z.strictObject({
  from: z.string().min(1),
  adapter: z.string().min(1).optional(),
});
