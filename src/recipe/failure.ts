/** Any error as plain data that crosses threads and fits one screen: what is wrong, and what to do. */
import { latestCheckpoint } from "../checkpoint/resume.ts";
import { UserError } from "../lib/errors.ts";
import { LogitsError } from "../sample/sampler.ts";
import { NonFiniteError } from "../train/step.ts";

export interface Failure {
  /** The kind of a `UserError`, or the class of another error, e.g. "hub" or "RecipeError". */
  kind: string;
  /** What was wrong, where, and what was expected. */
  message: string;
  remedy: string | null;
  stack: string | null;
  /** Anything else than the person's input, files or machine: a fault of this program. */
  unexpected: boolean;
}

/** A failure as an error again, on the other side of a thread. */
export class FailureError extends Error {
  override name = "FailureError";
  readonly failure: Failure;
  readonly remedy: string | null;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
    this.remedy = failure.remedy;
  }
}

/** Classes that speak to the person who made the mistake. */
const SPOKEN = new Set([
  ...["RecipeError", "RunFolderError", "ConfigError", "NonFiniteError", "LogitsError"],
  ...["UsageError", "ModelFileError"],
]);

/** System errors that a person can mend, by code. */
const SYSTEM: Record<string, string> = {
  ENOENT: "Check the path.",
  EACCES: "Change its permissions, or work in a folder of your own.",
  EPERM: "Change its permissions, or work in a folder of your own.",
  EROFS: "Its disk may only be read: work in a folder of your own.",
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

export function toFailure(error: unknown): Failure {
  if (error instanceof FailureError) return error.failure;
  if (!(error instanceof Error))
    return { kind: "Error", message: String(error), remedy: null, stack: null, unexpected: true };
  const { name, stack = null } = error;
  const given = "remedy" in error && typeof error.remedy === "string" ? error.remedy : null;
  const code = "code" in error ? String(error.code) : "";
  const remedy = given ?? SYSTEM[code] ?? null;
  // Several classes end their message with the remedy; the screen shows it once.
  const message =
    given !== null && error.message.endsWith(given) ? error.message.slice(0, -given.length) : error.message;
  return {
    kind: error instanceof UserError ? error.kind : name,
    message: message.trim(),
    remedy,
    stack,
    unexpected: !(error instanceof UserError) && !SPOKEN.has(name) && remedy === null,
  };
}

/** A failure of a run whose checkpoints lie in `checkpoints`: a NaN names the one to return to. */
export function runFailure(error: unknown, checkpoints: string): Failure {
  const failure = toFailure(error);
  if (!(error instanceof NonFiniteError || error instanceof LogitsError)) return failure;
  const saved = latestCheckpoint(checkpoints, () => {});
  const back =
    saved === null
      ? "There is no checkpoint yet, so the same command begins again."
      : `The last good checkpoint is ${saved.path}: the same command returns to it.`;
  const remedy = `${back} The same numbers would fail again at the same step: lower the stage's rate or its clip under a new --name.`;
  return { ...failure, remedy };
}
