/** Watches what the runs of this thread get of the cores, and decides from it whether they spin: see `contention.ts`. */
import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { readText } from "./cgroup.ts";
import { type Mode, nextMode, QUIET } from "./contention.ts";

/** What the system counts since some moment, in seconds. */
export interface Counters {
  at: number;
  ownCpu: number;
  /** By thread. */
  waited: ReadonlyMap<string, number> | null;
  idle: number | null;
}

/** Seconds of computing, or of yielding, that a window is made of: many times the 4 to 15 ms of the system's clock. */
const WINDOW = 0.5;
/**
 * Seconds between two runs after which a window begins anew: threads that prepare a session, collect garbage or verify
 * wait for each other too, and that says nothing of other programs.
 */
const GAP = 0.1;

const now = (): number => performance.now() / 1000;

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** What a session asks before it runs, and tells what its runs got. */
export interface Watch {
  /** Whether another program takes a core, so that threads that wait are to sleep. */
  readonly contended: boolean;
  /** Runs what `threads` threads compute, and looks at what they got; `switching`: the seconds that a change takes. */
  measure<T>(session: { threads: number; switching: number }, run: () => Promise<T>): Promise<T>;
}

/** @param count what the system counts, now */
export class CoreWatch implements Watch {
  private readonly count: () => Counters;
  private mode: Mode = QUIET;
  private begun: Counters | null = null;
  /** When the last run ended. */
  private ended = 0;
  private computing = 0;
  private cpu = 0;
  private threads = 0;
  private switching = 0;

  constructor(count: () => Counters = counters) {
    this.count = count;
  }

  get contended(): boolean {
    return this.mode.yielding;
  }

  async measure<T>(session: { threads: number; switching: number }, run: () => Promise<T>): Promise<T> {
    if (this.begun === null || now() - this.ended > GAP) this.begin(this.count());
    const [start, cpu] = [now(), cpuSeconds()];
    try {
      return await run();
    } finally {
      this.computing += now() - start;
      this.cpu += cpuSeconds() - cpu;
      this.threads = Math.max(this.threads, session.threads);
      this.switching = Math.max(this.switching, session.switching);
      this.ended = now();
      // A run that began meanwhile may have begun another window.
      if (this.computing >= WINDOW && this.begun !== null) this.close(this.begun);
    }
  }

  private begin(at: Counters): void {
    this.begun = at;
    this.computing = this.cpu = this.threads = this.switching = 0;
  }

  private close(begun: Counters): void {
    const end = this.count();
    this.mode = nextMode(this.mode, {
      at: end.at,
      seconds: end.at - begun.at,
      computing: this.computing,
      threads: this.threads,
      switching: this.switching,
      cpu: this.cpu,
      ownCpu: end.ownCpu - begun.ownCpu,
      waited: begun.waited && end.waited && waitedSince(begun.waited, end.waited),
      idle: begun.idle === null || end.idle === null ? null : end.idle - begun.idle,
    });
    this.begin(end);
  }
}

/** One for all sessions of a thread, which run one after another. */
export const coreWatch: Watch = new CoreWatch();

function counters(): Counters {
  return { at: now(), ownCpu: cpuSeconds(), waited: waited(), idle: idle() };
}

/** Linux: the second number of each thread's schedstat, nanoseconds on a run queue (Documentation/scheduler/sched-stats). */
function waited(): Counters["waited"] {
  try {
    const waits = readdirSync("/proc/self/task").map((id): [string, number] => [
      id,
      Number(readFileSync(`/proc/self/task/${id}/schedstat`, "utf8").split(" ")[1]) / 1e9,
    ]);
    return new Map(waits);
  } catch {
    return null;
  }
}

/** A thread that has ended takes what it waited with it; a new one brings its own. */
export function waitedSince(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): number {
  let total = 0;
  for (const [id, seconds] of after) total += Math.max(0, seconds - (before.get(id) ?? 0));
  return total;
}

/** Of the cores that this process may use; of all where the system has no affinity to ask for. */
function idle(): number | null {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readText("/proc/self/status") ?? "")?.[1];
  const stat = readText("/proc/stat");
  if (list !== undefined && stat !== null) return idleOf(stat, list);
  const all = cpus();
  return all.length === 0 ? null : all.reduce((total, { times }) => total + times.idle, 0) / 1000;
}

/** Idle and I/O wait of /proc/stat, in hundredths of a second, for cores such as "0-2,5" (proc(5)). */
export function idleOf(stat: string, list: string): number | null {
  const ranges = list.split(",").map((range) => range.split("-").map(Number));
  let total: number | null = null;
  for (const [, core, fields] of stat.matchAll(/^cpu(\d+) (.*)$/gm)) {
    const allowed = ranges.some(([first, last = first]) => Number(core) >= first && Number(core) <= last);
    const [, , , idle, iowait] = fields.trim().split(/\s+/).map(Number);
    if (allowed) total = (total ?? 0) + (idle + iowait) / 100;
  }
  return total;
}
