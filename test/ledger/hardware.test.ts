import fs from "node:fs";
import os from "node:os";
import { afterEach, expect, test, vi } from "vitest";
import { EnergyMeter } from "../../src/ledger/energy.ts";
import { detectHardware } from "../../src/ledger/hardware.ts";
import { cgroupCpuQuota, cgroupMemoryLimit, type ReadText } from "../../src/runtime/cgroup.ts";

afterEach(() => vi.restoreAllMocks());

const machine =
  (files: Record<string, string>): ReadText =>
  (path) =>
    files[path] ?? null;

test("this machine has at least one core and some memory", () => {
  const hardware = detectHardware();
  expect(hardware.allowedCores).toBeGreaterThanOrEqual(1);
  expect(hardware.allowedCores).toBeLessThanOrEqual(Math.max(hardware.cores, 1));
  expect(hardware.memoryBytes).toBeGreaterThan(1e8);
  expect(hardware.platform).toBe(`${process.platform}-${process.arch}`);
});

test("the processor is what the system names, or /proc/cpuinfo, or unknown", () => {
  const files = {
    "/proc/cpuinfo": "processor\t: 0\nmodel name\t: Model 7: fast\n",
    "/proc/self/status": "Cpus_allowed_list:\t0-2\n",
  };
  const cpus = vi.spyOn(os, "cpus");
  const core = { model: " Model 5 ", speed: 0, times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 } };
  cpus.mockReturnValue([core, core]);
  expect(detectHardware(machine(files))).toMatchObject({ cpu: "Model 5", cores: 2, allowedCores: 3 });
  cpus.mockReturnValue([{ ...core, model: "" }]);
  expect(detectHardware(machine(files))).toMatchObject({ cpu: "Model 7: fast", cores: 1 });
  // Where /proc/stat cannot be read there are no cores.
  cpus.mockReturnValue([]);
  expect(detectHardware(machine(files))).toMatchObject({ cpu: "Model 7: fast", cores: 3 });
  expect(detectHardware(machine({})).cpu).toBe("unknown");
});

test("memory is the smaller of the machine's and the control group's", () => {
  const limited = (bytes: number) => detectHardware(machine({ "/sys/fs/cgroup/memory.max": `${bytes}\n` }));
  expect(limited(2 ** 26).memoryBytes).toBe(2 ** 26);
  expect(limited(2 ** 60).memoryBytes).toBe(os.totalmem());
});

test("threads are the smaller of affinity and quota, at least 1", () => {
  const status = "Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t0-3,8,10-11\n";
  expect(detectHardware(machine({ "/proc/self/status": status })).allowedCores).toBe(7);
  const limited = (max: string) =>
    detectHardware(machine({ "/proc/self/status": status, "/sys/fs/cgroup/cpu.max": max }));
  expect(limited("250000 100000\n")).toMatchObject({ allowedCores: 2, quotaCores: 2.5 });
  expect(limited("50000 100000\n").allowedCores).toBe(1);
  expect(limited("max 100000\n")).toMatchObject({ allowedCores: 7, quotaCores: null });
  for (const silent of ["", "Cpus_allowed_list:\t\n"])
    expect(detectHardware(machine({ "/proc/self/status": silent })).allowedCores).toBe(
      os.availableParallelism(),
    );
});

test("control groups, version 2: the tightest ancestor binds", () => {
  const read = machine({
    "/proc/self/cgroup": "0::/user.slice/run.scope\n",
    "/sys/fs/cgroup/user.slice/run.scope/cpu.max": "400000 100000\n",
    "/sys/fs/cgroup/user.slice/cpu.max": "150000 100000\n",
    "/sys/fs/cgroup/user.slice/memory.max": "max\n",
    "/sys/fs/cgroup/user.slice/run.scope/memory.max": "1073741824\n",
  });
  expect(cgroupCpuQuota(read)).toBe(1.5);
  expect(cgroupMemoryLimit(read)).toBe(2 ** 30);
});

