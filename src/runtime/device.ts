/**
 * The one table of devices, and what a process may use of the CPU. Everything that differs between execution providers
 * stands here.
 */
import { availableParallelism } from "node:os";
import { cgroupCpuQuota, type ReadText, readText } from "./cgroup.ts";

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
export function threadCount(affinity = availableParallelism(), read: ReadText = readText): number {
  return Math.max(1, Math.floor(Math.min(affinity, cgroupCpuQuota(read) ?? Number.POSITIVE_INFINITY)));
}
