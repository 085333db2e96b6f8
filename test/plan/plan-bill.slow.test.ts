/** The plan and the bill count the same things in the same way: recipes that are planned, then run. */
import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { RunEvent } from "../../src/events.ts";
import { countFlops } from "../../src/graph/analyse.ts";
import type { BillFile, BillLine } from "../../src/ledger/bill.ts";
import { forecastGroups, forecastPasses } from "../../src/plan/forecast.ts";
import { planRecipe, type StagePlan } from "../../src/plan/plan.ts";
import { type Expected, lengthsOfMean } from "../../src/plan/programs.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import type { Recipe } from "../../src/recipe/schema.ts";
import { resumeOrCreate } from "../../src/run/folder.ts";
import { Run } from "../../src/run/run.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { TINY_DATA } from "../run/tiny-run.ts";

const root = fs.mkdtempSync(join(os.tmpdir(), "sputnik-plan-"));
afterAll(() => fs.rmSync(root, { recursive: true }));
const rows = join(root, "rows.jsonl");
const row = (a: number, b: number): string =>
  JSON.stringify({ prompt: `${a}, ${b} make ${a + b}\n`, completion: `${a} + ${b} = ${a + b}\n` });
fs.writeFileSync(rows, [row(2, 3), row(7, 1), row(4, 4)].join("\n"));

const V3 =
  "{ architecture: deepseek_v3, layers: 2, hiddenSize: 16, heads: 2, queryLoraRank: 12, kvLoraRank: 10, nopeDim: 6, ropeDim: 4, valueDim: 8, intermediateSize: 24, denseLayers: 1, moeIntermediateSize: 6, experts: 8, activeExperts: 2, sharedExperts: 1, groups: 4, activeGroups: 2, maxPositions: 64, mtpLayers: 1 }";
const DENSE = "{ layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 24, maxPositions: 64 }";
const MUON = "optimizer: { kind: muon, lr: 0.01, adamLr: 0.01 }\n    schedule: { kind: constant }";
const ADAMW = "optimizer: { kind: adamw, lr: 0.003 }\n    schedule: { kind: constant }";
const SFT = `kind: sft\n    data: { kind: jsonl, file: ${rows} }\n    sequence: 32`;
const GRPO =
  "kind: grpo\n    problemsPerStep: 4\n    groupSize: 4\n    maxNewTokens: 24\n    temperature: 1\n    rewards: { accuracy: 1, format: 0.1 }\n    overlong: { mode: soft, buffer: 23, penalty: 1 }";

const recipe = (name: string, model: string, stages: string[]): Recipe =>
  parseRecipe(
    `name: ${name}
seed: 4
model: ${model}
tokenizer: { kind: compact }
task: { kind: countdown, numbers: [2] }
checkpoint: { everySteps: 99, keep: 1 }
stages:
${stages.map((stage, i) => `  - name: s${i}\n    ${stage}\n`).join("")}`,
    "plan.yaml",
  );

async function billed(given: Recipe): Promise<{ bill: BillFile; events: RunEvent[] }> {
  const folder = resumeOrCreate(given, { root });
  const events: RunEvent[] = [];
  const hooks = {
    engine: new Engine({ threads: 1 }),
    emit: (event: RunEvent) => void events.push(event),
    shouldStop: () => false,
  };
  expect(await new Run(given, folder, hooks).run()).toBe("finished");
  folder.close();
  return { bill: JSON.parse(fs.readFileSync(folder.paths.bill, "utf8")) as BillFile, events };
}

const flopsOf = ({ programs, steps }: StagePlan): number =>
  steps *
  programs.reduce(
    (sum, { graph, sizes, runsPerStep }) => sum + runsPerStep * countFlops(graph, sizes).total,
    0,
  );

