/** Two processes, or two calls, on one run folder: the second says who has it, and the first loses no step. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { FailureError, train } from "../../src/index.ts";
import { launch, sputnik, TINY, temporaryFolder, until, writeRecipe } from "../cli/command.ts";

vi.setConfig({ testTimeout: 240_000 });

// Long enough that the second one comes while the first computes.
const RECIPE = TINY.replace("steps: 120", "steps: 400").replace(
  / {2}- \{ name: base-exam[\s\S]*(?=checkpoint:)/,
  "",
);

interface Line {
  step: number;
  metrics: { loss: number };
}
const steps = (cwd: string): [number, number][] =>
  readFileSync(join(cwd, "runs/tiny/metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line)
    .map(({ step, metrics }) => [step, metrics.loss]);
const begun = (cwd: string): boolean => {
  try {
    return steps(cwd).length > 5;
  } catch {
    return false;
  }
};

test("the second command and the library's train are refused, and the first run has all its steps", async () => {
  const [shared, alone] = [temporaryFolder(), temporaryFolder()];
  for (const cwd of [shared, alone]) writeRecipe(cwd, RECIPE);
  const first = launch(["train", "tiny.yaml", "--quiet"], { cwd: shared });
  await until(() => begun(shared));

  const second = await sputnik(["train", "tiny.yaml", "--quiet"], { cwd: shared });
  const refusal = `The run "tiny" in runs/tiny is being written by process ${first.child.pid}. Wait for it or stop it, or give this run another name: --name, or the option name of train.`;
  expect(second.code).toBe(1);
  expect(second.stderr.replace("what to do", "").replaceAll(/\s+/g, " ")).toContain(refusal);
  const root = join(shared, "runs");
  const call = train(join(shared, "tiny.yaml"), { root });
  await expect(call).rejects.toThrow(FailureError);
  await expect(call).rejects.toThrow(refusal.replace("runs/tiny", join(root, "tiny")));
  // "Start over" moves no folder away that another process writes.
  const fresh = await sputnik(["train", "tiny.yaml", "--fresh", "--quiet"], { cwd: shared });
  expect([fresh.code, fresh.stderr.includes(`process ${first.child.pid}`)]).toEqual([1, true]);
  expect(first.child.exitCode, "the first one ended too early for this test").toBeNull();

  expect((await first.ended).code).toBe(0);
  expect((await sputnik(["train", "tiny.yaml", "--quiet"], { cwd: alone })).code).toBe(0);
  expect(steps(shared).map(([step]) => step)).toEqual(Array.from({ length: 400 }, (_, i) => i + 1));
  expect(steps(shared)).toEqual(steps(alone));
});

test("of two calls in one process the second is refused, and can be made again after the first", async () => {
  const cwd = temporaryFolder();
  const file = join(cwd, writeRecipe(cwd, RECIPE.replace("steps: 400", "steps: 200")));
  const root = join(cwd, "runs");
  let second: Promise<unknown> | undefined;
  const first = await train(file, {
    root,
    onEvent: ({ type }) => {
      if (type !== "metrics" || second !== undefined) return;
      second = train(file, { root }).catch((error: unknown) => error);
    },
  });
  expect(first.outcome).toBe("finished");
  expect(await second).toMatchObject({
    message: expect.stringContaining(`is being written by process ${process.pid}, this one. Wait for it`),
  });
  expect(await train(file, { root, name: "tiny" })).toMatchObject({ folder: first.folder });
  expect(steps(cwd)).toHaveLength(200);
});
