/**
 * Adapters against PEFT (scripts/fixtures/golden_lora.py): logits, loss, the gradient of each half and AdamW steps; then
 * what a stage must keep: the base rests, the policy is base plus adapter, and a resumed stage goes on with the same bits.
 */

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { mergeAdapter, saveAdapter } from "../../src/checkpoint/peft.ts";
import { countFlops, neededNodes } from "../../src/graph/analyse.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { UserError } from "../../src/lib/errors.ts";
import type { ModelConfig } from "../../src/models/architectures.ts";
import { allParameters, modelOf } from "../../src/models/architectures.ts";
import { sequenceInputs } from "../../src/models/decoder.ts";
import { denseFromHuggingFace } from "../../src/models/dense-hugging-face.ts";
import { parameterInputs } from "../../src/models/layers.ts";
import { adaptedWeights, adapterSpecs, type LoraOptions } from "../../src/models/lora.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { allocate, type HostValue, host } from "../../src/runtime/session.ts";
import type { Problem, Task } from "../../src/tasks/problem.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { GrpoStage } from "../../src/train/grpo.ts";
import { batchFeeds, languageModelLoss } from "../../src/train/language-model.ts";
import { LanguageModelStage, trainedOn } from "../../src/train/language-model-stage.ts";
import type { GrpoOptions } from "../../src/train/options.ts";
import { Policy, withAdapter } from "../../src/train/policy.ts";
import { traceAccumulation } from "../../src/train/trace-step.ts";
import { livelyV3, tinyV3 } from "../models/v3-tiny.ts";
import { asParameters, numbersOf } from "../support/parameters.ts";
import { json, tensors } from "./fixture.ts";
import {
  adamW,
  copyValues,
  differing,
  furthest,
  livelyParameters,
  tinyConfig,
  tinyContext,
  tinyGrpo,
  updateBy,
} from "./tiny.ts";

