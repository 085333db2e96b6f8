/** The null device: V3 at its published size, traced and counted without computing, against the paper's figures. */

import { describe, expect, it } from "vitest";
import { countFlops } from "../../src/graph/analyse.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { allParameters, modelOf } from "../../src/models/architectures.ts";
import { sequenceInputs } from "../../src/models/decoder.ts";
import { countParameters, parameterInputs } from "../../src/models/layers.ts";
import { checkV3Config, type V3Config, v3FromHuggingFace } from "../../src/models/v3-config.ts";
import { languageModelLoss } from "../../src/train/language-model.ts";
import { traceAccumulation } from "../../src/train/trace-step.ts";
import { activeParameters, tinyV3 } from "./v3-tiny.ts";

/** transformers' defaults are V3's published sizes (arXiv 2412.19437, section 4.2); 4K is the length of its training. */
const published: V3Config = v3FromHuggingFace({ model_type: "deepseek_v3", num_nextn_predict_layers: 1 });
const CONTEXT = 4096;

describe("DeepSeek-V3 at its published size", () => {
  it("has 671.0 billion parameters, 37.55 billion of them active, and 684.5 billion in the published files", () => {
    const trunk = countParameters(modelOf(published).parameters);
    expect(trunk / 1e9).toBeCloseTo(671.0, 1);
    expect(activeParameters(published) / 1e9).toBeCloseTo(37.55, 2);
    // The files hold the MTP module too, with copies of embedding and head.
    const copies = 2 * published.vocabSize * published.hiddenSize;
    expect((countParameters(allParameters(published)) + copies) / 1e9).toBeCloseTo(684.5, 1);
    expect((countParameters(allParameters(published)) - trunk) / 1e9).toBeCloseTo(11.61, 2);
  });

  it("has the paper's sizes a layer", () => {
    const count = (layer: number, filter: RegExp) =>
      countParameters(
        modelOf(published).parameters.filter(({ name }) => {
          const prefix = `model.layers.${layer}.`;
          return name.startsWith(prefix) && filter.test(name.slice(prefix.length));
        }),
      );
    expect(count(0, /^self_attn\./)).toBe(187_107_328);
    expect(count(0, /^mlp\./)).toBe(396_361_728);
    expect(count(3, /^mlp\.experts\.17\./)).toBe(44_040_192);
  });

  it("traces, and costs 250 GFLOP a training token at 4K", () => {
    const specs = modelOf(published).parameters;
    const graph = new Graph();
    const inputs = sequenceInputs(graph, { batch: 1, seq: CONTEXT, mask: "shared" });
    const { logits } = modelOf(published).forward(parameterInputs(graph, specs), inputs);
    graph.output("logits", logits);
    expect(logits.shape).toEqual([1, CONTEXT, 129280]);
    const { total, byPath } = countFlops(graph);
    // Forward and twice that backward; attention counts the keys before each block of queries, half of the square.
    expect(Math.abs((3 * total) / CONTEXT / 250e9 - 1)).toBeLessThan(0.01);
    // Routed experts: each token's top 8 of 256, three matrices of 7168 x 2048.
    let routed = 0;
    for (const [path, flops] of byPath)
      if (/^layers\.30\.mlp\.experts\.\d+\.(gate|up|down)$/.test(path)) routed += flops;
    expect(routed).toBe(2 * 8 * 44_040_192 * CONTEXT);
  });
});

describe("the training graph", () => {
  it("costs three times the forward pass in its experts, whatever the load", () => {
    const config = checkV3Config({ ...tinyV3, mtpLayers: 0 });
    const loss = languageModelLoss(
      config,
      { batch: 4, seq: 16, mask: "shared" },
      { balanceFactor: 0, mtpFactor: 0 },
    );
    const { byPath } = countFlops(traceAccumulation(allParameters(config), loss));
    const count = (filter: RegExp) =>
      [...byPath].reduce((sum, [path, flops]) => sum + (filter.test(path) ? flops : 0), 0);
    const forward = count(/^layers\.1\.mlp\.experts\.\d+\.(gate|up|down)$/);
    expect(forward).toBe(4 * 16 * 2 * 2 * 3 * config.hiddenSize * config.moeIntermediateSize);
    // Backward products are twice the forward ones; the gradients of gate and up meet in one sum a pair.
    const products = count(/^layers\.1\.mlp\.experts\.\d+\.(gate|up|down)\.grad$/);
    expect(products).toBe(2 * forward + 4 * 16 * 2 * config.hiddenSize);
  });
});
