/**
 * Whole training steps against PyTorch and transformers: logits, loss, every named gradient and the global norm on one
 * batch, then ten steps with AdamW and with Muon. test/fixtures/README.md gives the formulas; scripts/fixtures/golden_step.py
 * and golden_families.py made the numbers.
 */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Graph } from "../../src/graph/tensor.ts";
import { allParameters, modelOf } from "../../src/models/architectures.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { sequenceInputs } from "../../src/models/decoder.ts";
import { denseFromHuggingFace } from "../../src/models/dense-hugging-face.ts";
import { parameterInputs } from "../../src/models/layers.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { allocate, type HostValue, host } from "../../src/runtime/session.ts";
import { batchFeeds, languageModelLoss } from "../../src/train/language-model.ts";
import type { Optimizer } from "../../src/train/optimizer.ts";
import { createTrainStep, type TrainStep } from "../../src/train/step.ts";
import { traceAccumulation, traceStep } from "../../src/train/trace-step.ts";
import { numbersOf } from "../support/parameters.ts";
import { json, tensors } from "./fixture.ts";
import { copyValues, furthest, tinyContext, updateBy } from "./tiny.ts";

interface Batch {
  ids: number[][];
  mask: number[][];
}

interface Run {
  losses: number[];
  losses64: number[];
  gradientNorms: number[];
  weights: Record<string, { sum: number; absoluteSum: number; norm: number; first: number[] }>;
}

// PyTorch's own float32 differs from its float64 by 3e-7 in logits, 1e-7 in gradients and 3e-7 in the ten losses; our
// sums run in another order, which is good for as much again.
const LOGITS = 2e-6;
const LOSS = 2e-6;
const GRADIENT = 5e-7;
// Leaving out clipping, decay or a bias correction moves some loss by more than 2e-4.
const TEN_LOSSES = 1e-5;
const WEIGHTS = 1e-5;

/** Position t predicts token t + 1, and counts where the mask says so; weights carry the one denominator. */
function feedsOf({ ids, mask }: Batch): Record<string, HostValue> {
  const [batch, seq] = [ids.length, ids[0].length];
  const total = mask.flat().reduce((a, b) => a + b, 0);
  return batchFeeds({
    batch,
    seq,
    ids: Int32Array.from(ids.flat()),
    targets: Int32Array.from(ids.flatMap((row) => [...row.slice(1), 0])),
    weights: Float32Array.from(mask.flat(), (m) => m / total),
  });
}

const fixedShape = { batch: 3, seq: 12, mask: "shared" } as const;
const symbolicShape = { batch: "batch", seq: "seq", mask: "shared" } as const;

describe.each(["golden-step", "golden-tied", "golden-llama3", "golden-qwen2", "golden-qwen3"])(
  "%s",
  (folder) => {
    const config = denseFromHuggingFace(json(`${folder}/config.json`));
    const parameters = tensors(`${folder}/model.safetensors`);
    const expected = tensors(`${folder}/expected.safetensors`);
    const batch = json<Batch>(`${folder}/batch.json`);
    const specs = allParameters(config);
    const feeds = { ...Object.fromEntries(parameters), ...feedsOf(batch) };
    const wanted = (name: string): Float32Array => expected.get(name)?.data as Float32Array;

    it("has Hugging Face's names and shapes", () => {
      const ours = specs.map(({ name, shape }) => [name, [...shape]]).sort();
      expect(ours).toEqual([...parameters].map(([name, { shape }]) => [name, [...shape]]).sort());
    });

    it.each([true, false])("gives the logits (composed: %s)", async (composed) => {
      const graph = new Graph();
      const traced = parameterInputs(graph, specs);
      graph.output("logits", modelOf(config).forward(traced, sequenceInputs(graph, symbolicShape)).logits);
      const session = await new Engine({ threads: 1 }).session(graph, "test", { composed });
      const { logits } = await session.run(feeds);
      expect(logits.shape).toEqual([3, 12, 40]);
      expect(furthest(host(logits).data as Float32Array, wanted("logits"))).toBeLessThan(LOGITS);
      await session.release();
    });

    it.each([
      ["fixed sizes, fused", fixedShape, false],
      ["fixed sizes, composed", fixedShape, true],
      ["symbolic sizes", symbolicShape, false],
      ["recomputation", { ...fixedShape, recompute: true }, false],
    ])("gives the loss, every gradient and the norm: %s", async (_label, shape, composed) => {
      const graph = traceAccumulation(specs, languageModelLoss(config, shape));
      const session = await new Engine({ threads: 1 }).session(graph, "test", { composed });
      const sums = specs.map((spec) => [`${spec.name}.sum`, allocate("f32", spec.shape)]);
      const result = await session.run({ ...feeds, ...Object.fromEntries(sums) });
      expect(Math.abs(Number(host(result.loss).data[0]) - wanted("loss")[0])).toBeLessThan(LOSS);
      let squares = 0;
      for (const { name } of specs) {
        const gradient = host(result[`${name}.sum.next`]).data as Float32Array;
        expect(furthest(gradient, wanted(`grad.${name}`)), name).toBeLessThan(GRADIENT);
        for (const g of gradient) squares += g * g;
      }
      expect([...expected.keys()].filter((name) => name.startsWith("grad.")).length).toBe(specs.length);
      expect(Math.abs(Math.sqrt(squares) - wanted("globalNorm")[0])).toBeLessThan(2e-6);
      await session.release();
    });
  },
);