const fixture = (name: string): string =>
  new URL(`../fixtures/golden-lora/${name}`, import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "sputnik-lora-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A frozen weight itself, and another name for it. */
const GIVEN = new Set(["input", "detach"]);

describe.each<[string, ModelConfig]>([
  [
    "dense",
    { ...tinyConfig, layers: 3, hiddenSize: 24, heads: 4, kvHeads: 2, headDim: 6, intermediateSize: 40 },
  ],
  ["V3", tinyV3],
])("recomputed, %s", (_name, config) => {
  const lora: LoraOptions = { rank: 2, alpha: 4, targets: [] };
  // No size of an activation is one of a weight.
  const [batch, sequence] = [1, 37];
  const traced = (recompute: boolean) => {
    const options = {
      batch,
      sequence,
      documentMask: false,
      recompute,
      v3: { mtpFactor: 0, balanceFactor: 0 },
    };
    const base = trainedOn(config, options);
    return { base, adapter: withAdapter(base, lora) };
  };
  const graphOf = (recompute: boolean) => {
    const { specs, loss } = traced(recompute).adapter;
    return traceAccumulation(specs, loss);
  };

  it.each([false, true])(
    "nothing of a weight's size is made, neither W + BA nor a gradient: %s",
    (recompute) => {
      const { base, adapter } = traced(recompute);
      const sizes = new Set(adaptedWeights(base.specs, []).map(({ shape }) => shape.join()));
      for (const { shape } of adapter.specs) expect(sizes.has(shape.join())).toBe(false);
      const made = neededNodes(graphOf(recompute)).filter(
        ({ op, outputs }) =>
          !GIVEN.has(op.name) &&
          outputs.some(({ shape }) => sizes.has(shape.join()) || sizes.has([...shape].reverse().join())),
      );
      expect(made.map(({ path }) => path)).toEqual([]);
    },
  );

  it("costs one more forward pass at most", () => {
    const forward = new Graph();
    const { specs, loss } = traced(false).adapter;
    forward.output("loss", loss(forward, parameterInputs(forward, specs)).loss);
    const [plain, again] = [false, true].map((recompute) => countFlops(graphOf(recompute)).total);
    expect(again).toBeGreaterThan(plain);
    expect(again).toBeLessThan(plain + countFlops(forward).total);
  });
});

describe("against PEFT", () => {
  const config = denseFromHuggingFace(json("golden-llama3/config.json"));
  const specs = allParameters(config);
  const base = tensors("golden-llama3/model.safetensors");
  const halves = tensors("golden-lora/adapter_model.safetensors");
  const expected = tensors("golden-lora/expected.safetensors");
  const wanted = (name: string): Float32Array => expected.get(name)?.data as Float32Array;
  const lora: LoraOptions = { rank: 4, alpha: 6, targets: [] };
  const { ids, mask } = json<{ ids: number[][]; mask: number[][] }>("golden-llama3/batch.json");
  const total = mask.flat().reduce((a, b) => a + b, 0);
  const feeds = batchFeeds({
    batch: 3,
    seq: 12,
    ids: Int32Array.from(ids.flat()),
    targets: Int32Array.from(ids.flatMap((row) => [...row.slice(1), 0])),
    weights: Float32Array.from(mask.flat(), (m) => m / total),
  });
  const shape = { batch: 3, seq: 12, mask: "shared" } as const;
  const adapter = withAdapter({ specs, loss: languageModelLoss(config, shape) }, lora);

  it("has PEFT's names and shapes", () => {
    const ours = adapter.specs.map((spec) => [spec.name, [...spec.shape]]).sort();
    expect(ours).toEqual([...halves].map(([name, value]) => [name, [...value.shape]]).sort());
  });

  it.each([
    [true, false],
    [false, false],
    [true, true],
    [false, true],
  ])(
    "gives the loss and the gradient of each half (composed: %s, recomputed: %s)",
    async (composed, again) => {
      const { loss } = withAdapter(
        { specs, loss: languageModelLoss(config, { ...shape, recompute: again }) },
        lora,
      );
      const session = await new Engine({ threads: 1 }).session(
        traceAccumulation(adapter.specs, loss),
        "test",
        { composed },
      );
      const sums = adapter.specs.map((spec) => [`${spec.name}.sum`, allocate("f32", spec.shape)]);
      const inputs = { ...Object.fromEntries([...base, ...halves]), ...feeds, ...Object.fromEntries(sums) };
      const result = await session.run(inputs);
      expect(Math.abs(Number(host(result.loss).data[0]) - wanted("loss")[0])).toBeLessThan(2e-6);
      for (const { name } of adapter.specs)
        expect(
          furthest(host(result[`${name}.sum.next`]).data as Float32Array, wanted(`grad.${name}`)),
          name,
        ).toBeLessThan(1e-6);
      await session.release();
    },
  );

  it("takes PEFT's AdamW steps", async () => {
    const { adamw, losses } = json<{ adamw: { lr: number; eps: number }; losses: number[] }>(
      "golden-lora/steps.json",
    );
    const optimizer = { ...adamW, lr: adamw.lr, epsilon: adamw.eps, weightDecay: 0, clip: null };
    const policy = await Policy.create({ specs, loss: languageModelLoss(config, shape) }, copyValues(base), {
      optimizer,
      lora,
      ...tinyContext,
      accumulate: false,
    });
    for (const [name, value] of policy.step.parameters())
      if (halves.has(name)) numbersOf(value).set(halves.get(name)?.data as Float32Array);
    for (const loss of losses) {
      const result = await updateBy(policy.step, feeds, { lr: adamw.lr, muonLr: 0 });
      expect(Math.abs(result.loss - loss)).toBeLessThan(1e-5);
    }
    await policy.release();
  });

  it("merges PEFT's own files into weights that give the adapted logits", async () => {
    const merged = asParameters(copyValues(base));
    mergeAdapter(fixture("."), merged);
    const graph = new Graph();
    const traced = parameterInputs(graph, specs);
    graph.output("logits", modelOf(config).forward(traced, sequenceInputs(graph, shape)).logits);
    const session = await new Engine({ threads: 1 }).session(graph, "test");
    const values = [...merged].map(([name, value]) => [name, { dtype: "f32" as const, ...value }]);
    const { logits } = await session.run({ ...Object.fromEntries(values), ...feeds });
    expect(furthest(host(logits).data as Float32Array, wanted("logits"))).toBeLessThan(4e-6);
    await session.release();
  });

  it("writes files that hold the same adapter, with a config that PEFT's fields agree with", () => {
    const written = join(folder, "written");
    saveAdapter(written, { lora, tensors: asParameters(halves), base: "golden-llama3" });
    const [theirs, ours] = [asParameters(copyValues(base)), asParameters(copyValues(base))];
    mergeAdapter(fixture("."), theirs);
    mergeAdapter(written, ours);
    for (const [name, { data }] of theirs) expect(ours.get(name)?.data, name).toEqual(data);
    const read = (file: string) => JSON.parse(readFileSync(file, "utf8"));
    const config = read(join(written, "adapter_config.json"));
    const { target_modules, base_model_name_or_path, ...rest } = config;
    expect(read(fixture("adapter_config.json"))).toMatchObject(rest);
    expect(base_model_name_or_path).toBe("golden-llama3");
    // PEFT takes the last part of a module's name for all modules that end so.
    expect(target_modules).toEqual([
      "down_proj",
      "gate_proj",
      "k_proj",
      "o_proj",
      "q_proj",
      "up_proj",
      "v_proj",
    ]);
  });

  it("refuses an adapter that means something else or belongs elsewhere, by name", () => {
    const broken = (edit: Record<string, unknown>): string => {
      const path = join(folder, "broken");
      cpSync(fixture("."), path, { recursive: true });
      const config = JSON.parse(readFileSync(fixture("adapter_config.json"), "utf8"));
      writeFileSync(join(path, "adapter_config.json"), JSON.stringify({ ...config, ...edit }));
      return path;
    };
    const parameters = asParameters(copyValues(base));
    expect(() => mergeAdapter(broken({ layer_replication: [[0, 2]] }), parameters)).toThrow(
      /key layer_replication.*Merge it with PEFT/,
    );
    expect(() => mergeAdapter(broken({ peft_type: "IA3" }), parameters)).toThrow(/key peft_type/);
    expect(() => mergeAdapter(broken({ r: 8 }), parameters)).toThrow(
      /lora_A.*shape \[8, 32\], found \[4, 32\]/,
    );
    const others = new Map([...parameters].filter(([name]) => !name.includes("layers.1.mlp.up_proj")));
    expect(() => mergeAdapter(fixture("."), others)).toThrow(/layers\.1\.mlp\.up_proj/);
  });
});

describe("which layers", () => {
  const specs = allParameters(tinyConfig);
  it("adapts the projections of the blocks, or those that are named", () => {
    expect(adaptedWeights(specs, [])).toHaveLength(7 * tinyConfig.layers);
    expect(adaptedWeights(specs, ["q_proj", "lm_head"]).map(({ name }) => name)).toEqual([
      "model.layers.0.self_attn.q_proj.weight",
      "model.layers.1.self_attn.q_proj.weight",
      "lm_head.weight",
    ]);
    expect(adaptedWeights(specs, ["layers.1.mlp.up_proj"])).toHaveLength(1);
  });
  it("says which there are where one is not", () => {
    expect(() => adaptedWeights(specs, ["query"])).toThrow(UserError);
    expect(() => adaptedWeights(specs, ["query"])).toThrow(/found "query".*q_proj, k_proj/);
  });
  it("reaches every projection of V3, experts included, and its router only by name", () => {
    const v3 = allParameters(tinyV3);
    const names = adaptedWeights(v3, []).map(({ name }) => name);
    expect(names.some((name) => name.includes("experts.3.down_proj"))).toBe(true);
    expect(names.some((name) => name.includes("kv_a_proj_with_mqa"))).toBe(true);
    expect(names.some((name) => name.endsWith("mlp.gate.weight"))).toBe(false);
    expect(adaptedWeights(v3, ["mlp.gate"]).length).toBeGreaterThan(0);
  });
});

it("costs what the two small products cost: no gradient of a weight's size is made", () => {
  const shape = { batch: 4, seq: 16, mask: "shared" } as const;
  const config = { ...tinyConfig, hiddenSize: 64, headDim: 16, intermediateSize: 128 };
  const whole = { specs: allParameters(config), loss: languageModelLoss(config, shape) };
  const small = withAdapter(whole, { rank: 2, alpha: 4, targets: [] });
  const flops = ({ specs, loss }: typeof whole) => countFlops(traceAccumulation(specs, loss)).total;
  // Two passes of products instead of three, and 2 of 64 ranks.
  expect(flops(small) / flops(whole)).toBeLessThan(0.8);
});

/** Rewards completions with many even digits. */
const evens: Task = {
  name: "evens",
  generate: ({ split, index }): Problem => ({
    id: `evens/${split}/${index}`,
    prompt: `${(index * 37) % 100}, ${index % 10} make ${index % 7}\n`,
  }),
  verify: (_problem, completion) => ({
    ...((completion.match(/[02468]/g) ?? []).length >= 2
      ? { value: 1, kind: "right" }
      : { value: 0, kind: "wrong" }),
    extracted: null,
    canonical: null,
    format: false,
    reason: "",
  }),
};

describe("a stage with an adapter", () => {
  const start = livelyParameters(tinyConfig, 9, 0.2);
  const lora = { rank: 4, alpha: 8, targets: [] };
  const options: GrpoOptions = { ...tinyGrpo, lora, steps: 4 };
  const model = (parameters: ReadonlyMap<string, HostValue> = copyValues(start)) => ({
    config: tinyConfig,
    tokenizer: new CompactTokenizer(),
    parameters,
  });
  const adapted = new Set(adaptedWeights(allParameters(tinyConfig), []).map(({ name }) => name));

  it("moves the adapted weights only, and hands on base plus adapter", async () => {
    const given = copyValues(start);
    const stage = await GrpoStage.create(model(given), evens, options, tinyContext);
    expect(differing(stage.parameters(), start)).toEqual([]);
    for (let i = 0; i < 3; i++) await stage.advance();
    expect(differing(given, start)).toEqual([]);
    const policy = copyValues(stage.parameters());
    expect(differing(policy, start).sort()).toEqual([...adapted].sort());
    const adapter = stage.adapter();
    if (adapter === null) throw new Error("no adapter");
    saveAdapter(join(folder, "stage"), { ...adapter, tensors: asParameters(adapter.tensors), base: "tiny" });
    const merged = asParameters(copyValues(start));
    mergeAdapter(join(folder, "stage"), merged);
    for (const [name, { data }] of policy)
      expect(furthest(data as Float32Array, merged.get(name)?.data as Float32Array), name).toBeLessThan(1e-6);
    await stage.release();
  });

  it("goes on from a snapshot with the same bits", async () => {
    const stage = await GrpoStage.create(model(), evens, { ...options, kl: 0.05 }, tinyContext);
    await stage.advance();
    const { tensors: held, state } = stage.snapshot();
    const saved = { tensors: copyValues(held), state: structuredClone(state) };
    const between = copyValues(stage.parameters());
    const next = await stage.advance();
    const again = await GrpoStage.create(model(between), evens, { ...options, kl: 0.05 }, tinyContext, saved);
    const repeated = await again.advance();
    expect(repeated.metrics.loss).toBe(next.metrics.loss);
    expect(differing(again.parameters(), stage.parameters())).toEqual([]);
    expect(differing(again.snapshot().tensors, stage.snapshot().tensors)).toEqual([]);
    await stage.release();
    await again.release();
  });

  // A reference that was the bare base would show a KL at once.
  it("A6: has no KL at its first step, though an earlier adapter is merged in", async () => {
    const first = await GrpoStage.create(model(), evens, options, tinyContext);
    await first.advance();
    const merged = copyValues(first.parameters());
    await first.release();
    const second = await GrpoStage.create(model(merged), evens, { ...options, kl: 0.05 }, tinyContext);
    const { metrics } = await second.advance();
    expect(Math.abs(metrics.kl as number)).toBeLessThan(1e-6);
    await second.release();
  });

  it("trains on V3 as well, where routers rest", async () => {
    const before = livelyV3(tinyV3, 9);
    const stage = await LanguageModelStage.create(
      { config: tinyV3, parameters: copyValues(before) },
      (index) => ({
        ids: Array.from({ length: 9 }, (_, i) => (index + 5 * i) % tinyV3.vocabSize),
        trainFrom: 0,
      }),
      {
        kind: "sft",
        lora,
        steps: 12,
        batch: 4,
        accumulate: 1,
        sequence: 12,
        documentMask: true,
        recompute: false,
        optimizer: { ...adamW, lr: 2e-2 },
        schedule: { kind: "constant", warmup: 0 },
      },
      tinyContext,
    );
    const losses: number[] = [];
    while (stage.done < stage.totalSteps) losses.push((await stage.advance()).metrics.loss as number);
    expect(losses.at(-1)).toBeLessThan(losses[0] - 0.1);
    const moved = differing(stage.parameters(), before);
    expect(moved.filter((name) => /mlp\.gate\.|e_score_correction_bias|norm|embed/.test(name))).toEqual([]);
    expect(moved.some((name) => name.includes("experts"))).toBe(true);
    await stage.release();
  });
});

it("begins as PEFT does: A of variance 1/(3 in), B zero", () => {
  const [a, b] = adapterSpecs(
    [{ name: "model.layers.0.self_attn.q_proj.weight", role: "projection", shape: [8, 48], init: 0.02 }],
    {
      rank: 4,
      targets: [],
    },
  );
  expect(a).toMatchObject({ shape: [4, 48], init: 1 / 12 });
  expect(b).toMatchObject({ shape: [8, 4], init: 0 });
});