describe("stages whose sizes are known: to the last FLOP", () => {
  it.each([
    ["dense", DENSE],
    ["v3", V3],
  ])("%s: pretraining, SFT with accumulation, an adapter", async (name, model) => {
    const given = recipe(name, model, [
      `kind: pretrain\n    ${TINY_DATA}\n    batch: 2\n    steps: 2\n    ${MUON}`,
      `${SFT}\n    batch: 1\n    accumulate: 3\n    steps: 2\n    ${MUON}`,
      `${SFT}\n    batch: 2\n    steps: 3\n    lora: { rank: 2, alpha: 4 }\n    ${ADAMW}`,
    ]);
    const { bill } = await billed(given);
    const { stages } = planRecipe(given);
    // A merge a step and one at the start are (3 + 1) / 3 a step, which is rounded.
    expect(stages.map(flopsOf)).toEqual(bill.lines.map(({ flops }) => expect.closeTo(flops, 0)));
    expect(bill.lines.map(({ steps }) => steps)).toEqual(stages.map(({ steps }) => steps));
  });
});

describe("stages whose answers are expected: as near as an expectation can be", () => {
  const plan = (given: Recipe, expected: Expected): number[] =>
    planRecipe(given, expected).stages.map(flopsOf);
  const meanAnswer = (line: BillLine, samples: number): number => line.generated / samples;

  it.each([
    ["kl 0", "preset: grpo\n    kl: 0"],
    [
      "a KL term, importance weights, epochs and mini-batches",
      "preset: grpo\n    kl: 0.05\n    importance: { level: token, cap: 2 }\n    epochs: 2\n    miniBatches: 2",
    ],
    [
      "an adapter and shared prompts",
      "preset: grpo\n    kl: 0\n    sharedPrefix: true\n    lora: { rank: 2, alpha: 4 }",
    ],
  ])("GRPO, %s, and an exam", async (name, rest) => {
    const given = recipe(`grpo-${name.length}`, DENSE, [
      `${GRPO}\n    steps: 6\n    ${rest}\n    ${ADAMW}`,
      "kind: evaluate\n    label: final\n    problems: 12\n    samples: 2\n    temperature: 1\n    maxNewTokens: 24",
    ]);
    const { bill, events } = await billed(given);
    const steps = events.flatMap((event) => (event.type === "metrics" ? [event.metrics] : []));
    const carrying = steps.map((metrics) => metrics["groups/signal"] as number);
    // Lengths differ in nearly every group, and with them rewards.
    expect(carrying.reduce((a, b) => a + b) / 6).toBeGreaterThan(0.75);
    const [rl, exam] = bill.lines;
    const answerTokens = meanAnswer(rl, 6 * 16);
    const [planned] = plan(given, { answerTokens });
    expect(planned / rl.flops).toBeGreaterThan(0.87);
    expect(planned / rl.flops).toBeLessThan(1.15);
    const sat = plan(given, { answerTokens: meanAnswer(exam, 24) })[1];
    expect(sat / exam.flops).toBeGreaterThan(0.87);
    expect(sat / exam.flops).toBeLessThan(1.15);
  });

  it("dynamic sampling that finds nothing draws all its rounds, in the plan and in the bill", async () => {
    // Never right, and no other reward: no group carries a signal.
    const stage = GRPO.replace("format: 0.1", "format: 0").replace(/\n +overlong.*/, "");
    const rounds = (maxRounds: number) =>
      `${stage}\n    steps: 3\n    preset: grpo\n    kl: 0\n    dynamicSampling: { maxRounds: ${maxRounds} }\n    ${ADAMW}`;
    const flops = async (maxRounds: number) => {
      const given = recipe(`dynamic-${maxRounds}`, DENSE, [rounds(maxRounds)]);
      const { bill, events } = await billed(given);
      const drawn = events.flatMap((e) => (e.type === "metrics" ? [e.metrics["groups/rounds"]] : []));
      expect(drawn).toEqual([maxRounds + 1, maxRounds + 1, maxRounds + 1]);
      const [line] = bill.lines;
      const answerTokens = meanAnswer(line, 3 * 16 * (maxRounds + 1));
      const { stages } = planRecipe(given, { answerTokens, passRate: 0 });
      // No update is made, of which the plan assumes one optimizer run a step.
      const sampling = {
        ...stages[0],
        programs: stages[0].programs.filter(({ name }) => name !== "optimizer"),
      };
      return { billed: line.flops, planned: flopsOf(sampling) };
    };
    const [one, three] = [await flops(1), await flops(3)];
    // Twice the rounds; the answers' lengths differ.
    expect(Math.abs(three.planned / one.planned - 2)).toBeLessThan(0.3);
    for (const { billed: paid, planned } of [one, three]) {
      expect(planned / paid).toBeGreaterThan(0.87);
      expect(planned / paid).toBeLessThan(1.15);
    }
  });
});

