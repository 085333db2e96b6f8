/** A run folder that cannot be used as asked. */
export class RunFolderError extends Error {
  override name = "RunFolderError";
  readonly path: string;
  readonly remedy: string;

  constructor(path: string, what: string, remedy: string, cause?: unknown) {
    super(`${what} ${remedy}`, { cause });
    this.path = path;
    this.remedy = remedy;
  }
}
