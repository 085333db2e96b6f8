/**
 * Whether the threads of a session may spin while they wait for each other. On a quiet machine that is 10 % faster; where
 * another program takes one of two cores, threads that spin wait for a sibling that does not run, and four fifths of the
 * speed are lost. Nothing here changes what is computed: the number of threads, which decides how sums are cut, stays.
 */

/** What was seen over a while of computing. All in seconds; those of cores and threads add up over them. */
export interface Window {
  /** The clock at its end. */
  at: number;
  /** How long it was, and how much of that was inside runs. */
  seconds: number;
  computing: number;
  /** Threads of the sessions that ran. */
  threads: number;
  /** What it takes to prepare the dearest of them anew. */
  switching: number;
  /** CPU time of this process, inside runs and in all. */
  cpu: number;
  ownCpu: number;
  /** Time that threads of this process waited for a core; null where the system does not say. */
  waited: number | null;
  /** Time that cores which this process may use were idle; null where the system does not say. */
  idle: number | null;
}

export interface Mode {
  /** `true`: threads that wait sleep, since another program takes a core. */
  yielding: boolean;
  /** The clock when it became so. */
  since: number;
  /** Seconds to yield before spinning is tried again. */
  wait: number;
  /** Seconds for which cores have been lacking while threads spin. */
  lacking: number;
}

export const QUIET: Mode = { yielding: false, since: Number.NEGATIVE_INFINITY, wait: 0, lacking: 0 };

/** Cores that are lacking before threads yield, and at most when they spin again: no flapping in between. */
const LACKING = 0.25;
const ENOUGH = 0.15;
/** Seconds of yielding at first; spinning that fails within `RELAPSE` seconds doubles it, up to `LONGEST`. */
const FIRST_WAIT = 2;
const RELAPSE = 15;
const LONGEST = 60;
/**
 * A switch costs a preparation of each session. Cores are to be lacking for so many times that long before it is made, and
 * to be yielded for so many times that long before it is made back: a large model's sessions take seconds.
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
  // What the system cannot say is tried.
  const available = idle === null ? threads : (window.ownCpu + idle) / seconds;
  const free = available >= threads - ENOUGH && (waited ?? 0) / computing < LACKING;
  return free && at - mode.since >= mode.wait ? { ...mode, yielding: false, since: at } : mode;
}

/** How many threads wait for a core while they could run, on average. */
function coresLacking({ seconds, computing, threads, cpu, waited, idle }: Window): number {
  if (waited !== null) return waited / computing;
  // Threads that spin use all the CPU time they get; one that found nothing to do for long and sleeps leaves a core idle.
  return threads - cpu / computing - (idle ?? 0) / seconds;
}
