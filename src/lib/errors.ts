/** Errors that a person can act on: one class, with what was wrong, where, what was expected and what to do now as data. */

/** Which part of the program refuses. Callers and tests decide by it, never by the words of a message. */
export type ErrorKind =
  | "chat-template"
  | "checkpoint"
  | "config"
  | "data-set"
  | "disk"
  | "evaluation"
  | "generation"
  | "hub"
  | "input"
  | "logits"
  | "model-file"
  | "non-finite"
  | "platform"
  | "port"
  | "recipe"
  | "run-folder"
  | "stage"
  | "task"
  | "text-file"
  | "tokenizer"
  | "usage"
  | "verifier";

/** What a `UserError` is made of: `what`, or `expected` and `found`. */
export interface UserErrorDetail {
  kind: ErrorKind;
  /** File, line, tensor or field. */
  where?: string;
  /** What was wrong, as a sentence without its full stop; left out, it is "expected …, found …". */
  what?: string;
  expected?: string;
  found?: string;
  /** What to do now, as a sentence. */
  remedy?: string;
  /** Whatever else a caller decides by, as plain data. */
  data?: Readonly<Record<string, unknown>>;
  cause?: unknown;
}

/** The message is `where: what. remedy`. Any other class of error is a fault of this program. */
export class UserError extends Error {
  override name = "UserError";
  readonly kind: ErrorKind;
  readonly where: string | null;
  readonly expected: string | null;
  readonly found: string | null;
  readonly remedy: string | null;
  readonly data: Readonly<Record<string, unknown>>;

  constructor({ kind, where, what, expected, found, remedy, data = {}, cause }: UserErrorDetail) {
    const said = what ?? `expected ${expected}, found ${found}`;
    const sentence = `${where === undefined ? "" : `${where}: `}${said}`;
    super(remedy === undefined ? sentence : `${sentence.replace(/[.]$/, "")}. ${remedy}`, { cause });
    this.kind = kind;
    this.where = where ?? null;
    this.expected = expected ?? null;
    this.found = found ?? null;
    this.remedy = remedy ?? null;
    this.data = data;
  }
}

/** The usual refusal. @param what, @param remedy sentences */
export const userError = (kind: ErrorKind, what: string, remedy: string): UserError =>
  new UserError({ kind, what, remedy });

/** A command or a setting cannot be followed. @param what, @param remedy sentences */
export const usageError = (what: string, remedy: string): UserError => userError("usage", what, remedy);

/** Whether an error is a `UserError` of this kind. */
export function isUserError(error: unknown, kind: ErrorKind): error is UserError {
  return error instanceof UserError && error.kind === kind;
}

/** The system's code of a failed file or network operation, e.g. "ENOSPC". */
export function systemCode(error: unknown): string | null {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
}
