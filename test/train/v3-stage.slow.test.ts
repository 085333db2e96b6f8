/** Pretraining V3 as a stage: it learns, reports its experts, resumes exactly; what it does not train stays as it was. */

import { describe, expect, it } from "vitest";
import type { DocumentSource } from "../../src/data/packing.ts";
import type { Metrics } from "../../src/events.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { modelOf } from "../../src/models/architectures.ts";
import { sequenceInputs } from "../../src/models/decoder.ts";
import { parameterInputs } from "../../src/models/layers.ts";
import { loadName } from "../../src/models/loss.ts";
import { causalMask } from "../../src/models/masks.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { type HostValue, host, i32, scalar, type Value } from "../../src/runtime/session.ts";
import type { Task } from "../../src/tasks/problem.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { GrpoStage } from "../../src/train/grpo.ts";
import { grpoLoss } from "../../src/train/grpo-loss.ts";
import { mtpFeeds } from "../../src/train/language-model.ts";
import { LanguageModelStage } from "../../src/train/language-model-stage.ts";
import { microBatchFeeds, type TrainingRow } from "../../src/train/microbatch.ts";
import type { GrpoOptions, LanguageModelOptions } from "../../src/train/options.ts";
import { livelyV3, tinyV3 } from "../models/v3-tiny.ts";
import { numbersOf } from "../support/parameters.ts";
import { adamW, copyValues, differing, tinyContext, tinyGrpo } from "./tiny.ts";

const options: LanguageModelOptions = {
  kind: "pretrain",
  steps: 16,
  batch: 4,
  accumulate: 2,
  sequence: 12,
  documentMask: true,
  recompute: true,
  optimizer: { ...adamW, lr: 1e-2 },
  schedule: { kind: "constant", warmup: 0 },
};

/** Each token follows from the one before. */
const source: DocumentSource = (index) => ({
  ids: Array.from({ length: 9 }, (_, i) => (index + 5 * i) % tinyV3.vocabSize),
  trainFrom: 0,
});
const start = livelyV3(tinyV3, 9);
const model = (parameters: ReadonlyMap<string, Value> = copyValues(start)) => ({
  config: tinyV3,
  parameters,
});

