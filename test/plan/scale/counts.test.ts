/** Counts of a model from its traced blocks: against closed formulas, and against the whole model traced. */
import { describe, expect, it, test } from "vitest";
import { countFlops } from "../../../src/graph/analyse.ts";
import { Graph } from "../../../src/graph/tensor.ts";
import { configOf, fromHuggingFace, type ModelConfig, modelOf } from "../../../src/models/architectures.ts";
import { sequenceInputs } from "../../../src/models/decoder.ts";
import { parameterInputs } from "../../../src/models/layers.ts";
import { countModel, modelOfSize } from "../../../src/plan/scale/counts.ts";
import { systems } from "../../../src/plan/scale/systems.ts";
import { traceDecode } from "../../../src/sample/graphs.ts";
import { activeParameters, tinyV3 } from "../../models/v3-tiny.ts";

const v3 = countModel(fromHuggingFace(systems["deepseek-v3"].shape));

describe("DeepSeek-V3", () => {
  it("has 671.0 billion parameters and 11.6 in its MTP module, 37.55 active", () => {
    expect(v3.parameters / 1e9).toBeCloseTo(671.03 + 11.61, 1);
    expect(v3.active / 1e9).toBeCloseTo(37.55, 2);
  });

  it("computes what the closed formula of its layers gives", () => {
    const [d, q, kv, heads, nope, rope, value, layers] = [7168, 1536, 512, 128, 128, 64, 128, 61];
    const attention =
      d * q + q * heads * (nope + rope) + d * (kv + rope) + kv * heads * (nope + value) + heads * value * d;
    const dense = 3 * d * 18_432;
    // 8 routed experts and the shared one, and the router.
    const routed = 3 * d * 2048 * 9 + d * 256;
    const head = d * 129_280;
    expect(v3.forward.fixed).toBe(2 * (layers * attention + 3 * dense + 58 * routed + head));
    expect(v3.forward.perKey).toBe(2 * layers * heads * (nope + rope + value));
    // The module joins two hidden states, and has one block and the head.
    expect(v3.mtp).toMatchObject({
      fixed: 2 * (2 * d * d + attention + routed + head),
      perKey: 2 * heads * 320,
    });
  });

  it("decodes in the latent space: a key and its value are 576 numbers for all heads", () => {
    expect(v3.details?.cache).toBe(61 * 576);
    expect(v3.details?.decode.perKey).toBe(2 * 61 * 128 * 2 * 576);
  });
});

test("Llama 3.1 405B: every weight but the embedding's is one product a token", () => {
  const llama = countModel(fromHuggingFace(systems["llama-3.1-405b"].shape));
  expect(llama.parameters / 1e9).toBeCloseTo(405.85, 2);
  expect(llama.active).toBe(llama.parameters);
  const norms = (2 * 126 + 1) * 16_384;
  expect(llama.forward.fixed).toBe(2 * (llama.parameters - 128_256 * 16_384 - norms));
  expect(llama.forward.perKey).toBe(2 * 126 * 128 * (128 + 128));
  expect(llama.mtp).toBeNull();
});

const dense = configOf(
  {
    ...{ layers: 3, hiddenSize: 32, heads: 4, kvHeads: 2, intermediateSize: 80, maxPositions: 4096 },
    ...{ ropeTheta: 1e4, normEps: 1e-6, tieEmbeddings: true },
  },
  60,
);

/** The products of the whole model, for a row of `seq` tokens. */
function wholeForward(config: ModelConfig, seq: number): number {
  const graph = new Graph();
  const model = modelOf(config);
  const inputs = sequenceInputs(graph, { batch: 1, seq: "seq", mask: "shared" });
  graph.output("logits", model.forward(parameterInputs(graph, model.parameters), inputs).logits);
  return countFlops(graph, { seq }).byOp.get("matmul") ?? 0;
}

describe.each([
  ["dense", dense],
  ["one dense block, three with experts", { ...tinyV3, layers: 4 }],
  ["three dense blocks, one with experts", { ...tinyV3, layers: 4, denseLayers: 3 }],
  ["experts in every block", { ...tinyV3, layers: 3, denseLayers: 0 }],
  ["experts in none", { ...tinyV3, layers: 2, denseLayers: 2 }],
] satisfies [string, ModelConfig][])("a model with %s", (_, config) => {
  const { forward, details, active } = countModel(config);

  it("costs the sum of its blocks, at any length", () => {
    for (const seq of [7, 64])
      expect(seq * (forward.fixed + forward.perKey * seq)).toBeCloseTo(wholeForward(config, seq), 3);
  });

  it("decodes at the cost of the whole graph", () => {
    const whole = countFlops(traceDecode(config), { batch: 1, past: 100 }).byOp.get("matmul") ?? 0;
    const { fixed, perKey } = details?.decode ?? { fixed: 0, perKey: 0 };
    expect(fixed + 100 * perKey).toBeCloseTo(whole, 3);
  });

  it("uses the parameters of the chosen experts alone", () => {
    if ("experts" in config) expect(active).toBe(activeParameters(config));
  });
});

test("activations of a dense block: each op's result once", () => {
  const [width, keys, inner] = [32, 16, 80];
  // Norm, q (product, heads, rotation), attention, heads, o and sum; norm, down and sum. k three times and v twice. Gate, up, and
  // three results of SwiGLU. A norm also keeps its scale.
  expect(countModel(dense).details?.block).toBe(11 * width + 5 * keys + 5 * inner + 2);
});

test("a model of a size alone: two FLOPs a parameter, and nothing that a shape would tell", () => {
  expect(modelOfSize(671e9, 37e9)).toEqual({
    ...{ parameters: 671e9, active: 37e9, mtp: null, details: null },
    forward: { fixed: 74e9, perKey: 0 },
  });
});