test("control groups, version 1: -1 and the huge number are no limits", () => {
  const files = {
    "/proc/self/cgroup": "4:cpu,cpuacct:/docker/abc\n2:memory:/docker/abc\n",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
  };
  expect(cgroupCpuQuota(machine(files))).toBe(2);
  expect(cgroupMemoryLimit(machine(files))).toBeNull();
  expect(cgroupCpuQuota(machine({ ...files, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n" }))).toBeNull();
});

test("instruction sets that decide about speed", () => {
  const cpuinfo = "processor\t: 0\nflags\t\t: fpu sse4_2 avx2 fma avx512f amx_bf16 hypervisor\n";
  expect(detectHardware(machine({ "/proc/cpuinfo": cpuinfo })).instructionSets).toEqual([
    ...["sse4_2", "avx2", "fma", "avx512f", "amx_bf16"],
  ]);
  const all = [
    "sse4_2 avx f16c fma avx2 avx_vnni avx512f avx512bw avx512_vnni avx512_bf16 avx512_fp16",
    "amx_tile amx_int8 amx_bf16",
  ].join(" ");
  expect(detectHardware(machine({ "/proc/cpuinfo": `flags : ${all} pae` })).instructionSets).toEqual(
    all.split(" "),
  );
  const arm = "asimd asimdhp asimddp sve sve2 i8mm bf16";
  expect(detectHardware(machine({ "/proc/cpuinfo": `Features\t: fp ${arm}\n` })).instructionSets).toEqual(
    arm.split(" "),
  );
  expect(detectHardware(machine({})).instructionSets).toEqual([]);
});

test("the energy counter wraps, and only packages count", () => {
  const files: Record<string, string> = {};
  const zone = (name: string, kind: string, energy: number): void => {
    files[`/sys/class/powercap/${name}/name`] = `${kind}\n`;
    files[`/sys/class/powercap/${name}/energy_uj`] = `${energy}\n`;
    files[`/sys/class/powercap/${name}/max_energy_range_uj`] = "10000000000\n";
  };
  zone("intel-rapl:0", "package-0", 9_000_000_000);
  zone("intel-rapl:0:0", "core", 0);
  zone("intel-rapl:1", "package-1", 0);
  const meter = EnergyMeter.open(machine(files), ["intel-rapl:0", "intel-rapl:0:0", "intel-rapl:1"])!;
  zone("intel-rapl:0", "package-0", 800_000_000);
  zone("intel-rapl:0:0", "core", 999_999_999);
  zone("intel-rapl:1", "package-1", 1_800_000_000);
  // 1.8e9 (wrapped) + 1.8e9 microjoules are 3,600 J: 1 Wh.
  expect(meter.take()).toBeCloseTo(1, 12);
  expect(meter.take()).toBe(0);
  delete files["/sys/class/powercap/intel-rapl:1/energy_uj"];
  expect(meter.take()).toBeNull();
  expect(EnergyMeter.open(machine(files), ["intel-rapl:0", "intel-rapl:1"])).toBeNull();
  expect(EnergyMeter.open(machine({}), [])).toBeNull();
});

test("packages are counters named package-N, and no others", () => {
  const opened = (name: string | null, counters: Record<string, string>) =>
    EnergyMeter.open(
      (path) => (path.endsWith("/name") ? name : (counters[path.split("/").at(-1) as string] ?? null)),
      ["intel-rapl:0"],
    );
  const counters = { energy_uj: "5\n", max_energy_range_uj: "9\n" };
  for (const name of ["package-0\n", "package-12\n"])
    expect(opened(name, counters), name).toBeInstanceOf(EnergyMeter);
  for (const name of ["my-package-0\n", "package-0-die\n", "package-\n", "psys\n", null])
    expect(opened(name, counters), `${name}`).toBeNull();
  expect(opened("package-0\n", { energy_uj: "5\n" })).toBeNull();
});

test("this machine's counters are looked for where Linux lists them", () => {
  const root = "/sys/class/powercap";
  const asked: string[] = [];
  const nothing: ReadText = (path) => {
    asked.push(path);
    return null;
  };
  expect(EnergyMeter.open(nothing)).toBeNull();
  expect(asked).toEqual(
    fs.existsSync(root) ? fs.readdirSync(root).map((name) => `${root}/${name}/name`) : [],
  );
});
