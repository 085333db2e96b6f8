/** When threads may spin: measured series, told as windows of half a second on two cores. */
import { describe, expect, it } from "vitest";
import { type Mode, nextMode, QUIET, type Window } from "../../src/runtime/contention.ts";

const SECONDS = 0.5;

/** As Linux tells it: what the two threads got and waited, in cores. */
const linux = (got: number, waited: number, idle = 0): Partial<Window> => ({
  cpu: SECONDS * got,
  ownCpu: SECONDS * got,
  waited: SECONDS * waited,
  idle: SECONDS * idle,
});
/** As macOS and Windows tell it. */
const elsewhere = (got: number, idle = 0): Partial<Window> => ({ ...linux(got, 0, idle), waited: null });
/** Where nothing is told of other programs. */
const blind = (got: number): Partial<Window> => ({ ...elsewhere(got), idle: null });

/** The modes after each of these windows, "s" for spinning and "y" for yielding. */
function modes(series: Partial<Window>[], threads = 2, switching = 0): string {
  let mode: Mode = QUIET;
  return series
    .map((seen, i) => {
      const window = { at: (i + 1) * SECONDS, seconds: SECONDS, computing: SECONDS, threads, switching };
      mode = nextMode(mode, { ...window, cpu: 0, ownCpu: 0, waited: null, idle: null, ...seen });
      return mode.yielding ? "y" : "s";
    })
    .join("");
}

const repeat = <T>(count: number, ...values: T[]): T[] => Array.from({ length: count }, () => values).flat();

describe("on Linux", () => {
  // Measured: 1.95 cores and 0.01 to 0.13 waiting when quiet; 1.4 and 0.6 when a core is taken; 1.3 and 0.4 to 0.9 yielding.
  const quiet = linux(1.95, 0.09);
  const taken = linux(1.4, 0.6);

  it("spins while it is quiet", () => {
    expect(modes(repeat(10, quiet))).toBe("s".repeat(10));
  });

  it("yields after the first window in which a core is taken, and spins 2 s later, once it is free", () => {
    expect(modes([quiet, taken, ...repeat(9, linux(1.35, 0.7)), quiet, quiet])).toBe(`s${"y".repeat(10)}ss`);
    expect(modes([taken, ...repeat(6, quiet)])).toBe("yyyysss");
  });

  it("yields as long as cores are taken, however long: it tries nothing", () => {
    expect(modes([taken, ...repeat(1000, linux(1.35, 0.7))])).toBe("y".repeat(1001));
  });

  it("does not flap where the other program comes and goes within a second", () => {
    expect(modes(repeat(50, taken, linux(1.7, 0.3)))).not.toContain("s");
  });

  it("changes sessions that take seconds to prepare only where that pays", () => {
    // 1 s of preparation: 2 s of lacking cores before, 10 s of yielding after.
    expect(modes([...repeat(3, taken), quiet, ...repeat(3, taken), quiet], 2, 1)).toBe("s".repeat(8));
    expect(modes([...repeat(4, taken), ...repeat(20, quiet)], 2, 1)).toBe(`sss${"y".repeat(20)}s`);
    // At most a minute: 120 windows.
    expect(modes([...repeat(40, taken), ...repeat(121, quiet)], 2, 10)).toBe(
      `${"s".repeat(39)}${"y".repeat(120)}ss`,
    );
  });

  it("takes neither a thread that sleeps nor a slow machine for another program", () => {
    // One long part on one thread: the other sleeps, and a core is idle.
    expect(modes(repeat(5, linux(1.2, 0.02, 0.8)))).toBe("sssss");
    // Half the clock rate: as much CPU time, fewer steps.
    expect(modes(repeat(5, linux(2, 0.01)))).toBe("sssss");
  });

  it("does not mind a garbage collection: threads of its own that take a core for 50 ms of a window", () => {
    expect(modes([quiet, linux(2, 0.1), quiet])).toBe("sss");
  });

  it("a quarter of a core that threads wait for is one too many, before and after", () => {
    expect(modes([linux(1.75, 0.25)])).toBe("y");
    expect(modes([linux(1.76, 0.24)])).toBe("s");
    expect(modes([taken, ...repeat(8, linux(2, 0.25)), linux(2, 0.24)])).toBe("yyyyyyyyys");
  });

  it("yields to another part of this process too, which uses what threads lack", () => {
    expect(modes([linux(2, 0.6), ...repeat(9, linux(2, 0.5))])).toBe("y".repeat(10));
  });

  it("yields where a quota throttles it although the machine has idle cores", () => {
    expect(modes([linux(1.4, 0.6, 60)])).toBe("y");
  });
});

