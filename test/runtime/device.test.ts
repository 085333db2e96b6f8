/** D2: how many threads compute. */
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { describe, expect, it } from "vitest";
import { threadCount } from "../../src/runtime/device.ts";

const root = new URL("../../", import.meta.url);

describe("D2: threads are the smaller of affinity and quota", () => {
  const machine = (files: Record<string, string>) => (path: string) => files[path] ?? null;

  it.each<[string, number, Record<string, string>, number]>([
    ["no quota", 8, {}, 8],
    ["an unlimited group", 8, { "/sys/fs/cgroup/cpu.max": "max 100000\n" }, 8],
    ["one CPU of a host with many cores", 64, { "/sys/fs/cgroup/cpu.max": "100000 100000\n" }, 1],
    ["half a CPU", 64, { "/sys/fs/cgroup/cpu.max": "50000 100000\n" }, 1],
    ["two and a half", 64, { "/sys/fs/cgroup/cpu.max": "250000 100000\n" }, 2],
    ["affinity below the quota", 3, { "/sys/fs/cgroup/cpu.max": "800000 100000\n" }, 3],
    [
      "version 1",
      16,
      {
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
      },
      4,
    ],
    [
      "a service's own slice",
      16,
      { "/proc/self/cgroup": "0::/a.slice/b.service\n", "/sys/fs/cgroup/a.slice/cpu.max": "200000 100000\n" },
      2,
    ],
  ])("%s", (_name, affinity, files, expected) => {
    expect(threadCount(affinity, machine(files))).toBe(expected);
  });

  it("here: within what the process may use", () => {
    expect(threadCount()).toBeGreaterThanOrEqual(1);
    expect(threadCount()).toBeLessThanOrEqual(availableParallelism());
  });

  it.runIf(process.platform === "linux")(
    "under `taskset -c 0`: one thread, and nothing on standard error",
    () => {
      const script = `
      const { threadCount } = await import(${JSON.stringify(new URL("src/runtime/device.ts", root).href)});
      const { Engine } = await import(${JSON.stringify(new URL("src/runtime/engine.ts", root).href)});
      const { f32 } = await import(${JSON.stringify(new URL("src/runtime/value.ts", root).href)});
      const { Graph } = await import(${JSON.stringify(new URL("src/graph/tensor.ts", root).href)});
      const { input, mul } = await import(${JSON.stringify(new URL("src/graph/ops.ts", root).href)});
      const graph = new Graph();
      graph.output("out", mul(input(graph, "x", "f32", [2]), 2));
      const session = await new Engine().session(graph, "double");
      const { out } = await session.run({ x: f32([1, 2]) });
      console.log(threadCount(), ...out.data);`;
      const { stdout, stderr } = spawnSync(
        "taskset",
        ["-c", "0", process.execPath, "--import", "tsx", "--input-type=module", "-e", script],
        { cwd: root, encoding: "utf8", env: { ...process.env, NODE_OPTIONS: "" } },
      );
      expect([stdout.trim(), stderr]).toEqual(["1 2 4", ""]);
    },
  );
});
