/** A step of pretraining or SFT whose metrics and work are worked out by hand, and resumption of its optimizer. */

import { describe, expect, it } from "vitest";
import type { DocumentSource } from "../../src/data/packing.ts";
import { countFlops } from "../../src/graph/analyse.ts";
import { allParameters } from "../../src/models/architectures.ts";
import { traceMerge } from "../../src/models/lora.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { allocate, host } from "../../src/runtime/session.ts";
import { batchFeeds } from "../../src/train/language-model.ts";
import { LanguageModelStage, trainedOn } from "../../src/train/language-model-stage.ts";
import type { LanguageModelOptions } from "../../src/train/options.ts";
import { Policy, withAdapter } from "../../src/train/policy.ts";
import type { Model, StepReport } from "../../src/train/stage.ts";
import { traceAccumulation, traceOptimizer, traceStep } from "../../src/train/trace-step.ts";
import { livelyV3, tinyV3 } from "../models/v3-tiny.ts";
import { adamW, copyValues, differing, livelyParameters, muon, tinyConfig, tinyContext } from "./tiny.ts";

const start = livelyParameters(tinyConfig, 9, 0.2);
const options: LanguageModelOptions = {
  kind: "pretrain",
  ...{ steps: 6, batch: 1, accumulate: 1, sequence: 8, documentMask: false, recompute: false },
  optimizer: { ...adamW, weightDecay: 0 },
  schedule: { kind: "linear", warmup: 2, minLrRatio: 0 },
};
/** Nine tokens, of which the first is no target. */
const plain: DocumentSource = (index) => ({
  ids: Array.from({ length: 9 }, (_, i) => (i * 3 + index) % 29),
  trainFrom: 0,
});
/** Two rows of a prompt that nothing is trained of, then documents. */
const promptFirst: DocumentSource = (index) =>
  index === 0 ? { ids: Array.from({ length: 17 }, (_, i) => i % 29), trainFrom: 17 } : plain(index);

type Given = Pick<Model, "config" | "parameters">;

async function steps(
  count: number,
  source: DocumentSource,
  over: Partial<LanguageModelOptions> = {},
  model: Given = { config: tinyConfig, parameters: copyValues(start) },
): Promise<StepReport[]> {
  const stage = await LanguageModelStage.create(model, source, { ...options, ...over }, tinyContext);
  const reports = [];
  for (let i = 0; i < count; i++) reports.push(await stage.advance());
  await stage.release();
  return reports;
}

describe("a step's metrics", () => {
  it("uniform logits: ln 29, the norm of the gradient before clipping, the rate by the schedule, the tokens", async () => {
    const parameters = copyValues(start);
    parameters.get("lm_head.weight")?.data.fill(0 as never);
    const reports = await steps(
      3,
      plain,
      { batch: 2 },
      { config: tinyConfig, parameters: copyValues(parameters) },
    );
    const [first] = reports;
    expect(first.metrics.loss).toBeCloseTo(Math.log(29), 5);
    expect(reports.map(({ metrics }) => metrics.lr)).toEqual([0.5, 1, 1].map((factor) => factor * adamW.lr));
    expect(reports.map(({ metrics }) => metrics.tokens)).toEqual([16, 32, 48]);
    expect(first.metrics["tokens-per-second"]).toBeGreaterThan(0);
    expect(first).toMatchObject({
      trained: 16,
      generated: 0,
      prefilled: 0,
      scored: 0,
      groups: [],
      notices: [],
    });
    // The gradient, from a graph without an optimizer; documents of nine tokens run on from row to row.
    const { specs, loss } = trainedOn(tinyConfig, { ...options, batch: 2 });
    const stream = [...plain(0).ids, ...plain(1).ids];
    const feeds = batchFeeds({
      ...{ batch: 2, seq: 8, weights: new Float32Array(16).fill(1 / 16) },
      ids: Int32Array.from(stream.slice(0, 16)),
      targets: Int32Array.from(stream.slice(1, 17)),
    });
    const session = await new Engine({ threads: 1 }).session(traceAccumulation(specs, loss), "test");
    const sums = specs.map(({ name, shape }) => [`${name}.sum`, allocate("f32", shape)]);
    const result = await session.run({ ...Object.fromEntries([...parameters, ...sums]), ...feeds });
    const squares = specs.map(({ name }) =>
      (host(result[`${name}.sum.next`]).data as Float32Array).reduce((total, g) => total + g * g, 0),
    );
    await session.release();
    expect(first.metrics["grad/norm"]).toBeCloseTo(Math.sqrt(squares.reduce((a, b) => a + b)), 5);
  });

  it("Muon's rate is the one that is reported", async () => {
    const [{ metrics }] = await steps(1, plain, { optimizer: muon });
    expect(metrics.lr).toBe(muon.lr / 2);
  });

  it("MTP's cross-entropy is a mean over its own tokens (B9): ln 29 for uniform logits", async () => {
    const parameters = livelyV3(tinyV3, 3);
    parameters.get("lm_head.weight")?.data.fill(0 as never);
    // Of eight tokens the last four are trained, and of these three have a trained one behind them.
    const source: DocumentSource = (index) => ({
      ids: Array.from({ length: 8 }, (_, i) => (i * 3 + index) % 29),
      trainFrom: 4,
    });
    for (const accumulate of [1, 2]) {
      const given = { config: tinyV3, parameters: copyValues(parameters) };
      const [{ metrics }] = await steps(1, source, { batch: 2, sequence: 16, accumulate }, given);
      expect(metrics.loss).toBeCloseTo(Math.log(tinyV3.vocabSize), 4);
      expect(metrics["mtp-cross-entropy"]).toBeCloseTo(Math.log(tinyV3.vocabSize), 4);
      const parts = 1.3 * Math.log(tinyV3.vocabSize) + 1e-4 * (metrics.balance as number);
      expect(metrics["loss/total"]).toBeCloseTo(parts, 4);
    }
  });

  it("no token has a further one to predict: MTP has no value, and nothing is NaN", async () => {
    const source: DocumentSource = () => ({ ids: [1, 2, 3, 4], trainFrom: 3 });
    const given = { config: tinyV3, parameters: livelyV3(tinyV3, 3) };
    const [{ metrics }] = await steps(1, source, { sequence: 16 }, given);
    expect(metrics["mtp-cross-entropy"]).toBeNull();
    expect(Object.values(metrics).filter((value) => value !== null && !Number.isFinite(value))).toEqual([]);
  });

  it("the balance counts a micro-batch by its trained tokens, so that the parts add up to the total", async () => {
    // Three micro-batches of a prompt, then of documents: 0, 8 and 7 trained tokens or so.
    const source: DocumentSource = (index) =>
      index === 0 ? { ids: Array.from({ length: 13 }, (_, i) => i), trainFrom: 13 } : plain(index);
    const given = { config: tinyV3, parameters: livelyV3(tinyV3, 3) };
    const v3 = { balanceFactor: 0.5, mtpFactor: 0.3 };
    const [{ metrics }] = await steps(1, source, { accumulate: 3, v3 }, given);
    const value = (name: string): number => metrics[name] as number;
    expect(value("loss/total")).toBeCloseTo(
      value("loss") + 0.3 * value("mtp-cross-entropy") + 0.5 * value("balance"),
      5,
    );
  });
});

