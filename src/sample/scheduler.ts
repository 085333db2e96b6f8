/** Which requests run: a finished row is free at once, and the next waiting request takes it. */
import { Random } from "../lib/random.ts";
import type { GenerationRequest } from "./requests.ts";

export interface Row {
  /** Index of the request. */
  index: number;
  request: GenerationRequest;
  random: Random;
  /** The token to be fed next, and its position; positions below it are in the cache. */
  next: number;
  position: number;
  ids: number[];
  logProbs: number[];
  /** Whether the newest token ends the completion; otherwise its length may. */
  stopped: boolean;
}

/** Batch sizes that the sampler runs; the smallest that holds the active rows is used. */
const LADDER = [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256];

/** The largest batch, whatever `maxBatch` is asked for. */
export const MOST_ROWS = LADDER[LADDER.length - 1];

/** The smallest batch size of the ladder that holds `rows`, at most `MOST_ROWS`. */
export function ladderSize(rows: number): number {
  return LADDER.find((size) => size >= rows) as number;
}

export class Scheduler {
  /** Rows 0 to active.length - 1 of the cache. */
  readonly active: Row[] = [];
  readonly maxBatch: number;
  private readonly requests: readonly GenerationRequest[];
  private waiting = 0;

  constructor(requests: readonly GenerationRequest[], maxBatch: number) {
    this.requests = requests;
    this.maxBatch = Math.min(maxBatch, requests.length, MOST_ROWS);
  }

  done(): boolean {
    return this.active.length === 0 && this.waiting === this.requests.length;
  }

  batchSize(): number {
    return ladderSize(this.active.length);
  }

  /** Moves waiting requests into free rows; returns the new ones with their row numbers. */
  admit(): { row: number; entry: Row }[] {
    const admitted: { row: number; entry: Row }[] = [];
    while (this.active.length < this.maxBatch && this.waiting < this.requests.length) {
      const index = this.waiting++;
      const request = this.requests[index];
      const position = request.prompt.length - 1;
      const random = new Random(...(request.key as [string]));
      const next = request.prompt[position];
      const entry = { index, request, random, next, position, ids: [], logProbs: [], stopped: false };
      this.active.push(entry);
      admitted.push({ row: this.active.length - 1, entry });
    }
    return admitted;
  }

  /** Removes row `row`; the last row takes its number and must be moved in the cache: returns its old number. */
  release(row: number): number | null {
    const last = this.active.length - 1;
    const moved = this.active.pop() as Row;
    if (row === last) return null;
    this.active[row] = moved;
    return last;
  }
}
