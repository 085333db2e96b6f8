/** What a training step promises beyond its numbers: micro-batches add up, resuming is exact, NaN is found and named. */

import { describe, expect, it, vi } from "vitest";
import type { Document } from "../../src/data/packing.ts";
import { input, log, mul, sum } from "../../src/graph/ops.ts";
import { bindShape, Graph, type Tensor } from "../../src/graph/tensor.ts";
import { isUserError } from "../../src/lib/errors.ts";
import { Random } from "../../src/lib/random.ts";
import { allParameters, modelOf } from "../../src/models/architectures.ts";
import { type ParameterSpec, parameterInputs } from "../../src/models/layers.ts";
import { causalMask, documentMask } from "../../src/models/masks.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { f32, type HostValue, host, i32 } from "../../src/runtime/session.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { locateNonFinite } from "../../src/train/diagnose.ts";
import { batchFeeds, languageModelLoss } from "../../src/train/language-model.ts";
import { LanguageModelStage } from "../../src/train/language-model-stage.ts";
import type { LanguageModelOptions } from "../../src/train/options.ts";
import { createTrainStep } from "../../src/train/step.ts";
import type { BuildLoss } from "../../src/train/trace-step.ts";
import { numbersOf } from "../support/parameters.ts";
import {
  adamW,
  copyValues,
  differing,
  furthest,
  livelyParameters,
  muon,
  tinyConfig,
  tinyContext,
  updateBy,
} from "./tiny.ts";

const specs = allParameters(tinyConfig);
const start = livelyParameters(tinyConfig, 3, 0.15);
const symbolic = languageModelLoss(tinyConfig, { batch: "batch", seq: "seq", mask: "shared" });

/** Random rows whose weights differ from token to token and are 0 on some. */
function randomBatch(batch: number, seq: number, seed: number) {
  const random = new Random(seed, "batch");
  const ids = () =>
    Int32Array.from({ length: batch * seq }, () => random.integer(0, tinyConfig.vocabSize - 1));
  const weights = Float32Array.from({ length: batch * seq }, () =>
    random.uniform() < 0.3 ? 0 : random.uniform() / (batch * seq),
  );
  return { batch, seq, ids: ids(), targets: ids(), weights };
}

const rows = ({ seq, ids, targets, weights }: ReturnType<typeof randomBatch>, from: number, to: number) => ({
  batch: to - from,
  seq,
  ids: ids.slice(from * seq, to * seq),
  targets: targets.slice(from * seq, to * seq),
  weights: weights.slice(from * seq, to * seq),
});

describe("micro-batches", () => {
  it.each([adamW, muon])("add up to the whole batch: $kind", async (optimizer) => {
    const rates = { lr: 1e-3, muonLr: 1e-2 };
    const whole = await createTrainStep(specs, copyValues(start), symbolic, optimizer, {
      engine: tinyContext.engine,
    });
    const parts = await createTrainStep(specs, copyValues(start), symbolic, optimizer, {
      engine: tinyContext.engine,
      accumulate: true,
    });
    for (let i = 0; i < 3; i++) {
      const batch = randomBatch(5, 8, i);
      const { loss, norm } = await updateBy(whole, batchFeeds(batch), rates);
      const cut = [
        [0, 2],
        [2, 3],
        [3, 5],
      ].map(([from, to]) => batchFeeds(rows(batch, from, to)));
      const update = await parts.update(cut, rates);
      const sumOfLosses = update.measured.reduce((total, { scalars }) => total + scalars.loss, 0);
      // Sums of a few hundred terms in another order.
      expect(Math.abs(loss - sumOfLosses)).toBeLessThan(1e-6);
      expect(Math.abs(norm - update.norm) / norm).toBeLessThan(1e-5);
    }
    // Adam's first steps divide a gradient by its own size, so that noise in tiny ones grows: the rate bounds it.
    for (const [name, value] of whole.parameters())
      expect(furthest(numbersOf(value), numbersOf(parts.parameters().get(name))), name).toBeLessThan(2e-5);
    expect([whole.stepCount, parts.stepCount]).toEqual([3, 3]);
    await whole.release();
    await parts.release();
  });

  it("an update without a batch, and a fused one of several, throw", async () => {
    const feeds = batchFeeds(randomBatch(1, 4, 0));
    const fused = await createTrainStep(specs, copyValues(start), symbolic, adamW, tinyContext);
    await expect(fused.update([feeds, feeds], { lr: 1, muonLr: 1 })).rejects.toThrow(
      /takes one batch, not 2/,
    );
    await expect(fused.update([], { lr: 1, muonLr: 1 })).rejects.toThrow(/takes one batch, not 0/);
    await fused.release();
    const parts = await createTrainStep(specs, copyValues(start), symbolic, adamW, {
      ...tinyContext,
      accumulate: true,
    });
    await expect(parts.update([], { lr: 1, muonLr: 1 })).rejects.toThrow(/needs a batch/);
    await parts.release();
  });
});

