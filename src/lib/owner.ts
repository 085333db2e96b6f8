/** Names the process that owns a file, also on a disk that several machines and containers use. */
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

export interface Owner {
  pid: number;
  /** Start time of the process in the kernel's ticks, which tells a reused process id; `null` if unknown. */
  started: string | null;
  /** The namespace of process ids, 8 hex digits: this boot of this machine, and in it this container. */
  place: string;
}

const HERE = createHash("sha256").update(place()).digest("hex").slice(0, 8);

function place(): string {
  try {
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8")}${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return hostname();
  }
}

export const thisProcess = (): Owner => ({
  pid: process.pid,
  started: processStart(process.pid),
  place: HERE,
});

/** Whether the owner runs; "unknown" for another `place`, whose processes are not visible here. */
export function lives(owner: Owner): boolean | "unknown" {
  if (owner.place !== HERE) return "unknown";
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
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    return null;
  }
}
