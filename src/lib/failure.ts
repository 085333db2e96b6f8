/** Any error as plain data that crosses threads and fits one screen: what is wrong, and what to do. */
import { systemCode, UserError } from "./errors.ts";

/** An error as plain data. */
export interface Failure {
  /** A `UserError`'s kind, e.g. "recipe"; another error's class. */
  kind: string;
  /** What was wrong, where, and what was expected. */
  message: string;
  remedy: string | null;
  stack: string | null;
  /** Not caused by the person's input, files or machine: a fault of this program. */
  unexpected: boolean;
}

/** A failure as an error again, on the other side of a thread; its message ends with the remedy, as a `UserError`'s does. */
export class FailureError extends Error {
  override name = "FailureError";
  readonly failure: Failure;

  constructor(failure: Failure) {
    super([failure.message, failure.remedy].filter(Boolean).join(" "));
    this.failure = failure;
  }
}

const CLOSED = "Change its permissions, or work in another folder.";
/** System errors that a person can mend, by code. */
const SYSTEM: Record<string, string> = {
  ENOENT: "Check the path.",
  EACCES: CLOSED,
  EPERM: CLOSED,
  EROFS: "Its disk may only be read: work in another folder.",
  ENOSPC: "Free some space and run the same command again.",
  EDQUOT: "Your quota is used up: free some space and run the same command again.",
  EISDIR: "This is a folder, and a file is wanted: correct the path.",
  ENOTDIR: "A part of the path is a file, and a folder is wanted: correct it.",
  ELOOP: "The path's links lead round in a circle: correct them.",
  ENAMETOOLONG: "Use a shorter path.",
  EMFILE:
    "This process may not open more files: raise the limit (ulimit -n 4096) and run the same command again.",
  ENFILE: "The system has too many files open: close other programs and run the same command again.",
};

/** The error as data, its remedy apart from its message. Expected are a `UserError` and a system error of the table. */
export function toFailure(error: unknown): Failure {
  if (error instanceof FailureError) return error.failure;
  if (!(error instanceof Error))
    return { kind: "Error", message: String(error), remedy: null, stack: null, unexpected: true };
  const { name, message, stack = null } = error;
  if (error instanceof UserError) {
    const { kind, remedy } = error;
    const what = remedy === null ? message : message.slice(0, -remedy.length);
    return { kind, message: what.trim(), remedy, stack, unexpected: false };
  }
  const remedy = SYSTEM[systemCode(error) ?? ""] ?? null;
  return { kind: name, message: message.trim(), remedy, stack, unexpected: remedy === null };
}