describe("NaN", () => {
  /** loss = sum(a · log x): x = 0 gives -infinity. */
  const specsOfLog: ParameterSpec[] = [
    { name: "a", role: "norm", shape: [2], init: 1 },
    { name: "x", role: "norm", shape: [2], init: 1 },
  ];
  const logLoss: BuildLoss = (graph, parameters) => {
    const [a, x] = [parameters.get("a") as Tensor, parameters.get("x") as Tensor];
    return {
      loss: graph.scope("entropy", () => sum(mul(a, log(mul(x, input(graph, "scale", "f32", [])))))),
      measurements: {},
    };
  };
  const values = (x: number[]): Map<string, HostValue> =>
    new Map([
      ["a", f32([1, 2])],
      ["x", f32(x)],
    ]);
  const rates = { lr: 0.1, muonLr: 0 };
  const scale = (s: number) => ({
    scale: { device: "host" as const, dtype: "f32" as const, shape: [], data: Float32Array.of(s) },
  });

  it("names the step and the first node that made it, and leaves the parameters as they were", async () => {
    const step = await createTrainStep(specsOfLog, values([1, 3]), logLoss, adamW, {
      engine: tinyContext.engine,
    });
    await updateBy(step, scale(1), rates);
    const [before, moments] = [copyValues(step.parameters()), copyValues(step.moments())];
    const failure = await updateBy(step, scale(0), rates).catch((error) => error);
    expect(isUserError(failure, "non-finite")).toBe(true);
    expect(failure).toMatchObject({ data: { step: 2, node: '"entropy" (log, [2])' } });
    expect(failure.message).toMatchInlineSnapshot(
      `"step 2: the loss is not a finite number; the first node that made one is "entropy" (log, [2]). The parameters are still those of the step before."`,
    );
    expect(differing(step.parameters(), before)).toEqual([]);
    expect(differing(step.moments(), moments)).toEqual([]);
    expect(step.stepCount).toBe(1);
    // And it goes on.
    expect((await updateBy(step, scale(1), rates)).loss).toBeLessThan(10);
    await step.release();
  });

  it("names it too where only the gradient is not finite, fused or accumulated", async () => {
    const root: BuildLoss = (graph, parameters) => {
      const product = mul(parameters.get("a") as Tensor, input(graph, "scale", "f32", []));
      return {
        loss: graph.scope("root", () => sum(mul(product, log(parameters.get("x") as Tensor)))),
        measurements: {},
      };
    };
    const zero = (): Map<string, HostValue> =>
      new Map([
        ["a", f32([0, 1e30])],
        ["x", f32([1, 1 + 1e-6])],
      ]);
    const fused = await createTrainStep(
      specsOfLog,
      zero(),
      root,
      { ...adamW, clip: null },
      { engine: tinyContext.engine },
    );
    // a · log x = 1e24, but its square in the norm is infinite.
    const failure = await updateBy(fused, scale(1), rates).catch((error) => error);
    expect(isUserError(failure, "non-finite")).toBe(true);
    expect(failure.message).toMatch(
      /gradient norm is not a finite number; the first node that made one is "optimizer\.norm"/,
    );
    await fused.release();
    const accumulated = await createTrainStep(
      specsOfLog,
      zero(),
      root,
      { ...adamW, clip: null },
      { engine: tinyContext.engine, accumulate: true },
    );
    const second = await updateBy(accumulated, scale(1), rates).catch((error) => error);
    expect(isUserError(second, "non-finite")).toBe(true);
    expect(second.data.node).toMatch(/optimizer\.norm/);
    expect(differing(accumulated.parameters(), zero())).toEqual([]);
    await accumulated.release();
  });

  it("names a weight that was NaN from the start, in the decoder", async () => {
    const broken = copyValues(start);
    (broken.get("model.layers.1.mlp.up_proj.weight")?.data as Float32Array)[5] = Number.NaN;
    const step = await createTrainStep(specs, broken, symbolic, adamW, { engine: tinyContext.engine });
    const failure = await updateBy(step, batchFeeds(randomBatch(2, 6, 0)), rates).catch((error) => error);
    expect(failure).toMatchObject({
      kind: "non-finite",
      data: { step: 1, node: 'the input "model.layers.1.mlp.up_proj.weight"' },
    });
    await step.release();
  });

  it("names the line of the model in which a finite weight overflows", async () => {
    const graph = new Graph();
    const large = copyValues(start);
    const gate = large.get("model.layers.0.mlp.gate_proj.weight") as HostValue;
    (gate.data as Float32Array).fill(3e38);
    const parameters = parameterInputs(graph, specs);
    graph.output("loss", symbolic(graph, parameters).loss);
    const node = await locateNonFinite(tinyContext.engine, graph, {
      ...Object.fromEntries(large),
      ...batchFeeds(randomBatch(1, 4, 1)),
    });
    expect(node).toBe('"layers.0.mlp.gate" (matmul, [batch,seq,24])');
    // The same in runs that keep a few values at a time: one of [1, 4, 24] has 384 bytes.
    const create = vi.spyOn(Engine.prototype, "session");
    const feeds = { ...Object.fromEntries(large), ...batchFeeds(randomBatch(1, 4, 1)) };
    expect(await locateNonFinite(tinyContext.engine, graph, feeds, 800)).toBe(node);
    expect(create.mock.calls.length).toBeGreaterThan(3);
    const bytes = ({ shape }: Tensor) =>
      bindShape(shape, { batch: 1, seq: 4 }).reduce((total, dim) => total * dim, 4);
    const kept = create.mock.calls.map(([{ outputs }]) => [...outputs.values()].map(bytes));
    create.mockRestore();
    // Or a single value that is larger.
    for (const part of kept.filter(({ length }) => length > 1))
      expect(part.reduce((total, one) => total + one)).toBeLessThanOrEqual(800);
    const fine = await locateNonFinite(tinyContext.engine, graph, {
      ...Object.fromEntries(start),
      ...batchFeeds(randomBatch(1, 4, 1)),
    });
    expect(fine).toBeNull();
  });
});