describe("the language-model stage", () => {
  it.each([
    ["the paper's factors", undefined, [0.3, 1e-4]],
    ["others", { mtpFactor: 0.1, balanceFactor: 0.05 }, [0.1, 0.05]],
  ])(
    "lowers the cross-entropy and reports the further losses and each routed layer's load: %s",
    async (_, v3, factors) => {
      const stage = await LanguageModelStage.create(model(), source, { ...options, v3 }, tinyContext);
      const reports = [];
      for (let i = 0; i < 16; i++) reports.push((await stage.advance()).metrics);
      const [first, last] = [reports[0], reports[16 - 1]];
      expect(last.loss).toBeLessThan(0.6 * (first.loss as number));
      expect(last["mtp-cross-entropy"]).toBeLessThan(first["mtp-cross-entropy"] as number);
      for (const metrics of reports) {
        // The sum of the parts, each under its factor.
        const parts =
          (metrics.loss as number) +
          factors[0] * (metrics["mtp-cross-entropy"] as number) +
          factors[1] * (metrics.balance as number);
        expect(metrics["loss/total"]).toBeCloseTo(parts, 5);
        // Between an even load and one expert for all.
        for (const layer of [1, 2]) {
          const load = metrics[`experts/${layer}/max-load`] as number;
          expect(load >= 1 && load <= tinyV3.experts / tinyV3.activeExperts).toBe(true);
        }
      }
      await stage.release();
    },
  );

  it("goes on from a snapshot as if it had never stopped", async () => {
    const undisturbed = await LanguageModelStage.create(model(), source, options, tinyContext);
    for (let i = 0; i < 4; i++) await undisturbed.advance();
    const killed = await LanguageModelStage.create(model(), source, options, tinyContext);
    for (let i = 0; i < 2; i++) await killed.advance();
    const saved = structuredClone(killed.snapshot());
    const parameters = new Map([...saved.tensors].filter(([name]) => start.has(name)));
    const resumed = await LanguageModelStage.create(model(parameters), source, options, tinyContext, saved);
    for (let i = 0; i < 2; i++) await resumed.advance();
    expect(differing(undisturbed.parameters(), resumed.parameters())).toEqual([]);
    for (const stage of [undisturbed, killed, resumed]) await stage.release();
  });

  it.each([
    ["the paper's γ", undefined, 0.001],
    ["another", { biasRate: 0.25 }, 0.25],
    ["none", { biasRate: 0 }, 0],
  ])("moves the routers' biases in a step by %s", async (_, v3, rate) => {
    const stage = await LanguageModelStage.create(model(), source, { ...options, v3 }, tinyContext);
    await stage.advance();
    for (const layer of [1, 2]) {
      const name = `model.layers.${layer}.mlp.gate.e_score_correction_bias`;
      const [now, before] = [stage.parameters(), start].map((of) => numbersOf(of.get(name)));
      const moves = Array.from(now, (value, expert) => Math.abs(value - before[expert]));
      // An expert with exactly the mean load stays.
      for (const move of moves.filter((move) => move > 0)) expect(move).toBeCloseTo(rate, 6);
      expect(moves.some((move) => move > 0)).toBe(rate > 0);
    }
    await stage.release();
  });

  it("padding has no part in experts' loads, in balance or in the further loss", async () => {
    // Each example takes 9 positions: rows of 9 hold one, and rows of 12 one and 3 of padding.
    const example: DocumentSource = (index) => ({
      ids: Array.from({ length: 10 }, (_, i) => (index + 5 * i) % tinyV3.vocabSize),
      trainFrom: 0,
    });
    const [full, padded] = await Promise.all(
      [9, 12].map(async (sequence) => {
        const stage = await LanguageModelStage.create(
          model(),
          example,
          {
            ...{ ...options, sequence, kind: "sft" },
            v3: { balanceFactor: 0.05 },
          },
          tinyContext,
        );
        const { metrics } = await stage.advance();
        const bias = stage.parameters().get("model.layers.1.mlp.gate.e_score_correction_bias");
        await stage.release();
        return { metrics, bias: Array.from((bias as HostValue).data as Float32Array) };
      }),
    );
    const names = ["loss", "loss/total", "mtp-cross-entropy", "balance", "grad/norm"];
    for (const name of [...names, "experts/1/max-load", "experts/2/max-load"])
      expect(padded.metrics[name], name).toBeCloseTo(full.metrics[name] as number, 5);
    expect(padded.bias).toEqual(full.bias);
  });

  it("predicts no MTP target over the end of an example", () => {
    // 1 2 3 and 4 5 6, side by side, and padding.
    const { mtpTargets, mtpWeights } = mtpFeeds({
      ids: Int32Array.of(1, 2, 4, 5, 0),
      targets: Int32Array.of(2, 3, 5, 6, 0),
      weights: Float32Array.of(1, 1, 1, 1, 0),
      batch: 1,
      seq: 5,
    });
    expect([...mtpWeights.data]).toEqual([1, 0, 1, 0, 0]);
    expect([mtpTargets.data[0], mtpTargets.data[2]]).toEqual([3, 6]);
  });

  it("leaves the further module alone where its loss is not asked for, and keeps its weights", async () => {
    const v3 = { balanceFactor: 0, mtpFactor: 0 };
    const stage = await LanguageModelStage.create(model(), source, { ...options, v3 }, tinyContext);
    for (let i = 0; i < 3; i++) await stage.advance();
    const changed = differing(stage.parameters(), start);
    expect(changed.some((name) => name.startsWith("model.layers.2."))).toBe(false);
    expect(changed).toContain("model.layers.1.mlp.gate.e_score_correction_bias");
    expect(changed).toContain("model.layers.1.mlp.gate.weight");
    expect([...stage.parameters().keys()].sort()).toEqual([...start.keys()].sort());
    await stage.release();
  });
});

