/** SIGKILL at any moment: the resumed run's metrics and weights equal those of a run that was never disturbed, bit by bit. */
import fs from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { launch, type Running, sputnik, temporaryFolder, until, writeRecipe } from "./command.ts";
import { killedOnce, type RecipeName, undisturbed as runWhole, type Trial } from "./random-kills.ts";

const COMMAND = ["train", "tiny.yaml", "--quiet"];

/** Kills at random moments; `npm run soak` asks for many. */
const ROUNDS = Number(process.env.SPUTNIK_SOAK_KILLS ?? 4);

interface Traces {
  metrics: unknown[];
  samples: string;
  evaluations: string;
  weights: string;
}

/** What time measures differs from run to run; everything else must not. */
const TIMED = /per-second|^seconds\/|^mfu$/;

function traces(cwd: string): Traces {
  const run = join(cwd, "runs", "tiny");
  const read = (file: string): string => fs.readFileSync(join(run, file), "utf8");
  const metrics = read("metrics.jsonl")
    .trim()
    .split("\n")
    .map((line) => {
      const entry = JSON.parse(line) as { metrics: Record<string, number> };
      const exact = Object.fromEntries(Object.entries(entry.metrics).filter(([name]) => !TIMED.test(name)));
      return { ...entry, metrics: exact };
    });
  const newest = fs.readdirSync(join(run, "checkpoints")).sort().at(-1) as string;
  const weights = fs
    .readFileSync(join(run, "checkpoints", newest, "model", "model.safetensors"))
    .toString("base64");
  return { metrics, samples: read("samples.jsonl"), evaluations: read("evaluations.jsonl"), weights };
}

function begin(): { cwd: string; running: Running; run: string; lines: () => number } {
  const cwd = temporaryFolder();
  writeRecipe(cwd);
  const run = join(cwd, "runs", "tiny");
  const lines = (): number =>
    fs.existsSync(join(run, "metrics.jsonl"))
      ? fs.readFileSync(join(run, "metrics.jsonl"), "utf8").split("\n").length - 1
      : 0;
  return { cwd, running: launch(COMMAND, { cwd }), run, lines };
}

async function killNow({ child, ended }: Running): Promise<void> {
  child.kill("SIGKILL");
  expect((await ended).signal).toBe("SIGKILL");
}

