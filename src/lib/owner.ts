/** Which process a file belongs to, where several machines and containers share a disk. */
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

export interface Owner {
  pid: number;
  /** When the process began, in the kernel's ticks: a reused process id has another. `null` if unknown. */
  started: string | null;
  /** Where process ids mean the same: this boot of this machine, and within it this container. 8 hex digits. */
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

/** Whether the owner runs; "unknown" where it is another place's, whose processes cannot be seen from here. */
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
