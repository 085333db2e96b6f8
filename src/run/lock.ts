/**
 * One process per run: a lock file with its owner, and a way out when the owner died. An owner of another machine or
 * container cannot be seen from here; it shows that it lives by changing the lock's time (no `flock` in Node, and NFS and
 * FUSE often have none).
 */
import fs from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { Worker } from "node:worker_threads";
import { onDisk } from "../lib/disk.ts";
import { type UserError, userError } from "../lib/errors.ts";
import { lives, type Owner, thisProcess } from "../lib/owner.ts";

interface Holder extends Owner {
  /** Host name for messages. */
  host: string;
  /** Whether the owner changes the lock's time regularly; older versions do not. */
  beats: boolean;
}

export interface Lock {
  /** @throws UserError if another process took the lock: this one was stopped for long, its machine asleep perhaps. */
  check(): void;
  release(): void;
}

export interface Pulse {
  beatMs: number;
  /** A foreign lock whose time stays the same for so long is a dead process's. */
  patienceMs: number;
}

const PULSE: Pulse = { beatMs: 4000, patienceMs: 30_000 };

/** Takes the lock or throws a UserError that names the process which holds it. */
export function acquireLock(path: string, run: string, pulse = PULSE): Lock {
  const mine: Holder = { ...thisProcess(), host: hostname(), beats: true };
  const text = JSON.stringify({ ...mine, taken: new Date().toISOString() });
  for (let attempt = 0; attempt < 3; attempt++) {
    if (create(path, text)) return held(path, run, text, pulse);
    const found = readText(path);
    if (found === null) continue;
    const holder = parse(found);
    if (holder !== null && isAlive(path, holder, pulse)) throw busy(path, run, holder);
    removeStale(path, found);
  }
  throw busy(path, run, parse(readText(path) ?? ""));
}

function held(path: string, run: string, text: string, { beatMs }: Pulse): Lock {
  let heart: Worker | null = null;
  const beat = (): void => {
    const begun = new Worker(BEAT, { eval: true, workerData: { path, text, beatMs } });
    begun.unref();
    // One that finds no descriptor or no memory is no reason to end a run: the next may.
    begun.on("error", () => {
      setTimeout(() => heart === begun && beat(), beatMs).unref();
    });
    heart = begun;
  };
  beat();
  return {
    check() {
      const now = readText(path);
      if (now !== text) throw busy(path, run, parse(now ?? ""));
    },
    release() {
      const last = heart;
      heart = null;
      void last?.terminate();
      if (readText(path) === text) fs.rmSync(path, { force: true });
    },
  };
}

/** A separate thread beats, because ONNX Runtime blocks the run's thread during a step. */
const BEAT = `
const fs = require("node:fs");
const { path, text, beatMs } = require("node:worker_threads").workerData;
setInterval(() => {
  try {
    if (fs.readFileSync(path, "utf8") === text) fs.utimesSync(path, new Date(), new Date());
  } catch {}
}, beatMs);`;

const ownSuffix = (): string => `${thisProcess().place}.${process.pid}`;

/** Creates the file atomically with its text. @returns false if there is one already */
function create(path: string, text: string): boolean {
  return onDisk(path, () => {
    // Process ids are equal in many containers.
    const temporary = `${path}.${ownSuffix()}`;
    fs.writeFileSync(temporary, text);
    try {
      fs.linkSync(temporary, path);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EEXIST") return false;
      // File systems without hard links: a kill between creation and writing leaves an empty, stale lock.
      if (code !== "EPERM" && code !== "ENOTSUP" && code !== "ENOSYS") throw error;
      if (fs.existsSync(path)) return false;
      fs.writeFileSync(path, text, { flag: "wx" });
      return true;
    } finally {
      fs.rmSync(temporary, { force: true });
    }
  });
}

/** Moves the stale lock away first: of two processes that both saw it, one may already have replaced it. */
function removeStale(path: string, stale: string): void {
  const away = `${path}.stale.${ownSuffix()}`;
  try {
    fs.renameSync(path, away);
  } catch {
    return;
  }
  if (readText(away) !== stale && !fs.existsSync(path)) fs.renameSync(away, path);
  fs.rmSync(away, { force: true });
}

function isAlive(path: string, holder: Holder, { patienceMs }: Pulse): boolean {
  const alive = lives(holder);
  if (alive !== "unknown") return alive;
  // An older version's lock is believed: nothing shows whether its owner lives.
  return !holder.beats || changes(path, patienceMs);
}

/** Watches for a change instead of comparing clocks, which differ between machines. Blocks. */
function changes(path: string, patienceMs: number): boolean {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  const first = changed(path);
  for (let waited = 0; waited < patienceMs; waited += 100) {
    Atomics.wait(pause, 0, 0, 100);
    if (changed(path) !== first) return changed(path) !== null;
  }
  return false;
}

/** Through an open file: NFS answers for a path from its cache. */
function changed(path: string): number | null {
  try {
    const file = fs.openSync(path, "r");
    try {
      return fs.fstatSync(file).mtimeMs;
    } finally {
      fs.closeSync(file);
    }
  } catch {
    return null;
  }
}

function parse(text: string): Holder | null {
  try {
    const found: unknown = JSON.parse(text);
    if (typeof found !== "object" || found === null || !("pid" in found) || !("host" in found)) return null;
    const { pid, host, started, place, beats } = found as Record<string, unknown>;
    // Older versions named the machine alone.
    const older = host === hostname() ? thisProcess().place : "another machine";
    return {
      pid: Number(pid),
      host: String(host),
      started: typeof started === "string" ? started : null,
      place: typeof place === "string" ? place : older,
      beats: beats === true,
    };
  } catch {
    return null;
  }
}

function readText(path: string): string | null {
  try {
    return fs.readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

function busy(path: string, run: string, holder: Holder | null): UserError {
  const foreign = holder !== null && holder.place !== thisProcess().place;
  const own = holder?.pid === process.pid && !foreign ? ", this one" : "";
  const where = !foreign ? own : holder.host === hostname() ? " in another container" : ` on ${holder.host}`;
  const who = holder === null ? "another process" : `process ${holder.pid}${where}`;
  return userError(
    "run-folder",
    `The run "${run}" in ${dirname(path)} is being written by ${who}.`,
    foreign && !holder.beats
      ? `Stop it there; if it no longer runs, remove ${path}.`
      : "Wait for it or stop it, or give this run another name: --name, or the option name of train.",
  );
}
