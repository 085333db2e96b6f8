/** A model folder, tensor file or checkpoint that cannot be read or written as asked. */
export class CheckpointError extends Error {
  override name = "CheckpointError";
  readonly file: string;
  /** Name of the tensor concerned, if there is one. */
  readonly tensor: string | null;
  /** Where in the file, e.g. "byte 24" or "key general.alignment", if that is known and no tensor is named. */
  readonly place: string | null;
  readonly expected: string;
  readonly found: string;
  readonly remedy: string;

  constructor(detail: {
    file: string;
    tensor?: string;
    place?: string;
    expected: string;
    found: string;
    remedy: string;
    cause?: unknown;
  }) {
    const place = detail.tensor === undefined ? detail.place : `tensor ${detail.tensor}`;
    const where = place === undefined ? detail.file : `${detail.file}, ${place}`;
    super(`${where}: expected ${detail.expected}, found ${detail.found}. ${detail.remedy}`, {
      cause: detail.cause,
    });
    this.file = detail.file;
    this.tensor = detail.tensor ?? null;
    this.place = detail.place ?? null;
    this.expected = detail.expected;
    this.found = detail.found;
    this.remedy = detail.remedy;
  }
}
