/**
 * What a run has cost: the sum of an append-only list of entries, one for each step and each few seconds of a longer one.
 * An entry is written when its work is done and never changed, so a kill loses what ran since the last one, and nothing
 * else. Work that a kill destroyed and that was computed again was paid twice and is counted twice; the bill says how much.
 */
import type { Rates } from "./prices.ts";
import { sumWork, tokensOf, type Work } from "./work.ts";

/** What a run has cost so far; `null` is an unknown cost, which is not zero. */
export interface Bill {
  flops: number;
  seconds: number;
  wattHours: number | null;
  dollars: number | null;
  lines: {
    stage: string;
    flops: number;
    seconds: number;
    tokens: number;
    wattHours: number | null;
    dollars: number | null;
  }[];
  method: string;
}

/** Work of one stage, and how long it took. */
export interface Usage extends Partial<Work> {
  stage: string;
  /** The step of the stage that this is a part of, from 1; 0 is opening the stage; left out or `null` it is neither. */
  step?: number | null;
  /** Whether that step ends here. */
  ends?: boolean;
  seconds: number;
  /** Measured energy; left out or `null`, it is seconds x watts where the watts are known. */
  wattHours?: number | null;
}

export interface Costs extends Work {
  /** Steps that ended. */
  steps: number;
  seconds: number;
  /** `null` is unknown. */
  wattHours: number | null;
  dollars: number | null;
}

/** A line of bill.jsonl. */
export interface BillEntry extends Costs {
  /** Which of the run's processes, from 0. */
  session: number;
  stage: string;
  step: number | null;
}

export type BillLine = Costs & Bill["lines"][number];

export interface BillSession {
  /** ISO 8601. */
  startedAt: string;
  lines: BillLine[];
}

/** A stage whose product another run had made: what it cost there. */
export interface ReusedStage {
  stage: string;
  /** The other run's name. */
  run: string;
  flops: number;
  seconds: number;
  wattHours: number | null;
  dollars: number | null;
}

/** What came free, such as the weights of a base model, and what it is known to have cost others; `null` is unknown. */
export interface Inherited {
  what: string;
  flops: number | null;
  dollars: number | null;
  /** Where these figures are from. */
  source: string | null;
}

/** What the answers of a teacher behind an endpoint cost. */
export interface TeacherCost {
  stage: string;
  /** The teacher's name at its endpoint. */
  model: string;
  promptTokens: number;
  completionTokens: number;
  /** `null` where the recipe names no price. */
  dollars: number | null;
}

/** What others computed for a run. */
export interface Unpaid {
  reused: ReusedStage[];
  inherited: Inherited[];
  /** Absent in files of older versions. */
  teachers?: TeacherCost[];
}

/** bill.json: the sums that everybody reads, and the sessions that they come from. */
export interface BillFile extends Bill {
  lines: BillLine[];
  sessions: BillSession[];
  /** Work that a stop destroyed and that was done again: part of the sums. */
  redone?: Costs;
  /** Beside the sums. Absent in files of older versions. */
  unpaid?: Unpaid;
  /** Rates of the newest session. Absent in files of older versions. */
  rates?: Rates;
}

/** What the next charge is for: the stage, and its step (0: opening the stage; `null`: neither). */
export interface Payer {
  stage: string;
  step: number | null;
  /** All that the stage has computed. */
  work: () => Work;
  /** What of it is charged already. */
  charged: Work;
}

export const payerOf = (stage: string, step: number | null = null): Payer => ({
  ...{ stage, step },
  work: () => sumWork(),
  charged: sumWork(),
});

export class BillBook {
  readonly #rates: Rates;
  readonly #sessions: BillSession[];
  readonly #lines: BillLine[] = [];
  /** The newest session's part of each step, by stage and step: what an older one had of it was done again. */
  readonly #newest = new Map<string, { session: number; costs: Costs }>();
  #redone: Costs = noCosts();
  /** Beside the sums. */
  readonly #unpaid: Unpaid;

  /** @param sessions when each process took the run up; the last one charges. `entries` are those in the run's folder. */
  constructor(
    rates: Rates,
    sessions: readonly string[],
    entries: Iterable<BillEntry> = [],
    unpaid: Partial<Unpaid> = {},
  ) {
    this.#unpaid = { reused: [], inherited: [], ...structuredClone(unpaid) };
    this.#rates = rates;
    this.#sessions = sessions.map((startedAt) => ({ startedAt, lines: [] }));
    for (const entry of entries) this.#add(entry);
  }

