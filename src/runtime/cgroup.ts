/** Limits that a container or a service manager sets, in both versions of Linux control groups. */
import { readFileSync } from "node:fs";

/** A file's text, or `null` if it cannot be read; tests give the files of another machine. */
export type ReadText = (path: string) => string | null;

export const readText: ReadText = (path) => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
};

const ROOT = "/sys/fs/cgroup";

/** The CPU quota in cores, the smallest of the group's and its parents'; `null` without one. */
export function cgroupCpuQuota(read: ReadText): number | null {
  const groups = memberships(read);
  const quotas: number[] = [];
  for (const folder of ancestors(ROOT, groups.get("") ?? "/")) {
    const [quota, period] = (read(`${folder}/cpu.max`) ?? "").trim().split(" ").map(Number);
    quotas.push(quota! / period!);
  }
  for (const mount of [`${ROOT}/cpu`, `${ROOT}/cpu,cpuacct`]) {
    for (const folder of ancestors(mount, groups.get("cpu") ?? "/")) {
      // -1 is no quota.
      const quota = number(read(`${folder}/cpu.cfs_quota_us`));
      const period = number(read(`${folder}/cpu.cfs_period_us`));
      quotas.push(quota! / period!);
    }
  }
  return smallest(quotas);
}

/** Bytes; `null` without a limit. */
export function cgroupMemoryLimit(read: ReadText): number | null {
  const groups = memberships(read);
  const limits = [
    ...ancestors(ROOT, groups.get("") ?? "/").map((folder) => number(read(`${folder}/memory.max`))),
    ...ancestors(`${ROOT}/memory`, groups.get("memory") ?? "/").map((folder) =>
      number(read(`${folder}/memory.limit_in_bytes`)),
    ),
  ];
  // Version 1 writes "no limit" as the largest page-aligned 63-bit number.
  return smallest(limits.filter((limit) => limit !== null && limit < 2 ** 62).map(Number));
}

/** Controller -> path; version 2 has one path, under the empty name. */
function memberships(read: ReadText): Map<string, string> {
  const groups = new Map<string, string>();
  for (const line of (read("/proc/self/cgroup") ?? "").trim().split("\n")) {
    const [, controllers = "", path = "/"] = line.split(":");
    for (const controller of controllers.split(",")) groups.set(controller, path);
  }
  return groups;
}

/** A group's folder and its parents' up to the mount. Inside a container only the mount may exist. */
function ancestors(mount: string, path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== "..");
  return parts.map((_, index) => `${mount}/${parts.slice(0, index + 1).join("/")}`).concat(mount);
}

const number = (text: string | null): number | null =>
  text === null || text.trim() === "" ? null : Number(text);

/** `null` where no value is a limit: "max" and absent files have become NaN, and -1 stands for none. */
function smallest(values: number[]): number | null {
  const known = values.filter((value) => Number.isFinite(value) && value > 0);
  return known.length === 0 ? null : Math.min(...known);
}
