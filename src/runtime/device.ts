/**
 * The one table of devices, and the cores that this process may use. Everything that differs between ONNX Runtime's
 * execution providers is here, but for the fused forms of ops, which name the device that has them (graph/op.ts).
 */
import { availableParallelism } from "node:os";
import type { InferenceSession } from "onnxruntime-common";
import { cgroupCpuQuota, type ReadText, readText } from "./cgroup.ts";

/** Not exported, so that no published type needs those of ONNX Runtime, which need a browser's. */
interface Device {
  /**
   * The options of a session, `null` where the device runs none.
   * @param yielding threads that wait for each other sleep (see contention.ts); no number depends on it
   */
  options: ((threads: number, yielding: boolean) => InferenceSession.SessionOptions) | null;
  /** Whether the threads of a session spin while they wait for each other. */
  spins: boolean;
}

export const devices = {
  cpu: {
    options: (threads, yielding) => ({
      executionProviders: ["cpu"],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: "all",
      executionMode: "sequential",
      // A plan of all intermediate values would double the memory after a change of shapes, and saves no time.
      enableMemPattern: false,
      logSeverityLevel: 3,
      ...(yielding ? { extra: { session: { intra_op: { allow_spinning: "0" } } } } : {}),
    }),
    spins: true,
  },
  /** For graphs that are traced, shaped and counted without being run. */
  null: { options: null, spins: false },
} satisfies Record<string, Device>;

/** A device of the table. */
export type DeviceName = keyof typeof devices;

/** How many threads compute: the smaller of the CPU affinity and the control group's quota, at least 1. */
export function threadCount(affinity = availableParallelism(), read: ReadText = readText): number {
  return Math.max(1, Math.floor(Math.min(affinity, cgroupCpuQuota(read) ?? Number.POSITIVE_INFINITY)));
}
