/**
 * DeepSeek-V3 against transformers, with q-LoRA, YaRN and MTP, and without: logits, router choices,
 * losses and each named gradient. scripts/fixtures/golden_v3.py made the numbers, in float64.
 */

import { describe, expect, it } from "vitest";
import { input } from "../../src/graph/ops/source.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { allParameters, type MtpModule, modelOf } from "../../src/models/architectures.ts";
import { sequenceInputs } from "../../src/models/decoder.ts";
import { parameterInputs } from "../../src/models/layers.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { allocate, host } from "../../src/runtime/session.ts";
import { languageModelLoss } from "../../src/train/language-model.ts";
import { traceAccumulation } from "../../src/train/trace-step.ts";
import { furthest } from "../train/tiny.ts";
import { readFixture } from "./v3-fixture.ts";

// PyTorch's float32 differs from its float64 by 1.2e-6 in logits and 8e-7 in gradients; our sums run in another order.
const LOGITS = 4e-6;
const LOSS = 2e-6;
const GRADIENT = 3e-6;

describe.each([
  ["golden-v3", { balanceFactor: 0.05, mtpFactor: 0.3 }],
  ["golden-v3-plain", { balanceFactor: 0, mtpFactor: 0 }],
] as const)("%s", (folder, options) => {
  const { config, parameters, expected, feeds } = readFixture(folder);
  const specs = allParameters(config);
  const wanted = (name: string): Float32Array => expected.get(name)?.data as Float32Array;
  const [batch, seq] = feeds.ids.shape;

  it("has Hugging Face's names and shapes", () => {
    const ours = specs.map(({ name, shape }) => [name, [...shape]]).sort();
    expect(ours).toEqual([...parameters].map(([name, { shape }]) => [name, [...shape]]).sort());
  });

  it.each([true, false])(
    "gives the logits and the choices of the routers (composed: %s)",
    async (composed) => {
      const graph = new Graph();
      const traced = parameterInputs(graph, specs);
      const inputs = sequenceInputs(graph, { batch: "batch", seq: "seq", mask: "shared" });
      const result = modelOf(config).forward(traced, inputs);
      graph.output("logits", result.logits);
      const routing = [...result.routing];
      if (config.mtpLayers > 0) {
        const next = input(graph, "targets", "i32", ["batch", "seq"]);
        const pairs = { ...inputs, ids: next, hidden: result.hidden };
        const module = (modelOf(config).mtp as MtpModule).forward(traced, pairs);
        graph.output("mtpLogits", module.logits);
        routing.push(...module.routing);
      }
      for (const { layer, choices, load } of routing) {
        graph.output(`choices.${layer}`, choices);
        graph.output(`load.${layer}`, load);
      }
      const session = await new Engine({ threads: 1 }).session(graph, "test", { composed });
      const found = await session.run({ ...Object.fromEntries(parameters), ...feeds });
      for (const name of ["logits", ...(config.mtpLayers > 0 ? ["mtpLogits"] : [])]) {
        expect(found[name].shape).toEqual([batch, seq, config.vocabSize]);
        expect(furthest(host(found[name]).data as Float32Array, wanted(name)), name).toBeLessThan(LOGITS);
      }
      const layers = [...expected.keys()].filter((name) => name.startsWith("choices.")).sort();
      expect(routing.map(({ layer }) => `choices.${layer}`).sort()).toEqual(layers);
      const k = config.activeExperts;
      for (const { layer } of routing) {
        const all = Array.from(host(found[`choices.${layer}`]).data as unknown as BigInt64Array, Number);
        const rows = Array.from({ length: all.length / k }, (_, row) =>
          all.slice(row * k, (row + 1) * k).sort((a, b) => a - b),
        );
        expect(rows.flat(), `layer ${layer}`).toEqual([...wanted(`choices.${layer}`)]);
        const load = Array.from({ length: config.experts }, (_, e) => all.filter((id) => id === e).length);
        expect(Array.from(host(found[`load.${layer}`]).data as unknown as BigInt64Array, Number)).toEqual(
          load,
        );
      }
      await session.release();
    },
  );

  it.each([
    ["fused", false, false],
    ["composed", true, false],
    ["recomputation", false, true],
  ])("gives the losses and every gradient: %s", async (_label, composed, recompute) => {
    const shape = { batch, seq, mask: "shared" as const, recompute };
    const graph = traceAccumulation(specs, languageModelLoss(config, shape, options));
    const session = await new Engine({ threads: 1 }).session(graph, "test", { composed });
    const sums = specs.map((spec) => [`${spec.name}.sum`, allocate("f32", spec.shape)]);
    const result = await session.run({
      ...Object.fromEntries(parameters),
      ...feeds,
      ...Object.fromEntries(sums),
    });
    const same = (ours: string, theirs: string) =>
      expect(Math.abs(Number(host(result[ours]).data[0]) - wanted(theirs)[0]), ours).toBeLessThan(LOSS);
    same("cross-entropy", "crossEntropy");
    if (config.mtpLayers > 0) {
      same("mtp-cross-entropy", "mtp");
      same("balance", "balance");
    }
    same("loss", "loss");
    const learned = specs.filter(({ role }) => role !== "routerBias");
    for (const { name } of learned)
      expect(
        furthest(host(result[`${name}.sum.next`]).data as Float32Array, wanted(`grad.${name}`)),
        name,
      ).toBeLessThan(GRADIENT);
    expect([...expected.keys()].filter((name) => name.startsWith("grad.")).length).toBe(learned.length);
    await session.release();
  });
});
