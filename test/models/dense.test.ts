/** The dense decoder: its fast forms against their slow twins, its counts against closed forms worked out by hand. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";
import { countFlops, estimateMemory, neededNodes } from "../../src/graph/analyse.ts";
import { lower } from "../../src/graph/lower.ts";
import { input } from "../../src/graph/ops.ts";
import { bindShape, Graph } from "../../src/graph/tensor.ts";
import { allParameters, modelOf } from "../../src/models/architectures.ts";
import { countParameters, initialise, parameterInputs } from "../../src/models/layers.ts";
import { causalMask } from "../../src/models/masks.ts";
import { Engine } from "../../src/runtime/engine.ts";
import * as ort from "../../src/runtime/onnxruntime.ts";
import { allocate, f32, type HostValue, host, i32, scalar } from "../../src/runtime/session.ts";
import { traceDecode } from "../../src/sample/graphs.ts";
import { type BatchShape, batchFeeds, languageModelLoss } from "../../src/train/language-model.ts";
import { traceAccumulation, traceStep } from "../../src/train/trace-step.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { adamW, furthest, livelyParameters, tinyConfig } from "../train/tiny.ts";

const config = { ...tinyConfig, layers: 4 };
const specs = allParameters(config);
const parameters = livelyParameters(config, 1, 0.2);
const [batch, seq] = [3, 10];
const symbolic: BatchShape = { batch: "batch", seq: "seq", mask: "shared" };
const fixed: BatchShape = { batch, seq, mask: "shared" };

const some = (count: number, seed: number): Int32Array =>
  Int32Array.from({ length: count }, (_, i) => (i * 7 + seed) % config.vocabSize);
const feeds: Record<string, HostValue> = {
  ...Object.fromEntries(parameters),
  ...Object.fromEntries(specs.map(({ name, shape }) => [`${name}.sum`, allocate("f32", shape)])),
  ...batchFeeds({
    batch,
    seq,
    ids: some(batch * seq, 1),
    targets: some(batch * seq, 8),
    weights: new Float32Array(batch * seq).fill(1 / (batch * seq)),
  }),
};

function forward(): Graph {
  const graph = new Graph();
  const ids = input(graph, "ids", "i32", ["batch", "seq"]);
  const positions = input(graph, "positions", "i32", ["batch", "seq"]);
  const mask = input(graph, "mask", "f32", [1, 1, "seq", "seq"]);
  graph.output(
    "logits",
    modelOf(config).forward(parameterInputs(graph, specs), { ids, positions, mask }).logits,
  );
  return graph;
}

async function gradients(shape: BatchShape, composed = false): Promise<Record<string, HostValue>> {
  const session = await new Engine({ threads: 1 }).session(
    traceAccumulation(specs, languageModelLoss(config, shape)),
    "test",
    { composed },
  );
  const result = await session.run(feeds);
  await session.release();
  return Object.fromEntries(Object.entries(result).map(([name, value]) => [name, host(value)]));
}

function expectClose(a: Record<string, HostValue>, b: Record<string, HostValue>, tolerance: number): void {
  expect(Object.keys(a)).toEqual(Object.keys(b));
  for (const [name, { data }] of Object.entries(a))
    expect(furthest(data as Float32Array, b[name].data as Float32Array), name).toBeLessThan(tolerance);
}

describe("forms", () => {
  it("every norm, rotation and activation of the forward pass is fused; the counts are pinned", () => {
    const { forms } = lower(forward(), { provider: "cpu" });
    // Two norms a layer and the last one; q and k rotated.
    expect(forms).toEqual({
      rmsNorm: { fused: 9, composed: {} },
      rope: { fused: 8, composed: {} },
      attention: { fused: 0, composed: { "no fused form on cpu": 4 } },
      attend: { fused: 0, composed: { "no fused form on cpu": 4 } },
      silu: { fused: 4, composed: {} },
      // Seven projections and the scores of a layer, and the head; the scores times values are a plain product.
      matmul: { fused: 33, composed: { "nothing to transpose or scale": 4 } },
    });
  });

  it("and those of the training step: rotations run backwards too, and the activation's sigmoid is kept for it", () => {
    const { forms } = lower(traceStep(specs, languageModelLoss(config, symbolic), adamW), {
      provider: "cpu",
    });
    expect(forms).toMatchObject({
      rmsNorm: { fused: 9, composed: {} },
      rope: { fused: 16, composed: {} },
      silu: { fused: 0, composed: { "its intermediate results are used": 4 } },
    });
  });

  it("composed on request, with the reason", () => {
    expect(lower(forward()).forms.rmsNorm).toEqual({
      fused: 0,
      composed: { "asked for": 9 },
    });
  });
});

describe("twins", () => {
  it("fused and composed give the same loss and gradients", async () => {
    // Gradients are near 0.1 here; kernels differ from the composed forms by about 1e-6 of that.
    expectClose(await gradients(symbolic), await gradients(symbolic, true), 2e-6);
  });

  it("symbolic and fixed sizes give the same loss and gradients", async () => {
    expectClose(await gradients(symbolic), await gradients(fixed), 2e-6);
  });

  it("recomputation gives the same loss and gradients", async () => {
    expectClose(await gradients({ ...fixed, recompute: true }), await gradients(fixed), 2e-6);
  });

  it("one cached token gives what the whole sequence gives at its end, for rows of different lengths", async () => {
    const whole = new Graph();
    const traced = parameterInputs(whole, specs);
    const inputs = {
      ids: input(whole, "ids", "i32", ["batch", "seq"]),
      positions: input(whole, "positions", "i32", ["batch", "seq"]),
      mask: input(whole, "mask", "f32", [1, 1, "seq", "seq"]),
    };
    const { logits, cache } = modelOf(config).forward(traced, inputs);
    whole.output("logits", logits);
    modelOf(config).cacheLayers.forEach(({ name }, i) => {
      whole.output(name, cache[i]);
    });
    const slow = await new Engine({ threads: 1 }).session(whole, "test", { composed: true });
    const everything = await slow.run({ ...feeds, mask: causalMask(seq) });

    // Row r has r + 5 tokens in the cache and reads the next one; what lies behind is garbage that the mask hides.
    const past = 12;
    const lengths = [5, 6, 7];
    const mask = new Float32Array(batch * past);
    const cached: Record<string, HostValue> = {};
    for (const [name, value] of Object.entries(everything).filter(([n]) => n !== "logits")) {
      const { data } = host(value);
      const wide = new Float32Array(batch * config.kvHeads * past * config.headDim).fill(1e3);
      for (let plane = 0; plane < batch * config.kvHeads; plane++) {
        const source = (data as Float32Array).subarray(plane * seq * config.headDim);
        const length = lengths[Math.floor(plane / config.kvHeads)] * config.headDim;
        wide.set(source.subarray(0, length), plane * past * config.headDim);
      }
      cached[name] = f32(wide, [batch, config.kvHeads, past, config.headDim]);
    }
    lengths.forEach((length, row) => {
      mask.fill(-1e9, row * past + length, (row + 1) * past);
    });
    const ids = feeds.ids.data as Int32Array;
    const fast = await new Engine({ threads: 1 }).session(traceDecode(config), "test");
    const result = await fast.run({
      ...Object.fromEntries(parameters),
      ...cached,
      scale: scalar(1),
      ids: i32(
        lengths.map((length, row) => ids[row * seq + length]),
        [batch, 1],
      ),
      positions: i32(lengths, [batch, 1]),
      mask: f32(mask, [batch, 1, 1, past]),
    });
    const width = config.vocabSize;
    lengths.forEach((length, row) => {
      const expected = (host(everything.logits).data as Float32Array).subarray(
        (row * seq + length) * width,
        (row * seq + length + 1) * width,
      );
      expect(
        furthest(
          (host(result.logits).data as Float32Array).subarray(row * width, (row + 1) * width),
          expected,
        ),
      ).toBeLessThan(1e-5);
    });
    await slow.release();
    await fast.release();
  });

  it("a decode graph needs no whole-sequence attention", () => {
    const graph = new Graph();
    const traced = parameterInputs(graph, specs);
    const shape = ["batch", config.kvHeads, "past", config.headDim];
    const cache = modelOf(config).cacheLayers.map(({ name }) => input(graph, name, "f32", shape));
    const { logits, newCache } = modelOf(config).decode(traced, {
      ids: input(graph, "ids", "i32", ["batch", 1]),
      positions: input(graph, "positions", "i32", ["batch", 1]),
      cache,
      mask: input(graph, "mask", "f32", ["batch", 1, 1, "past"]),
    });
    expect(logits.shape).toEqual(["batch", config.vocabSize]);
    expect(newCache.map((added) => added.shape)).toEqual(
      cache.map(() => ["batch", config.kvHeads, 1, config.headDim]),
    );
  });
});

// ── counting ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** FLOPs of the products alone. */
function productFlops(graph: Graph, sizes: Record<string, number>): number {
  let total = 0;
  for (const node of neededNodes(graph)) {
    if (node.op.name !== "matmul") continue;
    const { transA } = node.attrs as { transA: boolean };
    const a = bindShape(node.inputs[0].shape, sizes);
    const out = bindShape(node.outputs[0].shape, sizes);
    total += 2 * out.reduce((x, y) => x * y, 1) * a[a.length - (transA ? 2 : 1)];
  }
  return total;
}