describe("packed documents", () => {
  it("with documentMask, a document's logits are those of the document alone", async () => {
    const graph = new Graph();
    const parameters = parameterInputs(graph, specs);
    const ids = input(graph, "ids", "i32", ["batch", "seq"]);
    const positions = input(graph, "positions", "i32", ["batch", "seq"]);
    const mask = input(graph, "mask", "f32", ["batch", 1, "seq", "seq"]);
    graph.output("logits", modelOf(tinyConfig).forward(parameters, { ids, positions, mask }).logits);
    const session = await new Engine({ threads: 1 }).session(graph, "test");
    const run = async (tokens: number[], m: HostValue) => {
      const shape = [1, tokens.length];
      const feeds = {
        ...Object.fromEntries(start),
        ids: i32(tokens, shape),
        positions: i32(
          tokens.map((_, i) => i),
          shape,
        ),
        mask: m,
      };
      return host((await session.run(feeds)).logits).data as Float32Array;
    };
    const [first, second] = [
      [5, 9, 2, 7],
      [11, 3, 20, 8, 6],
    ];
    const packed = await run(
      [...first, ...second],
      documentMask(Int32Array.from([0, 0, 0, 0, 1, 1, 1, 1, 1]), 1, 9),
    );
    const width = tinyConfig.vocabSize;
    // Positions go on in the packed row; rotary angles depend on differences alone, up to f32 rounding of the angles.
    expect(furthest(packed.slice(0, 4 * width), await run(first, causalMask(4)))).toBeLessThan(1e-5);
    expect(furthest(packed.slice(4 * width), await run(second, causalMask(5)))).toBeLessThan(1e-5);
    const leaky = await run([...first, ...second], causalMask(9));
    expect(furthest(leaky.slice(4 * width), packed.slice(4 * width))).toBeGreaterThan(1e-2);
    await session.release();
  });
});

