/**
 * What a run has cost. Each process that works on a run keeps one session in the bill and rewrites only
 * that one, so a resume adds up and nothing is counted twice. Work that a kill destroyed and that was
 * computed again was paid twice, and is counted twice.
 */
import type { Bill } from "../events.ts";
import type { Rates } from "./prices.ts";

export interface Usage {
  /** Counted from the graphs that ran. */
  flops: number;
  seconds: number;
  /** Trained and generated tokens. */
  tokens: number;
  /** Measured energy; left out or `null`, it is seconds x watts where the watts are known. */
  wattHours?: number | null;
}

export type BillLine = Bill["lines"][number];

export interface BillSession {
  /** ISO 8601; the session's identity. */
  startedAt: string;
  lines: BillLine[];
}

/** bill.json: the sums that everybody reads, and the sessions that they come from. */
export interface BillFile extends Bill {
  sessions: BillSession[];
}

export class BillBook {
  readonly #rates: Rates;
  readonly #earlier: BillSession[];
  readonly #session: BillSession;

  /** `previous` is the bill.json found in the run's folder, or `null` in a new run. */
  constructor(rates: Rates, startedAt: string, previous: BillFile | null = null) {
    this.#rates = rates;
    this.#earlier = (previous?.sessions ?? []).filter((session) => session.startedAt !== startedAt);
    this.#session = { startedAt, lines: [] };
  }

  charge(stage: string, usage: Usage): void {
    const { watts, dollarsPerHour } = this.#rates;
    const hours = usage.seconds / 3600;
    const wattHours = usage.wattHours ?? (watts === null ? null : watts * hours);
    const dollars = dollarsPerHour === null ? null : dollarsPerHour * hours;
    const { flops, seconds, tokens } = usage;
    addLine(this.#session.lines, { stage, flops, seconds, tokens, wattHours, dollars });
  }

  bill(): BillFile {
    const sessions = [...this.#earlier, this.#session];
    const lines: BillLine[] = [];
    for (const session of sessions) for (const line of session.lines) addLine(lines, line);
    const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
    return {
      flops: sum(lines.map((line) => line.flops)),
      seconds: sum(lines.map((line) => line.seconds)),
      wattHours: sumKnown(lines.map((line) => line.wattHours)),
      dollars: sumKnown(lines.map((line) => line.dollars)),
      lines,
      method: this.#method(sessions.length),
      sessions,
    };
  }

  #method(sessions: number): string {
    const counted = "FLOPs are counted from the graphs that ran; seconds are wall-clock time.";
    const added =
      sessions === 1
        ? ""
        : ` Sum of ${sessions} sessions, with the work that had to be done again after a stop.`;
    return `${counted} ${this.#rates.method}${added}`;
  }
}

/** Adds to the line of the same stage, or appends one. */
function addLine(lines: BillLine[], line: BillLine): void {
  const same = lines.find(({ stage }) => stage === line.stage);
  if (same === undefined) {
    lines.push({ ...line });
    return;
  }
  same.flops += line.flops;
  same.seconds += line.seconds;
  same.tokens += line.tokens;
  same.wattHours = sumKnown([same.wattHours, line.wattHours]);
  same.dollars = sumKnown([same.dollars, line.dollars]);
}

/** One unknown part makes the sum unknown: it is not zero. */
function sumKnown(values: (number | null)[]): number | null {
  return values.reduce((sum, value) => (sum === null || value === null ? null : sum + value), 0);
}