describe("GRPO", () => {
  /** Rewards completions with two even digits or more. */
  const evens: Task = {
    name: "evens",
    generate: ({ split, index }) => ({ id: `evens/${split}/${index}`, prompt: `${index % 10}\n` }),
    verify: (_problem, completion) => {
      const value = (completion.match(/[02468]/g) ?? []).length >= 2 ? 1 : 0;
      return {
        value,
        kind: value ? "right" : "wrong",
        extracted: null,
        canonical: null,
        format: false,
        reason: "",
      };
    },
  };
  const grpo: GrpoOptions = {
    ...tinyGrpo,
    clip: { low: 0.2, high: 0.28 },
    kl: 0.01,
    importance: { level: "token", cap: 2 },
  };

  it("samples and trains V3: what it samples is what it trains on, routers' biases and the further module rest", async () => {
    const from = { ...model(), tokenizer: new CompactTokenizer() };
    const stage = await GrpoStage.create(from, evens, grpo, tinyContext);
    let mismatch = 0;
    for (let i = 0; i < 3; i++) {
      const { metrics } = await stage.advance();
      mismatch = Math.max(mismatch, (metrics["mismatch/max"] as number | null) ?? 0);
      expectLoads(metrics);
    }
    expect(mismatch).toBeLessThan(1e-4);
    const changed = differing(stage.parameters(), start);
    expect(changed).toContain("model.layers.1.mlp.gate.weight");
    expect(changed).toContain("model.layers.0.self_attn.kv_b_proj.weight");
    expect(changed.some((name) => /correction_bias|^model\.layers\.2\./.test(name))).toBe(false);
    await stage.release();
  });

  it("reports the load with an adapter as well, over small micro-batches", async () => {
    const from = { ...model(), tokenizer: new CompactTokenizer() };
    const lora = { rank: 2, alpha: 4, targets: [] };
    const stage = await GrpoStage.create(from, evens, { ...grpo, lora, microBatchTokens: 32 }, tinyContext);
    for (let i = 0; i < 2; i++) expectLoads((await stage.advance()).metrics);
    await stage.release();
  });

  /** One routed layer in the trunk; the further module's is not used. */
  function expectLoads(metrics: Metrics): void {
    const names = Object.keys(metrics).filter((name) => name.startsWith("experts/"));
    expect(names).toEqual(["experts/1/max-load"]);
    expect(metrics[names[0]]).toBeGreaterThanOrEqual(1);
    expect(metrics[names[0]]).toBeLessThanOrEqual(tinyV3.experts / tinyV3.activeExperts);
  }

  it("counts the load of tokens and not of padding", async () => {
    const row = (prompt: number[], ids: number[]): TrainingRow => {
      const each = ids.map(() => 1);
      const numbers = { sampled: each, old: each, reference: each, importance: each };
      return { prompt, ids, ...numbers, advantages: each, weights: ids.map(() => 0.1) };
    };
    const rows = [row([1, 2, 3], [4, 5]), row([7, 8], [9, 10, 11, 12, 13, 14, 15, 16])];
    const graph = new Graph();
    const parameters = parameterInputs(graph, modelOf(tinyV3).parameters);
    const options = { ratio: "token" as const, clip: grpo.clip, kl: 0 };
    const { measurements } = grpoLoss(tinyV3, options)(graph, parameters);
    graph.output("load", measurements[loadName(1)]);
    const session = await new Engine({ threads: 1 }).session(graph, "test");
    const feeds = microBatchFeeds({ packed: rows.map((one) => [one]), seq: 16 });
    const { load } = await session.run({
      ...Object.fromEntries(start),
      ...feeds,
      inverseTemperature: scalar(1),
    });
    await session.release();
    // Each row alone and without padding, through the decoder itself.
    const alone = new Graph();
    const { routing } = modelOf(tinyV3).forward(parameterInputs(alone, modelOf(tinyV3).parameters), {
      ...sequenceInputs(alone, { batch: 1, seq: "seq", mask: "shared" }),
    });
    alone.output("counts", routing[0].load);
    const counting = await new Engine({ threads: 1 }).session(alone, "test");
    const totals = new Array<number>(tinyV3.experts).fill(0);
    for (const { prompt, ids } of rows) {
      const read = [...prompt, ...ids.slice(0, -1)];
      const { counts } = await counting.run({
        ...Object.fromEntries(start),
        ids: i32(read, [1, read.length]),
        positions: i32(
          read.map((_, i) => i),
          [1, read.length],
        ),
        mask: causalMask(read.length),
      });
      host(counts).data.forEach((count, expert) => {
        totals[expert] += Number(count);
      });
    }
    await counting.release();
    const tokens = 4 + 9;
    expect([...host(load).data].map(Number)).toEqual(totals);
    expect(totals.reduce((a, b) => a + b)).toBe(tokens * tinyV3.activeExperts);
  });
});
