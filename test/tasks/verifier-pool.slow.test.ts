import { afterEach, describe, expect, it } from "vitest";
import { taskFrom } from "../../src/tasks/registry.ts";
import { inThreads, type TaskSource, VerifierPool } from "../../src/tasks/verifier-pool.ts";

const url = (path: string) => new URL(path, import.meta.url).href;
const naughty = (factory = "naughtyTask"): TaskSource => ({
  module: url("./naughty-task.ts"),
  factory,
  options: { right: "42" },
});
const items = (...completions: string[]) =>
  completions.map((completion, i) => ({ problem: { id: `p${i}`, prompt: "" }, completion }));

let pool: VerifierPool;
afterEach(() => pool.close());

it("leaves a task in threads what it is, but for the verifier", async () => {
  const { naughtyTask } = await import("./naughty-task.ts");
  const listed = {
    ...naughtyTask({ right: "42" }),
    list: () => [{ id: "a", prompt: "" }],
    content: () => "same",
  };
  const task = inThreads(listed, naughty());
  pool = task.pool;
  const problem = task.generate({ seed: 1, split: "test", index: 5 });
  expect(problem.id).toBe("naughty/5");
  expect([task.name, task.list?.("all"), task.content?.(problem)]).toEqual([
    "naughty",
    [{ id: "a", prompt: "" }],
    "same",
  ]);
  const verdicts = await task.verifyAll!([
    { problem, completion: "exit" },
    { problem, completion: "42" },
  ]);
  expect(verdicts.map(({ value }) => value)).toEqual([null, 1]);
});

describe("VerifierPool", () => {
  it("gives verdicts in order, several threads or one", async () => {
    for (const size of [1, 2]) {
      pool = new VerifierPool(naughty("slowTask"), { size });
      const verdicts = await pool.verify(items("41", "42", "43", "42"));
      expect(verdicts.map(({ value, reason }) => [value, reason])).toEqual([
        [0, "p0"],
        [1, "p1"],
        [0, "p2"],
        [1, "p3"],
      ]);
      expect(pool).toMatchObject({ ended: 0, faults: 0 });
      expect(await pool.verify([])).toEqual([]);
      await pool.close();
    }
  });

  it("pitfall B10: kills a hung thread, leaves its completion unscored, and judges the other 63", async () => {
    pool = new VerifierPool(naughty(), { limitMs: 300 });
    const completions = Array.from({ length: 64 }, (_, i) => (i === 30 ? "hang" : "42"));
    const start = performance.now();
    const verdicts = await pool.verify(items(...completions));
    // One start, one limit, another start: seconds at most, on a busy machine too.
    expect(performance.now() - start).toBeLessThan(20_000);
    expect(verdicts[30]).toEqual({
      value: null,
      kind: "unscored",
      extracted: null,
      canonical: null,
      format: false,
      reason: "timeout",
    });
    expect(verdicts.filter(({ value }) => value === 1)).toHaveLength(63);
    expect(pool).toMatchObject({ ended: 1, faults: 0 });
  });

  it("starts further threads where the work lasts", async () => {
    pool = new VerifierPool(naughty(), { size: 3 });
    await pool.verify(items(...Array<string>(20).fill("42")));
    expect(pool.threads).toBe(1);
    const verdicts = await pool.verify(items(...Array<string>(60).fill("slow")));
    expect(pool.threads).toBeGreaterThan(1);
    expect(pool.threads).toBeLessThanOrEqual(3);
    expect(verdicts.map(({ reason }) => reason)).toEqual(verdicts.map((_, i) => `p${i}`));
  });

  it("leaves faults unscored, and counts them", async () => {
    pool = new VerifierPool(naughty());
    const verdicts = await pool.verify(items("42", "throw", "42", "exit", "42", "unscored", "42"));
    expect(verdicts.map(({ value }) => value)).toEqual([1, null, 1, null, 1, null, 1]);
    expect(verdicts[1]!.reason).toBe("verifier fault: a bug");
    expect(verdicts[3]!.reason).toBe("verifier fault: the thread ended");
    expect(pool).toMatchObject({ ended: 0, faults: 3 });
  });

  it("takes no verdict that is none, and fills in what a task left out", async () => {
    pool = new VerifierPool(naughty());
    const verdicts = await pool.verify(items("nan", "plain"));
    expect(verdicts.map(({ value, kind, reason }) => [value, kind, reason])).toEqual([
      [null, "unscored", "verifier fault: the value of its verdict is NaN, neither null nor from 0 to 1"],
      [1, "right", ""],
    ]);
    expect(pool.faults).toBe(1);
  });

  it("ends a thread that takes all memory, and goes on", async () => {
    pool = new VerifierPool(naughty(), { limitMs: 30_000, heapMb: 64 });
    const verdicts = await pool.verify(items("memory", "42"));
    expect(verdicts.map(({ value, reason }) => [value, reason])).toEqual([
      [null, "memory"],
      [1, "p1"],
    ]);
  });

  it("pitfall B10 with a task of ours: towers, braces and 2 MB among ordinary answers", async () => {
    const options = { kind: "jsonl", file: "recipes/data/word-problems.jsonl" } as const;
    const task = taskFrom(options);
    pool = new VerifierPool({ module: url("../../src/tasks/registry.ts"), factory: "taskFrom", options });
    const nasty = [
      "\\boxed{9^{9^{9^9}}}",
      "\\boxed{(1+x)^{100000}}",
      `\\boxed${"{".repeat(10_000)}1${"}".repeat(10_000)}`,
      "42 ".repeat(700_000),
    ];
    const batch = Array.from({ length: 64 }, (_, index) => {
      const problem = task.generate({ seed: 1, split: "train", index }) as ReturnType<
        typeof task.generate
      > & {
        answer: string;
      };
      return { problem, completion: nasty[index] ?? `a</think><answer>${problem.answer}</answer>` };
    });
    const verdicts = await pool.verify(batch);
    expect(verdicts.map(({ value }) => value)).toEqual([0, 0, 0, 0, ...Array(60).fill(1)]);
    expect(verdicts).toEqual(batch.map(({ problem, completion }) => task.verify(problem, completion)));
    expect(pool).toMatchObject({ ended: 0, faults: 0 });
  });

  it.each([
    ["a module that is not there", { ...naughty(), module: url("./no-such-task.ts") }, /no-such-task/],
    ["an export that is not there", naughty("otherTask"), /exports no function otherTask/],
    ["a factory that throws", naughty("brokenTask"), /no such data set/],
  ])("cannot start with %s", async (_name, source, message) => {
    pool = new VerifierPool(source);
    const verdicts = pool.verify(items("42"));
    await expect(verdicts).rejects.toThrow(expect.objectContaining({ kind: "verifier" }));
    await expect(verdicts).rejects.toThrow(message);
  });
});
