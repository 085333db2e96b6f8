/** Refuses a GGUF file by its first bytes, before gigabytes of it are downloaded. */
import { isUserError, type UserError } from "../../lib/errors.ts";
import { knownArchitecture } from "./config.ts";
import { Cursor, MAGIC, readMetadata } from "./header.ts";
import { checkKind, knownSplit } from "./tokenizer.ts";
import { Metadata } from "./values.ts";

/** Architecture and split rule come before the vocabulary, within a few kilobytes. */
export const BEGINNING_BYTES = 1 << 16;

/**
 * @param data the first bytes, in a buffer that holds nothing else
 * @param size of the file, in bytes
 * @returns why the file cannot be read here, or `null` if its first bytes do not tell
 */
export function refusedByBeginning(file: string, data: Uint8Array, size: number): UserError | null {
  const metadata = new Metadata(file);
  try {
    const bytes = (position: number, length: number) => data.subarray(position, position + length);
    const cursor = new Cursor({ file, size, bytes });
    if (cursor.u32() !== MAGIC) return null;
    cursor.u32();
    cursor.u64();
    readMetadata(cursor, metadata);
  } catch {
    // The header is longer than these bytes, or damaged, which the reader will report.
  }
  try {
    if (metadata.text("general.type", "model") === "adapter")
      return metadata.wrong("general.type", '"model"', "An adapter is a part of a model, not one.");
    if (metadata.has("general.architecture")) knownArchitecture(metadata);
    if (metadata.has("tokenizer.ggml.model")) checkKind(metadata);
    if (metadata.has("tokenizer.ggml.pre")) knownSplit(metadata);
    return null;
  } catch (error) {
    if (isUserError(error, "checkpoint")) return error;
    throw error;
  }
}