describe("counts by hand", () => {
  const { vocabSize, layers, hiddenSize: width, heads, kvHeads, headDim, intermediateSize: ffn } = config;
  /** q and o, k and v, and the three matrices of SwiGLU. */
  const blockMatrices = 2 * width * heads * headDim + 2 * width * kvHeads * headDim + 3 * width * ffn;
  const matrices = layers * blockMatrices + vocabSize * width;
  const tokens = batch * seq;
  /** Scores and weighted values: 2 · seq · headDim each a query and head. */
  const attention = layers * batch * heads * 2 * (2 * seq * seq * headDim);
  const forwardProducts = 2 * tokens * matrices + attention;

  it("parameters", () => {
    const norms = (2 * layers + 1) * width;
    expect(countParameters(specs)).toBe(matrices + vocabSize * width + norms);
    expect(countParameters(allParameters({ ...config, tieEmbeddings: true }))).toBe(matrices + norms);
    for (const [name, { shape }] of initialise(specs, 1))
      expect(shape, name).toEqual(specs.find((s) => s.name === name)?.shape);
  });

  it("products of the forward pass: 2 a parameter and token, and attention", () => {
    expect(productFlops(forward(), { batch, seq })).toBe(forwardProducts);
  });

  it("lines of the model", () => {
    const { byPath, total } = countFlops(forward(), { batch, seq });
    expect(byPath.get("layers.2.mlp.gate")).toBe(2 * tokens * width * ffn);
    expect(byPath.get("layers.2.attn.k")).toBe(2 * tokens * width * kvHeads * headDim);
    expect(byPath.get("head")).toBe(2 * tokens * width * vocabSize);
    // What is not a product is counted as well, and is little.
    expect(total).toBeGreaterThan(forwardProducts);
    expect([...byPath.values()].reduce((a, b) => a + b, 0)).toBe(total);
  });

  it("products of a training step: three times the forward pass, and the embedding's gradient as one-hot rows", () => {
    const step = traceAccumulation(specs, languageModelLoss(config, symbolic));
    expect(productFlops(step, { batch, seq })).toBe(3 * forwardProducts + 2 * tokens * vocabSize * width);
  });

  it("recomputation adds the blocks' forward pass, less what the backward pass does not read", () => {
    const plain = productFlops(traceAccumulation(specs, languageModelLoss(config, fixed)), {});
    const again = productFlops(
      traceAccumulation(specs, languageModelLoss(config, { ...fixed, recompute: true })),
      {},
    );
    // The last product of a block, down_proj, is nobody's input.
    expect(again - plain).toBe(2 * tokens * layers * (blockMatrices - width * ffn) + attention);
  });
});

