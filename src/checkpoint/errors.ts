/** Errors about model folders, tensor files and checkpoints: what was expected somewhere, and what was found there. */
import { UserError } from "../lib/errors.ts";

/** @param where a file, or a place in it */
export function mismatch(
  where: string,
  expected: string,
  found: string,
  remedy: string,
  cause?: unknown,
): UserError {
  return new UserError({ kind: "checkpoint", where, expected, found, remedy, cause });
}

export const tensorIn = (file: string, tensor: string): string => `${file}, tensor ${tensor}`;

/** The first few names, and how many more there are. */
export function listed(names: readonly string[], most = 8): string {
  if (names.length === 0) return "none";
  if (names.length <= most) return names.join(", ");
  return `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
}