async function resume(cwd: string): Promise<Traces> {
  const ended = await sputnik(COMMAND, { cwd });
  expect(ended.code, ended.stderr).toBe(0);
  return traces(cwd);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("a run that is killed and resumed", { timeout: 300_000 }, () => {
  let undisturbed: Traces;
  beforeAll(async () => {
    const { cwd, running } = begin();
    expect((await running.ended).code).toBe(0);
    undisturbed = traces(cwd);
    expect(undisturbed.metrics).toHaveLength(134);
  }, 120_000);

  test("while it pretrains, twice", async () => {
    const { cwd, running, lines } = begin();
    await until(() => lines() >= 13 + Math.floor(Math.random() * 30));
    await killNow(running);
    const before = lines();
    const again = launch(COMMAND, { cwd });
    await until(() => again.output().includes("resumed from step") && lines() > Math.max(60, before - 10));
    await killNow(again);
    expect(await resume(cwd)).toEqual(undisturbed);
  });

  test("between a rollout and its update", async () => {
    const { cwd, running, run, lines } = begin();
    await until(() => lines() >= 125, 1);
    // A step is its rollout, then its update: half of a step's time after a line, one is done and the other is not.
    const last = JSON.parse(
      fs.readFileSync(join(run, "metrics.jsonl"), "utf8").trim().split("\n").at(-1) as string,
    ) as { metrics: Record<string, number> };
    await pause(1000 * (last.metrics["seconds/rollout"] as number));
    await killNow(running);
    expect(lines()).toBeLessThan(134);
    expect(await resume(cwd)).toEqual(undisturbed);
  });

  test("while it saves a checkpoint", async () => {
    const { cwd, running, run } = begin();
    const checkpoints = join(run, "checkpoints");
    const halfWritten = (): string[] =>
      fs.existsSync(checkpoints)
        ? fs.readdirSync(checkpoints).filter((name) => name.startsWith(".tmp-step-"))
        : [];
    // Looks without a break: a save takes some milliseconds.
    const start = performance.now();
    while (halfWritten().length === 0 || !fs.existsSync(join(checkpoints, "step-000020"))) {
      if (performance.now() - start > 240_000) throw new Error("no save was seen");
      await pause(0);
    }
    await killNow(running);
    expect(await resume(cwd)).toEqual(undisturbed);
  });

  test("again and again, at random", async () => {
    const { cwd, running } = begin();
    let current = running;
    for (let kills = 0; kills < ROUNDS; kills++) {
      const finished = await Promise.race([
        current.ended.then(() => true),
        pause(400 + Math.random() * 1600).then(() => false),
      ]);
      if (finished) break;
      await killNow(current);
      current = launch(COMMAND, { cwd });
    }
    expect((await current.ended).code).toBe(0);
    expect(traces(cwd)).toEqual(undisturbed);
  });
});

/** `npm run soak` kills at 100 instants, each a run of its own: `trust/resume-random-kills`. */
const INSTANTS = Number(process.env.SPUTNIK_SOAK_INSTANTS ?? 3);
const SEED = Number(process.env.SPUTNIK_SOAK_SEED ?? 15);

describe("all kinds of stages, killed once at a random instant", {
  timeout: 60_000 + 60_000 * INSTANTS,
}, () => {
  const recipes: RecipeName[] = ["dense", "v3"];
  const whole = new Map<RecipeName, Trial>();
  beforeAll(async () => {
    for (const recipe of recipes) whole.set(recipe, await runWhole(recipe));
  }, 120_000);

  test("the kinds are there: what is billed and written of an undisturbed run", () => {
    const { outcome, sessions } = whole.get("dense") as Trial;
    expect(sessions).toEqual([1, 1]);
    // Steps of seven stages; an exam is one.
    expect(outcome.bill.steps).toBe(5 + 1 + 5 + 5 + 3 + 3 + 1);
    for (const kind of ["flops", "trained", "prefilled", "generated", "scored"])
      expect(outcome.bill[kind], kind).toBeGreaterThan(0);
    expect(outcome.metrics).toHaveLength(5 + 5 + 5 + 3 + 3);
    const updates = (stage: string): number =>
      (outcome.metrics as { stage: string; metrics: { loss: number | null } }[]).filter(
        (line) => line.stage === stage && line.metrics.loss !== null,
      ).length;
    for (const stage of ["base", "sft", "rl", "sft-lora", "rl-lora"])
      expect(updates(stage), stage).toBeGreaterThan(1);
    expect(Object.keys(outcome.files).filter((name) => name.startsWith("adapters"))).toHaveLength(2);
  });

  test(`metrics, weights and bill are equal in ${INSTANTS} of ${INSTANTS}`, async () => {
    let equal = 0;
    const faults: string[] = [];
    for (let number = 0; number < INSTANTS; number++) {
      const recipe = recipes[number % 3 === 2 ? 1 : 0];
      const expected = whole.get(recipe) as Trial;
      const trial = await killedOnce(recipe, SEED, number, expected.charges);
      const { outcome, killed, sessions } = trial;
      const found = [
        ...(["metrics", "files", "bill"] as const).filter(
          (part) => JSON.stringify(outcome[part]) !== JSON.stringify(expected.outcome[part]),
        ),
        ...(killed[0] === killed[1] ? [] : [`${killed[0]} FLOPs were charged, ${killed[1]} are billed`]),
        ...(sessions[0] === sessions[1] ? [] : [`${sessions[1]} sessions, ${sessions[0]} in the bill`]),
      ];
      if (found.length === 0) equal++;
      else faults.push(`${recipe} ${number}, killed after ${trial.charges} charges: ${found.join("; ")}`);
    }
    console.log(`trust/resume-random-kills ${equal} of ${INSTANTS}`);
    expect(faults).toEqual([]);
  });
});
