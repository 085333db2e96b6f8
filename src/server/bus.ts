/** Passes a run's events to the pages: all of the state for a new page, missed events for one that reconnects. */
import { randomBytes } from "node:crypto";
import type { RunEvent } from "../events.ts";
import { apply, emptyRun, GROUPS_KEPT, type RunState } from "./run-state.ts";

/** `state` replaces the reader's state, `run` is one event to add to it. */
export type Frame = { kind: "state" | "run"; id: string; data: string } | { kind: "heartbeat" };

interface Logged {
  number: number;
  data: string;
}

/** Bytes of recent events for readers that reconnect; a reader that missed more gets the complete state. */
const LOG_BYTES = 4_000_000;
const HEARTBEAT_MS = 15_000;

export class RunBus {
  /** Part of every id, so that ids of an earlier process match nothing. */
  readonly #epoch = randomBytes(4).toString("hex");
  readonly #state: RunState = emptyRun();
  readonly #log: Logged[] = [];
  readonly #sleepers = new Set<() => void>();
  #logBytes = 0;
  #last = 0;

  /** The run so far, read-only. */
  get state(): RunState {
    return this.#state;
  }

  /** The id of the latest event. */
  get lastId(): string {
    return `${this.#epoch}-${this.#last}`;
  }

  publish(event: RunEvent): void {
    const trimmed =
      event.type === "samples" ? { ...event, groups: event.groups.slice(0, GROUPS_KEPT) } : event;
    // Through JSON and back, so that the state equals a reader's: NaN and Infinity become null.
    const data = JSON.stringify(trimmed);
    apply(this.#state, JSON.parse(data) as RunEvent);
    this.#append(data);
    for (const message of notFinite(event)) this.publish({ type: "notice", level: "warning", message });
  }

  /**
   * Frames from `fromId` (a `Last-Event-ID`) on, without end; for an unknown id the
   * complete state comes first. The reader pulls, so nothing is queued for a slow one.
   */
  async *subscribe(fromId: string | null, signal: AbortSignal): AsyncGenerator<Frame, void> {
    let cursor = this.#find(fromId);
    while (!signal.aborted) {
      const oldest = this.#last - this.#log.length;
      if (cursor === null || cursor < oldest) {
        cursor = this.#last;
        yield { kind: "state", id: this.lastId, data: JSON.stringify(this.#state) };
      } else if (cursor < this.#last) {
        const next: Logged = this.#log[cursor - oldest]!;
        cursor = next.number;
        yield { kind: "run", id: `${this.#epoch}-${next.number}`, data: next.data };
      } else if (await this.#quiet(signal)) {
        yield { kind: "heartbeat" };
      }
    }
  }

  #append(data: string): void {
    this.#log.push({ number: ++this.#last, data });
    this.#logBytes += data.length;
    while (this.#logBytes > LOG_BYTES) this.#logBytes -= this.#log.shift()!.data.length;
    for (const wake of [...this.#sleepers]) wake();
  }

  #find(id: string | null): number | null {
    const [epoch, number] = id?.split("-") ?? [];
    if (epoch !== this.#epoch || !/^\d{1,15}$/.test(number ?? "")) return null;
    return Number(number) > this.#last ? null : Number(number);
  }

  /** Waits for an event; true if none came within a heartbeat's time. */
  #quiet(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (quiet: boolean): void => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve(quiet);
      };
      const wake = (): void => finish(false);
      const timer = setTimeout(() => finish(true), HEARTBEAT_MS);
      timer.unref();
      this.#sleepers.add(wake);
      signal.addEventListener("abort", wake);
    });
  }
}

/** Warnings about NaN and Infinity, which JSON turns into null. */
function notFinite(event: RunEvent): string[] {
  if (event.type !== "metrics") return [];
  return Object.entries(event.metrics)
    .filter(([, value]) => value !== null && !Number.isFinite(value))
    .map(([name, value]) => `${name} was ${value} at step ${event.step} of ${event.stage}: shown as a gap`);
}