describe("LanguageModelStage", () => {
  const source = (index: number): Document => {
    const random = new Random(4, "document", index);
    return { ids: Array.from({ length: random.integer(2, 11) }, () => random.integer(3, 28)), trainFrom: 1 };
  };
  const options: LanguageModelOptions = {
    kind: "pretrain",
    steps: 6,
    batch: 2,
    accumulate: 1,
    sequence: 8,
    documentMask: false,
    recompute: false,
    optimizer: adamW,
    schedule: { kind: "cosine", warmup: 2, minLrRatio: 0.1 },
  };
  const model = (parameters: ReadonlyMap<string, HostValue>) => ({
    config: tinyConfig,
    tokenizer: new CompactTokenizer(),
    parameters,
  });
  /** All but what the clock says. */
  const timeless = (metrics: Record<string, number | null>) =>
    Object.fromEntries(Object.entries(metrics).filter(([name]) => !/second/.test(name)));

  it.each<[string, Partial<LanguageModelOptions>]>([
    ["AdamW", {}],
    [
      "Muon, accumulated, document masks, recomputation",
      { optimizer: muon, accumulate: 2, documentMask: true, recompute: true },
    ],
  ])("A9: resumed in the middle, it gives bit-identical parameters and metrics: %s", async (_name, rest) => {
    const all = { ...options, ...rest };
    const undisturbed = await LanguageModelStage.create(model(copyValues(start)), source, all, tinyContext);
    const reports = [];
    for (let i = 0; i < 6; i++) reports.push(await undisturbed.advance());

    const killed = await LanguageModelStage.create(model(copyValues(start)), source, all, tinyContext);
    for (let i = 0; i < 3; i++) await killed.advance();
    const { tensors, state } = killed.snapshot();
    const saved = { tensors: copyValues(tensors), state: JSON.parse(JSON.stringify(state)) };
    await killed.advance();
    await killed.release();

    const parameters = new Map(specs.map(({ name }) => [name, saved.tensors.get(name) as HostValue]));
    const resumed = await LanguageModelStage.create(model(parameters), source, all, tinyContext, saved);
    expect(resumed.done).toBe(3);
    for (let i = 3; i < 6; i++) {
      const report = await resumed.advance();
      expect(timeless(report.metrics)).toEqual(timeless(reports[i].metrics));
      expect(report.flops).toBe(reports[i].flops);
    }
    expect(differing(resumed.snapshot().tensors, undisturbed.snapshot().tensors)).toEqual([]);
    await undisturbed.release();
    await resumed.release();
  });

  it("learns: a repeated document is soon known by heart", async () => {
    const ids = [5, 9, 2, 7, 11, 3, 20];
    const stage = await LanguageModelStage.create(
      model(livelyParameters(tinyConfig, 5, 0.05)),
      () => ({ ids, trainFrom: 0 }),
      {
        ...options,
        steps: 60,
        sequence: 14,
        optimizer: { ...adamW, lr: 2e-2, weightDecay: 0 },
      },
      tinyContext,
    );
    let loss = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 60; i++) loss = (await stage.advance()).metrics.loss as number;
    // log 29 = 3.37 at first; only the row's first token leaves room for doubt, and even that follows from the last.
    expect(loss).toBeLessThan(0.1);
    await stage.release();
  });

  it("with whole examples rows are padded, and resumption is exact (D5)", async () => {
    // Six positions an example in rows of 8: a stream would cut them.
    const apart = (index: number) => ({ ids: [4, 5, 6, 7, 8, 9, 10 + (index % 3)], trainFrom: 2 });
    const whole = { ...options, batch: 1, sequence: 8, kind: "sft" as const, documentMask: true };
    const undisturbed = await LanguageModelStage.create(model(copyValues(start)), apart, whole, tinyContext);
    const reports = [];
    for (let i = 0; i < 4; i++) reports.push(await undisturbed.advance());
    const stage = await LanguageModelStage.create(model(copyValues(start)), apart, whole, tinyContext);
    for (let i = 0; i < 2; i++) await stage.advance();
    const { tensors, state } = stage.snapshot();
    // 32 wait at each step, of which one is put into its row.
    expect(state).toMatchObject({ packing: { nextDocument: 33, waiting: expect.any(Array) } });
    const saved = { tensors: copyValues(tensors), state: JSON.parse(JSON.stringify(state)) };
    await stage.release();
    const parameters = new Map(specs.map(({ name }) => [name, saved.tensors.get(name) as HostValue]));
    const resumed = await LanguageModelStage.create(model(parameters), apart, whole, tinyContext, saved);
    for (let i = 2; i < 4; i++)
      expect(timeless((await resumed.advance()).metrics)).toEqual(timeless(reports[i].metrics));
    await undisturbed.release();
    await resumed.release();
  });

  it("A1: a step without a trained token is a no-op with a notice, never NaN", async () => {
    const stage = await LanguageModelStage.create(
      model(copyValues(start)),
      () => ({ ids: [4, 5, 6], trainFrom: 3 }),
      options,
      tinyContext,
    );
    const { metrics, notices } = await stage.advance();
    // Nor a speed, of which a share of the machine's would be shown (D6).
    expect(metrics).toMatchObject({ loss: null, "grad/norm": null, "flops-per-second": null });
    expect(notices[0]).toMatch(/No token of this step is trained/);
    expect(differing(stage.parameters(), start)).toEqual([]);
    expect(metrics.tokens).toBe(16);
    await stage.release();
  });
});
