/**
 * Whether the threads of a session may spin while they wait for each other. On a quiet machine spinning is 10 % faster.
 * Where another program takes one of two cores, spinning threads wait for a thread that has no core, and runs take five
 * times as long. The mode changes no result: the number of threads, which decides how sums are cut, stays the same.
 */
import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { readText } from "./cgroup.ts";

// ── the rule ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What was measured over a window of computing, in seconds; those of cores and threads are sums over all of them. */
export interface Window {
  /** The clock at the window's end. */
  at: number;
  /** The window's length, and the part of it inside runs. */
  seconds: number;
  computing: number;
  /** Threads of the sessions that ran. */
  threads: number;
  /** What it takes to prepare the slowest of these sessions again. */
  switching: number;
  /** CPU time of this process: inside runs, and in all. */
  cpu: number;
  ownCpu: number;
  /** Time that threads of this process waited for a core; null where the system does not tell. */
  waited: number | null;
  /** Idle time of the cores that this process may use; null where the system does not tell. */
  idle: number | null;
}

export interface Mode {
  /** `true`: threads that wait sleep, since another program takes a core. */
  yielding: boolean;
  /** The clock when the mode began. */
  since: number;
  /** Seconds to yield before spinning is tried again. */
  wait: number;
  /** Seconds for which cores have been lacking while threads spin. */
  lacking: number;
}

export const QUIET: Mode = { yielding: false, since: Number.NEGATIVE_INFINITY, wait: 0, lacking: 0 };

/** Threads yield when this many cores are lacking, and spin again when at most `ENOUGH` are. */
const LACKING = 0.25;
const ENOUGH = 0.15;
/** Seconds of yielding at first. If cores are lacking again within `RELAPSE` seconds of spinning, they double. */
const FIRST_WAIT = 2;
const RELAPSE = 15;
const LONGEST = 60;
/**
 * A change of mode prepares each session again, which takes seconds for a large model. Cores must be lacking for `PATIENCE`
 * times as long before threads yield, and threads yield for at least `REST` times as long.
 */
const [PATIENCE, REST] = [2, 10];

/** The mode after a window in which `mode` was in force. */
export function nextMode(mode: Mode, window: Window): Mode {
  const { at, threads, seconds, computing, waited, idle } = window;
  if (!mode.yielding) {
    if (coresLacking(window) < LACKING) return { ...mode, lacking: 0 };
    const lacking = mode.lacking + seconds;
    if (lacking < PATIENCE * window.switching) return { ...mode, lacking };
    const first = Math.max(FIRST_WAIT, REST * window.switching);
    const relapsed = at - mode.since < RELAPSE;
    const wait = Math.min(relapsed ? Math.max(2 * mode.wait, first) : first, LONGEST);
    return { yielding: true, since: at, wait, lacking: 0 };
  }
  // Where the system does not tell, spinning is tried.
  const available = idle === null ? threads : (window.ownCpu + idle) / seconds;
  const free = available >= threads - ENOUGH && (waited ?? 0) / computing < LACKING;
  return free && at - mode.since >= mode.wait ? { ...mode, yielding: false, since: at } : mode;
}

/** How many threads wait for a core while they could run, on average. */
function coresLacking({ seconds, computing, threads, cpu, waited, idle }: Window): number {
  if (waited !== null) return waited / computing;
  // Spinning threads use all the CPU time that they get; a thread that has slept for lack of work leaves its core idle.
  return threads - cpu / computing - (idle ?? 0) / seconds;
}

// ── what the system counts ──────────────────────────────────────────────────────────────────────────────────────────

/** Counters of the system, in seconds since some moment. */
export interface Counters {
  at: number;
  ownCpu: number;
  /** By thread. */
  waited: ReadonlyMap<string, number> | null;
  idle: number | null;
}

const now = (): number => performance.now() / 1000;

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

const counters = (): Counters => ({ at: now(), ownCpu: cpuSeconds(), waited: waited(), idle: idle() });

/** Linux: the second number of a thread's schedstat, nanoseconds on a run queue (Documentation/scheduler/sched-stats). */
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

/** The sum over the threads of `after`; a thread that has ended is missing there, and a new one counts from 0. */
export function waitedSince(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): number {
  let total = 0;
  for (const [id, seconds] of after) total += Math.max(0, seconds - (before.get(id) ?? 0));
  return total;
}

/** Of the cores that this process may use; of all cores where the system has no affinity. */
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

// ── watching runs ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Seconds of computing in a window: many times the 4 to 15 ms of the system's clock. */
const WINDOW = 0.5;
/**
 * After a pause of this many seconds between runs a window begins anew: threads that prepare a session, collect garbage
 * or verify wait for each other too, which tells nothing about other programs.
 */
const GAP = 0.1;

/** What a session asks before a run, and reports its runs to. */
export interface Watch {
  /** Whether another program takes a core, so that threads that wait should sleep. */
  readonly contended: boolean;
  /** Runs what `threads` threads compute, and measures it; a change of mode takes `switching` seconds. */
  measure<T>(session: { threads: number; switching: number }, run: () => Promise<T>): Promise<T>;
}

export class CoreWatch implements Watch {
  private readonly count: () => Counters;
  private mode: Mode = QUIET;
  private begun: Counters | null = null;
  /** The clock at the end of the last run. */
  private ended = 0;
  private computing = 0;
  private cpu = 0;
  private threads = 0;
  private switching = 0;

  /** @param count reads the system's counters */
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
    const { computing, threads, switching, cpu } = this;
    this.mode = nextMode(this.mode, {
      ...{ computing, threads, switching, cpu },
      at: end.at,
      seconds: end.at - begun.at,
      ownCpu: end.ownCpu - begun.ownCpu,
      waited: begun.waited && end.waited && waitedSince(begun.waited, end.waited),
      idle: begun.idle === null || end.idle === null ? null : end.idle - begun.idle,
    });
    this.begin(end);
  }
}

/** One for all sessions of a thread, which run one after another. */
export const coreWatch: Watch = new CoreWatch();
