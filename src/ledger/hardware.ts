/** What this machine offers to this process: what it is allowed to use, not what is built in. */
import os from "node:os";
import { cgroupCpuQuota, cgroupMemoryLimit, type ReadText, readText } from "../runtime/cgroup.ts";

export interface Hardware {
  cpu: string;
  /** Logical cores of the machine. */
  cores: number;
  /** The smaller of CPU affinity and cgroup quota, at least 1: threads to start. */
  allowedCores: number;
  /** The quota itself may be a fraction such as 1.5; `null` where there is none. */
  quotaCores: number | null;
  /** Instruction sets that affect the speed, e.g. "avx2", "avx512f", "amx_bf16"; empty if unknown. */
  instructionSets: string[];
  /** Bytes that this process may use, by machine and cgroup. */
  memoryBytes: number;
  platform: string;
}

const decisive = new Set([
  ...["sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni"],
  ...["avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"],
  ...["asimd", "asimdhp", "asimddp", "sve", "sve2", "i8mm", "bf16"],
]);

export function detectHardware(read: ReadText = readText): Hardware {
  const cpuinfo = read("/proc/cpuinfo") ?? "";
  const affinity = affinityCores(read) ?? os.availableParallelism();
  const quotaCores = cgroupCpuQuota(read);
  const limit = cgroupMemoryLimit(read);
  return {
    cpu: os.cpus()[0]?.model.trim() || field(cpuinfo, "model name") || "unknown",
    cores: os.cpus().length || affinity,
    allowedCores: Math.max(1, Math.floor(Math.min(affinity, quotaCores ?? Infinity))),
    quotaCores,
    instructionSets: (field(cpuinfo, "flags") ?? field(cpuinfo, "Features") ?? "")
      .split(/\s/)
      .filter((name) => decisive.has(name)),
    memoryBytes: Math.min(os.totalmem(), limit ?? Infinity),
    platform: `${os.platform()}-${os.arch()}`,
  };
}

function field(text: string, name: string): string | null {
  const line = text.split("\n").find((candidate) => candidate.split(":")[0]!.trim() === name);
  return line === undefined ? null : line.slice(line.indexOf(":") + 1).trim();
}

/** Cores in a list such as "0-3,8,10-11". */
function affinityCores(read: ReadText): number | null {
  const list = field(read("/proc/self/status") ?? "", "Cpus_allowed_list");
  if (list === null || list === "") return null;
  return list.split(",").reduce((sum, range) => {
    const [from, to = from] = range.split("-").map(Number);
    return sum + to! - from! + 1;
  }, 0);
}
