/** Words for what the Hub has and refuses. */

/** What went wrong between us and the Hub, and what to do. */
export class HubError extends Error {
  override name = "HubError";
  readonly remedy: string;
  /** Whether the same request may work in a moment. */
  readonly transient: boolean;

  constructor(
    message: string,
    remedy: string,
    { transient = false, cause }: { transient?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.remedy = remedy;
    this.transient = transient;
  }
}

/** Large files are known by the SHA-256 of their bytes, small ones by git's SHA-1 of a blob. */
export interface Checksum {
  kind: "sha256" | "git";
  hex: string;
}

export interface HubFile {
  path: string;
  bytes: number;
  /** `null` where the server names none: then the size alone can be compared. */
  sum: Checksum | null;
}

export interface HubModel {
  name: string;
  /** Every file comes from this one commit. */
  commit: string;
  files: HubFile[];
}
