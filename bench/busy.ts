/**
 * The default recipe's training step while another program takes one core, and while none does: sessions that may stop to
 * spin beside ones that always spin, in alternating phases of one run.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { lower } from "../src/graph/lower.ts";
import { Random } from "../src/lib/random.ts";
import { loadRecipe } from "../src/recipe/load.ts";
import { recipeShape } from "../src/recipe/model.ts";
import type { PretrainStage } from "../src/recipe/schema.ts";
import type { Watch } from "../src/runtime/contention.ts";
import { Engine } from "../src/runtime/engine.ts";
import { allocate, type HostValue } from "../src/runtime/session.ts";
import { trainedOn } from "../src/train/language-model-stage.ts";
import { traceStep } from "../src/train/step.ts";
import { median, type Row } from "./rows.ts";

const RECIPE = fileURLToPath(new URL("../recipes/tiny-r1-zero.yaml", import.meta.url));
const ROUNDS = 5;
/** Seconds of a phase; the busy one begins with the other program's start, before it is noticed. */
const [QUIET, BUSY, SETTLE] = [5, 15, 5];

/** As before there was a watch. */
const always: Watch = { contended: false, measure: (_session, run) => run() };

async function openStep(watch?: Watch): Promise<{ tokens: number; run: () => Promise<unknown> }> {
  const recipe = loadRecipe(RECIPE);
  const { config } = recipeShape(recipe);
  const options = recipe.stages[0] as PretrainStage;
  const { specs, loss } = trainedOn(config, options);
  const graph = traceStep(specs, loss, options.optimizer);
  const session = await new Engine({ watch }).prepare(lower(graph, { provider: "cpu", name: "train-step" }));
  const random = new Random(1, "busy");
  const feeds: Record<string, HostValue> = {};
  for (const [name, { dtype, shape }] of graph.inputs) {
    feeds[name] = allocate(dtype, shape as number[]);
    const { data } = feeds[name];
    for (let i = 0; i < data.length; i++) {
      if (name === "positions") data[i] = i % options.sequence;
      else
        data[i] =
          dtype === "i32" ? random.integer(0, config.vocabSize - 1) : 0.02 * Math.abs(random.normal());
    }
  }
  const fetches = session.allocateOutputs(session.outputs.map(({ name }) => name));
  return { tokens: options.batch * options.sequence, run: () => session.run(feeds, fetches) };
}

type Step = Awaited<ReturnType<typeof openStep>>;

/** Tokens a second over at least `seconds`. */
async function speed({ tokens, run }: Step, seconds: number): Promise<number> {
  const start = performance.now();
  let steps = 0;
  for (; performance.now() < start + 1000 * seconds; steps++) await run();
  return (1000 * steps * tokens) / (performance.now() - start);
}

const mirrored = (before: Step, after: Step): [string, Step][] => [
  ["before", before],
  ["after", after],
  ["after", after],
  ["before", before],
];

async function besideAnother<T>(work: () => Promise<T>): Promise<T> {
  const other: ChildProcess = spawn(process.execPath, ["-e", "for(;;);"], { stdio: "ignore" });
  try {
    return await work();
  } finally {
    other.kill("SIGKILL");
  }
}

export async function benchBusy(): Promise<Row[]> {
  const [before, after] = [await openStep(always), await openStep()];
  for (const step of [before, after]) await speed(step, 2);
  const seen = { before: [], after: [], taken: [], takenBefore: [] } as Record<string, number[]>;
  for (let round = 0; round < ROUNDS; round++) {
    // Twice each, in mirrored order: a machine that warms up or slows down favours neither.
    for (const [name, step] of round % 2 === 0 ? mirrored(before, after) : mirrored(before, after).reverse())
      seen[name].push(await speed(step, QUIET));
    seen.taken.push(await besideAnother(() => speed(after, BUSY)));
    seen.takenBefore.push(await besideAnother(() => speed(before, QUIET)));
    await speed(after, SETTLE);
  }
  const ratios = (top: readonly number[], bottom: readonly number[]) =>
    top.map((value, i) => value / bottom[i]);
  const quiet = ratios(seen.after, seen.before);
  const taken = seen.taken.map((value) => value / median(seen.after));
  const per = (name: string) => `${median(seen[name]).toFixed(0)} tokens/s`;
  return [
    {
      name: "busy/one-core-taken",
      value: median(taken),
      spread: [Math.min(...taken), Math.max(...taken)],
      unit: "of the speed on a quiet machine",
      atLeast: 0.45,
      note: `${per("taken")} of ${per("after")}, noticing included; always spinning ${per("takenBefore")}`,
    },
    {
      name: "busy/quiet",
      value: median(quiet),
      spread: [Math.min(...quiet), Math.max(...quiet)],
      unit: "of the speed before",
      atLeast: 0.98,
      note: `${per("after")} after, ${per("before")} before`,
    },
  ];
}