describe("ten steps", () => {
  const { batches, clip, ...runs } = json<{ batches: Batch[]; clip: number; adamw: Run; muon: Run }>(
    "golden-step/steps.json",
  );
  const config: DecoderConfig = denseFromHuggingFace(json("golden-step/config.json"));
  const specs = allParameters(config);
  let start: Map<string, HostValue>;
  beforeAll(() => {
    start = tensors("golden-step/model.safetensors");
  });
  const common = {
    betas: [0.9, 0.95] as [number, number],
    epsilon: 1e-8,
    weightDecay: 0.1,
    clip,
    momentum: 0.95,
  };
  const optimizers: Record<"adamw" | "muon", Optimizer> = {
    adamw: { kind: "adamw", lr: 3e-3, ...common },
    muon: { kind: "muon", lr: 1e-2, adamLr: 2e-3, ...common },
  };
  const steps: TrainStep[] = [];
  afterAll(async () => {
    for (const step of steps) await step.release();
  });

  it.each([
    ["adamw", "fused"],
    ["adamw", "accumulated"],
    ["muon", "fused"],
    ["muon", "accumulated"],
  ] as const)("with %s, %s", async (kind, form) => {
    const optimizer = optimizers[kind];
    const rates = { lr: optimizer.kind === "muon" ? optimizer.adamLr : optimizer.lr, muonLr: optimizer.lr };
    const step = await createTrainStep(
      specs,
      copyValues(start),
      languageModelLoss(config, fixedShape),
      optimizer,
      {
        engine: tinyContext.engine,
        accumulate: form === "accumulated",
      },
    );
    steps.push(step);
    const [losses, norms]: [number[], number[]] = [[], []];
    for (const batch of batches) {
      const feeds = feedsOf(batch);
      const { loss, norm } = await updateBy(step, feeds, rates);
      losses.push(loss);
      norms.push(norm);
    }
    const run = runs[kind];
    expect(furthest(losses, run.losses)).toBeLessThan(TEN_LOSSES);
    expect(furthest(losses, run.losses64)).toBeLessThan(TEN_LOSSES);
    expect(furthest(norms, run.gradientNorms)).toBeLessThan(TEN_LOSSES);
    for (const [name, want] of Object.entries(run.weights)) {
      const data = numbersOf(step.parameters().get(name));
      const sum = (f: (v: number) => number): number => data.reduce((total, v) => total + f(v), 0);
      expect(furthest(data.slice(0, 4), want.first), name).toBeLessThan(WEIGHTS);
      // Sums over up to 1,280 elements.
      expect(Math.abs(sum((v) => v) - want.sum), name).toBeLessThan(1e-3);
      expect(Math.abs(sum(Math.abs) - want.absoluteSum), name).toBeLessThan(1e-3);
      expect(Math.abs(Math.sqrt(sum((v) => v * v)) - want.norm), name).toBeLessThan(WEIGHTS);
    }
    expect(step.stepCount).toBe(10);
  });

  it("traces one graph for all steps: rates and bias corrections are scalar inputs", () => {
    const graph = traceStep(specs, languageModelLoss(config, fixedShape), optimizers.muon);
    for (const name of ["lr", "muonLr", "correction1", "correction2"])
      expect(graph.inputs.get(name)?.shape).toEqual([]);
  });
});