it("lengths have the mean that was measured, the limit included", () => {
  const mean = (lengths: number[]) => lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
  for (const wanted of [1.5, 6, 18, 23])
    expect(Math.abs(mean(lengthsOfMean(96, wanted, 24)) - wanted)).toBeLessThan(0.1);
  expect(lengthsOfMean(3, 24, 24)).toEqual([24, 24, 24]);
});

describe("the forecast of groups", () => {
  it("is exact in the mean", () => {
    expect(forecastGroups(4, 1, 5)).toEqual({ rounds: 1, kept: 4 });
    expect(forecastGroups(4, 0, 5)).toEqual({ rounds: 6, kept: 0 });
    expect(forecastGroups(4, 0.25, 0)).toEqual({ rounds: 1, kept: 1 });
    // One problem a step, each with a signal in half of the cases: 1 + 1/2 + 1/4 rounds, and one is found in 7 of 8 steps.
    expect(forecastGroups(1, 0.5, 2)).toEqual({ rounds: 1.75, kept: 0.875 });
    // Two problems: the second round is drawn unless both had one (3/4); of four, none 1/16, one 4/16.
    expect(forecastGroups(2, 0.5, 1)).toEqual({ rounds: 1.75, kept: 0.25 + 2 * (11 / 16) });
  });

  it("a plan says what a pass rate means for the groups, and for how many rounds", () => {
    const of = (dynamic: string) =>
      recipe("x", DENSE, [
        `${GRPO.replace("groupSize: 4", "groupSize: 2")}\n    steps: 3\n    preset: grpo\n    kl: 0${dynamic}\n    ${ADAMW}`,
      ]);
    const said = (given: Recipe, expected: Expected) =>
      planRecipe(given, expected).stages[0].assumptions.join("; ");
    expect(said(of(""), {})).toContain(
      "groups of 2 do so in 10 % at a pass rate of 5 %, 32 % at a pass rate of 20 %, 50 % at a pass rate of 50 %",
    );
    expect(said(of(""), { passRate: 0.17 })).toMatch(
      /of groups of 2, 28 % at a pass rate of 17 % carry a signal; .*groups of 8 would carry one in about 77 %/,
    );
    expect(said(of("\n    dynamicSampling: { maxRounds: 9 }"), { passRate: 0.17 })).toMatch(
      /so that 3\.\d rounds are drawn a step/,
    );
  });
});

it("micro-batches are forecast as the trainer makes them", () => {
  const rowsOf = (...lengths: number[]) =>
    lengths.map((length) => ({ length, completionTokens: length - 10 }));
  // Sorted 17, 20, 40, 60: padded to 32, 32, 48, 64; 96 tokens hold the first two, then one each.
  expect(forecastPasses(rowsOf(40, 17, 60, 20), 1, 96, 999)).toEqual({
    runs: 3,
    batch: 1,
    seq: 44,
    completionTokens: 32,
  });
  // In two mini-batches of two rows each: 40 and 17 to 48, 60 and 20 to 64, none longer than 56 positions.
  expect(forecastPasses(rowsOf(40, 17, 60, 20), 2, 128, 56)).toEqual({
    runs: 2,
    batch: 2,
    seq: 52,
    completionTokens: 49,
  });
});
