/** One process per run: a lock file with the owner's process id, and a way out when the owner died. */
import fs from "node:fs";
import { hostname } from "node:os";
import { onDisk, RunFolderError } from "./disk.ts";

interface Owner {
  pid: number;
  host: string;
  /** When the process began, in the kernel's ticks: a reused process id has another. `null` if unknown. */
  started: string | null;
}

export interface Lock {
  release(): void;
}

/** Takes the lock or throws a `RunFolderError` that names the process which holds it. */
export function acquireLock(path: string, run: string): Lock {
  const mine: Owner = { pid: process.pid, host: hostname(), started: processStart(process.pid) };
  const text = JSON.stringify(mine);
  for (let attempt = 0; attempt < 3; attempt++) {
    if (create(path, text)) {
      return { release: () => readText(path) === text && fs.rmSync(path, { force: true }) };
    }
    const held = readText(path);
    if (held === null) continue;
    const owner = parse(held);
    if (owner !== null && isAlive(owner)) throw busy(path, run, owner);
    removeStale(path, held);
  }
  throw busy(path, run, parse(readText(path) ?? ""));
}

/** The whole file appears at once, or not at all if there is one already. */
function create(path: string, text: string): boolean {
  return onDisk(path, () => {
    const temporary = `${path}.${process.pid}`;
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
  const away = `${path}.stale.${process.pid}`;
  try {
    fs.renameSync(path, away);
  } catch {
    return;
  }
  if (readText(away) !== stale && !fs.existsSync(path)) fs.renameSync(away, path);
  fs.rmSync(away, { force: true });
}

function isAlive(owner: Owner): boolean {
  // Another machine's processes cannot be seen from here: believe the lock.
  if (owner.host !== hostname()) return true;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  const started = processStart(owner.pid);
  return owner.started === null || started === null || started === owner.started;
}

/** Field 22 of /proc/PID/stat; the name in field 2 may hold spaces and brackets. */
function processStart(pid: number): string | null {
  const stat = readText(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
}

function parse(text: string): Owner | null {
  try {
    const owner: unknown = JSON.parse(text);
    if (typeof owner !== "object" || owner === null || !("pid" in owner) || !("host" in owner)) return null;
    const started = "started" in owner && typeof owner.started === "string" ? owner.started : null;
    return { pid: Number(owner.pid), host: String(owner.host), started };
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

function busy(path: string, run: string, owner: Owner | null): RunFolderError {
  const who =
    owner === null
      ? "another process"
      : owner.host === hostname()
        ? `process ${owner.pid}`
        : `process ${owner.pid} on ${owner.host}`;
  return new RunFolderError(
    path,
    `The run "${run}" is being written by ${who}.`,
    owner !== null && owner.host !== hostname()
      ? `Stop it there; if it no longer runs, remove ${path}.`
      : "Wait for it or stop it, or give this run another name with --name.",
  );
}