describe("elsewhere", () => {
  const quiet = elsewhere(1.97, 0.03);
  const taken = elsewhere(1.3);

  it("goes by the CPU time that threads lack while no core is idle", () => {
    expect(modes([quiet, quiet, taken])).toBe("ssy");
    expect(modes(repeat(5, elsewhere(1.2, 0.8)))).toBe("sssss");
  });

  it("spins again when cores are idle beside threads that sleep, and not before", () => {
    const yielding = elsewhere(1.3);
    const free = elsewhere(1.7, 0.3);
    expect(modes([taken, ...repeat(8, yielding), free])).toBe("yyyyyyyyys");
  });

  it("counts lacking cores, not shares: one of sixteen stops all", () => {
    expect(modes([elsewhere(15.2)], 16)).toBe("y");
    expect(modes([elsewhere(15.9)], 16)).toBe("s");
  });

  it("the threshold is a quarter of a core", () => {
    expect(modes([elsewhere(1.76)])).toBe("s");
    expect(modes([elsewhere(1.74)])).toBe("y");
  });

  it("minds the cores that its threads want, not all that there are", () => {
    // Four of eight cores: a program on one of the others takes nothing away.
    expect(modes(repeat(5, elsewhere(3.98, 3)), 4)).toBe("sssss");
  });
});

describe("where nothing is told of other programs", () => {
  it("tries spinning after 2 s, then 4, 8 and so on, at most once a minute", () => {
    const told = repeat(1200, blind(1.3));
    const spinning = [...modes(told)].flatMap((mode, i) => (mode === "s" ? [i] : []));
    const gaps = spinning.slice(1).map((at, i) => (at - spinning[i]) * SECONDS - SECONDS);
    expect(spinning[0]).toBe(4);
    expect(gaps).toEqual([4, 8, 16, 32, ...gaps.slice(4)]);
    expect(new Set(gaps.slice(4))).toEqual(new Set([60]));
  });

  it("takes spinning that failed within 15 s for a relapse", () => {
    const taken = blind(1.3);
    // Yields at 0.5 s, spins at 2.5 s, and fails 14.5 or 15 s after that: it waits for 4 s, or for 2 again.
    const until = (quiet: number) => [
      ...repeat(5, taken),
      ...repeat(quiet, blind(1.95)),
      ...repeat(9, taken),
    ];
    expect(modes(until(28)).slice(-9)).toBe("yyyyyyyys");
    expect(modes(until(29)).slice(-9)).toBe("yyyysyyyy");
  });

  it("begins quiet", () => {
    expect(QUIET).toEqual({ yielding: false, since: Number.NEGATIVE_INFINITY, wait: 0, lacking: 0 });
  });

  it("begins with 2 s again after it was quiet for a while", () => {
    const taken = blind(1.3);
    const quiet = blind(1.95);
    // Failed at 2 s, so it waits 4; then it is quiet for 20 s; then a core is taken for long.
    const series = [...repeat(6, taken), ...repeat(8, quiet), ...repeat(40, quiet), ...repeat(8, taken)];
    expect(modes(series).slice(-8)).toBe("yyyysyyy");
  });
});