describe("a step's work is what ran (B2)", () => {
  const { specs, loss } = trainedOn(tinyConfig, options);

  it.each([
    ["AdamW", options.optimizer],
    ["Muon", muon],
  ])("%s: one graph, or gradients of each micro-batch and the optimizer once", async (_, optimizer) => {
    const [one] = await steps(1, plain, { optimizer });
    expect(one.flops).toBe(countFlops(traceStep(specs, loss, optimizer)).total);
    const [three] = await steps(1, plain, { optimizer, accumulate: 3 });
    const gradients = countFlops(traceAccumulation(specs, loss)).total;
    const update = countFlops(traceOptimizer(specs, optimizer)).total;
    expect(update).toBeGreaterThan(0);
    expect(three).toMatchObject({ flops: 3 * gradients + update, trained: 24 });
  });

  it("with an adapter, its merge into the model too, once at the start and once a step (B11)", async () => {
    const lora = { rank: 2, alpha: 4, targets: [], seed: 1 };
    const stage = await LanguageModelStage.create(
      { config: tinyConfig, parameters: copyValues(start) },
      plain,
      { ...options, lora },
      tinyContext,
    );
    const merge = countFlops(traceMerge(allParameters(tinyConfig), lora)).total;
    expect(merge).toBeGreaterThan(0);
    expect(stage.work()).toMatchObject({ flops: merge, trained: 0 });
    const adapter = withAdapter({ specs, loss }, lora);
    const report = await stage.advance();
    expect(report.flops).toBe(
      countFlops(traceStep(adapter.specs, adapter.loss, options.optimizer)).total + merge,
    );
    expect(stage.work().flops).toBe(report.flops + merge);
    await stage.release();
  });

  it.each([1, 2])(
    "a step that trains no token costs nothing and has no speed (accumulate %i)",
    async (accumulate) => {
      const reports = await steps(3, promptFirst, { accumulate });
      expect(reports[0]).toMatchObject({ flops: 0, trained: 0 });
      expect(reports[0].metrics).toMatchObject({
        loss: null,
        "grad/norm": null,
        "flops-per-second": null,
        "tokens-per-second": null,
      });
      expect(reports[0].notices.join()).toContain("No token of this step is trained");
      expect(reports[2].flops).toBeGreaterThan(0);
    },
  );
});

describe("a stage that is resumed", () => {
  it.each([1, 2, 3, 4, 5])(
    "after step %i, two of which trained nothing: the same losses and weights (B1)",
    async (stopAt) => {
      const run = async (stop: number | null) => {
        let stage = await LanguageModelStage.create(
          { config: tinyConfig, parameters: copyValues(start) },
          promptFirst,
          options,
          tinyContext,
        );
        const losses = [];
        while (stage.done < 6) {
          losses.push((await stage.advance()).metrics.loss);
          if (stage.done !== stop) continue;
          const { tensors, state } = stage.snapshot();
          const saved = { tensors: copyValues(tensors), state: JSON.parse(JSON.stringify(state)) };
          const parameters = copyValues(stage.parameters());
          await stage.release();
          stage = await LanguageModelStage.create(
            { config: tinyConfig, parameters },
            promptFirst,
            options,
            tinyContext,
            saved,
          );
        }
        const parameters = copyValues(stage.parameters());
        await stage.release();
        return { losses, parameters };
      };
      const [whole, stopped] = [await run(null), await run(stopAt)];
      expect(whole.losses.slice(0, 3)).toEqual([null, null, expect.any(Number)]);
      expect(stopped.losses).toEqual(whole.losses);
      expect(differing(stopped.parameters, whole.parameters)).toEqual([]);
    },
  );
});

it("an adapter has no matrix for Muon: refused (B10)", async () => {
  const lora = { rank: 2, alpha: 4, targets: [], seed: 1 };
  const trained = trainedOn(tinyConfig, options);
  await expect(
    Policy.create(trained, copyValues(start), { ...tinyContext, optimizer: muon, lora, accumulate: false }),
  ).rejects.toThrow(/Use adamw, or train without lora/);
});
