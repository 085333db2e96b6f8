/**
 * The one table of devices, and what a process may use of the CPU. Everything that differs between execution providers
 * stands here.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

export type DeviceName = "cpu" | "null";

export interface Device {
  name: DeviceName;
  /** ONNX Runtime's execution providers, most wanted first; none for the null device. */
  providers: string[];
}

export const devices: Record<DeviceName, Device> = {
  cpu: { name: "cpu", providers: ["cpu"] },
  /** Traces, shapes and counts without computing. */
  null: { name: "null", providers: [] },
};

/** How many threads compute: the smaller of the CPU affinity and the control group's quota, at least 1. */
export function threadCount(): number {
  const quota = cgroupQuota();
  return Math.max(1, Math.floor(Math.min(availableParallelism(), quota ?? Number.POSITIVE_INFINITY)));
}

/** CPUs that the control group (v2, then v1) grants, or `null` where it sets no limit. */
export function cgroupQuota(): number | null {
  const read = (path: string): string | null => {
    try {
      return readFileSync(path, "utf8").trim();
    } catch {
      return null;
    }
  };
  const v2 = read("/sys/fs/cgroup/cpu.max")?.split(" ");
  if (v2 !== undefined) return v2[0] === "max" ? null : Number(v2[0]) / Number(v2[1]);
  const quota = Number(read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") ?? -1);
  const period = Number(read("/sys/fs/cgroup/cpu/cpu.cfs_period_us") ?? 0);
  return quota > 0 && period > 0 ? quota / period : null;
}
