/**
 * Results that are computed later. A request that takes long is answered with the id of a future at once, and the client
 * asks for it until it is there.
 */
import { randomBytes } from "node:crypto";
import { toFailure } from "../../lib/failure.ts";
import { Refusal } from "./refusal.ts";

/** What a future comes to: a JSON body, a protobuf message, or why there is none. */
export type Outcome =
  | { kind: "json"; body: object }
  | { kind: "proto"; bytes: Uint8Array }
  | { kind: "failed"; error: string; category: "user" | "server" };

interface Entry {
  outcome: Outcome | null;
  settled: Promise<void>;
  /** When it was first asked for, in milliseconds. */
  read: number | null;
}

/** Milliseconds that a question waits for a result; the client gives up after 45 s. */
const WAIT_MS = 25_000;
/** Milliseconds that a result is kept after it was read: its answer may have been lost on the way. */
const KEPT_MS = 5 * 60_000;

export class Futures {
  private readonly entries = new Map<string, Entry>();

  /** Registers work that has begun; its error becomes the future's. */
  add(work: Promise<Outcome>): string {
    const id = `future-${randomBytes(8).toString("hex")}`;
    const entry: Entry = { outcome: null, settled: Promise.resolve(), read: null };
    entry.settled = work.catch(failed).then((outcome) => {
      entry.outcome = outcome;
    });
    this.entries.set(id, entry);
    this.forgetOld();
    return id;
  }

  /** The outcome, or `null` if it is not there yet. @throws Refusal (410) for a future that is not known */
  async wait(id: string, milliseconds = WAIT_MS): Promise<Outcome | null> {
    const entry = this.entries.get(id);
    if (entry === undefined)
      throw new Refusal(410, {
        where: "request_id",
        what: `there is no result "${id.slice(0, 100)}" here`,
        remedy: "It was read long ago, or this server has been started again: send the request again.",
      });
    if (entry.outcome === null) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, milliseconds);
      });
      await Promise.race([entry.settled, late]);
      clearTimeout(timer);
    }
    if (entry.outcome !== null) entry.read ??= Date.now();
    return entry.outcome;
  }

  private forgetOld(now = Date.now()): void {
    for (const [id, { read }] of this.entries)
      if (read !== null && now - read > KEPT_MS) this.entries.delete(id);
  }
}

/** An error as the client shows it. */
export function failed(error: unknown): Outcome {
  const { message, remedy, unexpected } = toFailure(error);
  const text = remedy === null ? message : `${message.replace(/[.]$/, "")}. ${remedy}`;
  return { kind: "failed", error: text, category: unexpected ? "server" : "user" };
}