/** The operators of a stored model: ModelProto.graph = 7, GraphProto.node = 1, NodeProto.op_type = 4. */
function operators(bytes: Uint8Array): string[] {
  const field = (data: Uint8Array, wanted: number): Uint8Array[] => {
    const reader = new BinaryReader(data);
    const found: Uint8Array[] = [];
    while (reader.pos < reader.len) {
      const [number, wire] = reader.tag();
      if (number === wanted && wire === WireType.LengthDelimited) found.push(reader.bytes());
      else reader.skip(wire, number);
    }
    return found;
  };
  return field(bytes, 7).flatMap((graph) =>
    field(graph, 1).flatMap((node) => field(node, 4).map((name) => new TextDecoder().decode(name))),
  );
}

describe("recomputation", () => {
  const folder = temporaryFolder();

  async function optimised(recompute: boolean): Promise<string[]> {
    const { bytes } = lower(traceAccumulation(specs, languageModelLoss(config, { ...fixed, recompute })), {
      provider: "cpu",
    });
    const file = join(folder, `${recompute}.onnx`);
    const session = await ort.InferenceSession.create(bytes, {
      executionProviders: ["cpu"],
      intraOpNumThreads: 1,
      graphOptimizationLevel: "all",
      optimizedModelFilePath: file,
      logSeverityLevel: 4,
    });
    await session.release();
    return operators(readFileSync(file));
  }

  it("survives ONNX Runtime's merging of equal nodes", async () => {
    const [kept, again] = [await optimised(false), await optimised(true)];
    const count = (list: string[], op: string): number => list.filter((name) => name === op).length;
    // The norms and attentions of all four layers run once more; the last norm lies outside.
    expect([
      count(kept, "SimplifiedLayerNormalization"),
      count(again, "SimplifiedLayerNormalization"),
    ]).toEqual([9, 17]);
    expect([count(kept, "Softmax"), count(again, "Softmax")]).toEqual([4, 8]);
  });

  it("lowers the peak", () => {
    const deep = { ...config, layers: 12 };
    const deepSpecs = allParameters(deep);
    const peak = (recompute: boolean): number =>
      estimateMemory(
        traceAccumulation(
          deepSpecs,
          languageModelLoss(deep, { batch: 8, seq: 64, mask: "shared", recompute }),
        ),
      ).peakIntermediate;
    // Twelve blocks' values against one block's and twelve inputs.
    expect(peak(true)).toBeLessThan(peak(false) / 3);
  });
});