  /** @returns the entry, to be appended to the run's folder */
  charge({ stage, step = null, ends = false, seconds, wattHours, ...work }: Usage): BillEntry {
    const { watts, dollarsPerHour } = this.#rates;
    const hours = seconds / 3600;
    const entry = {
      session: this.#sessions.length - 1,
      stage,
      step,
      steps: ends ? 1 : 0,
      ...sumWork(work),
      seconds,
      wattHours: wattHours ?? (watts === null ? null : watts * hours),
      dollars: dollarsPerHour === null ? null : dollarsPerHour * hours,
    };
    this.#add(entry);
    return entry;
  }

  /** A stage whose product was taken over. */
  reuse(stage: ReusedStage): void {
    this.#unpaid.reused.push(stage);
  }

  /** What a stage's teacher has cost so far, in place of what was said before. */
  teacher(cost: TeacherCost): void {
    const others = (this.#unpaid.teachers ?? []).filter(({ stage }) => stage !== cost.stage);
    this.#unpaid.teachers = [...others, cost];
  }

  bill(): BillFile {
    const { flops, seconds, wattHours, dollars } = this.#lines.reduce<Costs>(sumCosts, noCosts());
    return {
      ...{ flops, seconds, wattHours, dollars },
      lines: this.#lines.map((line) => ({ ...line })),
      method: this.#method(),
      sessions: structuredClone(this.#sessions),
      redone: this.#redone,
      unpaid: structuredClone(this.#unpaid),
      rates: this.#rates,
    };
  }

  #add({ session, stage, step, ...costs }: BillEntry): void {
    addLine(this.#lines, stage, costs);
    // One that began after the list of sessions was read is told at the next reading.
    const known = this.#sessions[Math.min(session, this.#sessions.length - 1)] as BillSession;
    addLine(known.lines, stage, costs);
    if (step === null) return;
    const key = JSON.stringify([stage, step]);
    const before = this.#newest.get(key);
    if (before !== undefined && before.session < session) this.#redone = sumCosts(this.#redone, before.costs);
    const same = before?.session === session ? before.costs : noCosts();
    this.#newest.set(key, { session, costs: sumCosts(same, costs) });
  }

  #method(): string {
    const counted =
      "FLOPs are counted from the graphs that ran; tokens are those trained (in each pass, with their prompts), read as prompts, generated, and scored by a reference; seconds are wall-clock time.";
    const sessions = this.#sessions.length;
    const { flops, seconds, steps } = this.#redone;
    const work = `${(flops / 1e12).toPrecision(3)} TFLOP and ${seconds.toFixed(1)} s`;
    const lost =
      steps === 0 ? `${work} of unfinished steps` : `${steps} step${steps === 1 ? "" : "s"}, ${work}`;
    // A stage is opened in each session, which takes seconds and no FLOPs: nothing was lost.
    const again =
      flops === 0 ? "no step had to be done again" : `of which ${lost} were done again after a stop`;
    return `${counted} ${this.#rates.method}${sessions === 1 ? "" : ` Sum of ${sessions} sessions, ${again}.`}`;
  }
}

/** The entries of a bill.json from before there was a list of them. */
export function entriesOf({ sessions }: BillFile): BillEntry[] {
  return sessions.flatMap(({ lines }, session) =>
    lines.map((line) => ({ ...sumWork({ trained: line.tokens }), ...line, steps: 0, session, step: null })),
  );
}

const noCosts = (): Costs => ({ ...sumWork(), steps: 0, seconds: 0, wattHours: 0, dollars: 0 });

const sumCosts = (a: Costs, b: Costs): Costs => ({
  ...sumWork(a, b),
  steps: a.steps + b.steps,
  seconds: a.seconds + b.seconds,
  wattHours: sumKnown(a.wattHours, b.wattHours),
  dollars: sumKnown(a.dollars, b.dollars),
});

/** Adds to the line of the same stage, or appends one. */
function addLine(lines: BillLine[], stage: string, costs: Costs): void {
  const at = lines.findIndex((line) => line.stage === stage);
  const sum = sumCosts(at < 0 ? noCosts() : (lines[at] as BillLine), costs);
  lines[at < 0 ? lines.length : at] = { stage, ...sum, tokens: tokensOf(sum) };
}

/** One unknown part makes the sum unknown: it is not zero. */
const sumKnown = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? null : a + b;
