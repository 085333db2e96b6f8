/** Rotary scaling in every spelling that llama.cpp honours; right values by its `load_hparams` and `ggml_rope_yarn`. */
import { describe, expect, it } from "vitest";
import { toHuggingFaceConfig } from "../../../src/checkpoint/gguf/config.ts";
import { f32, Metadata, type MetadataValue, text, u32 } from "../../../src/checkpoint/gguf/values.ts";
import type { StoredTensor } from "../../../src/checkpoint/weights.ts";
import { fromHuggingFace } from "../../../src/models/architectures.ts";

const HEAD = 8;
function config(entries: Record<string, MetadataValue>, { arch = "llama", factors = [] as number[] } = {}) {
  const metadata = new Metadata("f.gguf", [
    ["general.architecture", text(arch)],
    [`${arch}.context_length`, u32(512)],
    [`${arch}.embedding_length`, u32(32)],
    [`${arch}.block_count`, u32(1)],
    [`${arch}.feed_forward_length`, u32(64)],
    [`${arch}.attention.head_count`, u32(4)],
    [`${arch}.attention.layer_norm_rms_epsilon`, f32(1e-5)],
    [`${arch}.vocab_size`, u32(9)],
    ...Object.entries(entries).map(([key, value]): [string, MetadataValue] => [`${arch}.${key}`, value]),
  ]);
  const data = Float32Array.from(factors);
  const tensors = new Map<string, StoredTensor>(
    factors.length === 0 ? [] : [["rope_freqs.weight", { shape: [data.length], read: () => data }]],
  );
  return toHuggingFaceConfig(metadata, tensors);
}
const scaling = (...args: Parameters<typeof config>) => config(...args).rope_scaling;

describe("linear", () => {
  it.each<[string, Record<string, MetadataValue>, unknown]>([
    ["as it is written today", { "rope.scaling.type": text("linear"), "rope.scaling.factor": f32(4) }, 4],
    ["without a type", { "rope.scaling.factor": f32(4) }, 4],
    ["by the key of 2023", { "rope.scale_linear": f32(4) }, 4],
    ["by both: the newer one counts", { "rope.scaling.factor": f32(2), "rope.scale_linear": f32(4) }, 2],
  ])("%s", (_, entries, factor) => {
    expect(scaling(entries)).toEqual({ rope_type: "linear", factor });
  });

  it.each<[string, Record<string, MetadataValue>]>([
    ["no key", {}],
    ["a factor of 1", { "rope.scale_linear": f32(1) }],
    ["a factor of 0, which means 1", { "rope.scaling.factor": f32(0) }],
    ["type none, whatever the factor", { "rope.scaling.type": text("none"), "rope.scaling.factor": f32(4) }],
  ])("none: %s", (_, entries) => {
    expect(scaling(entries)).toBeNull();
  });
});

describe("YaRN", () => {
  const yarn = { "rope.scaling.type": text("yarn"), "rope.scaling.factor": f32(4) };
  it("with and without its numbers", () => {
    expect(scaling(yarn)).toEqual({
      ...{ rope_type: "yarn", type: "yarn", factor: 4, beta_fast: 32, beta_slow: 1 },
      original_max_position_embeddings: undefined,
    });
    const more = { "rope.scaling.original_context_length": u32(128), "rope.scaling.yarn_beta_fast": f32(16) };
    expect(scaling({ ...yarn, ...more })).toMatchObject({
      original_max_position_embeddings: 128,
      beta_fast: 16,
    });
  });

  it("attn_factor multiplies YaRN's own magnitude", () => {
    const { attention_factor } = scaling({ ...yarn, "rope.scaling.attn_factor": f32(0.5) }) as {
      attention_factor: number;
    };
    expect(attention_factor).toBeCloseTo(0.5 * (1 + 0.1 * Math.log(4)), 12);
    const read = fromHuggingFace(config({ ...yarn, "rope.scaling.attn_factor": f32(0.5) }));
    expect(read).toMatchObject({
      ropeScaling: { attentionFactor: attention_factor, originalPositions: 512 },
    });
  });

  it.each<[string, MetadataValue, RegExp]>([
    ["rope.scaling.yarn_ext_factor", f32(0.5), /yarn_ext_factor: expected 1, found 0.5/],
    ["rope.scaling.yarn_attn_factor", f32(2), /yarn_attn_factor: expected 1, found 2/],
    ["rope.scaling.yarn_log_multiplier", f32(0.1), /yarn_log_multiplier: expected 0 outside of deepseek2/],
  ])("%s is refused", (key, value, message) => {
    expect(() => config({ ...yarn, [key]: value })).toThrow(message);
  });
});

describe("refused by name", () => {
  it.each<[string, Record<string, MetadataValue>, RegExp]>([
    [
      "longrope",
      { "rope.scaling.type": text("longrope"), "rope.scaling.factor": f32(4) },
      /key llama.rope.scaling.type: expected "none", "linear" or "yarn", found "longrope"/,
    ],
    ["attn_factor of linear", { "rope.scaling.attn_factor": f32(2) }, /attn_factor: expected 1, or YaRN/],
  ])("%s", (_, entries, message) => {
    expect(() => config(entries)).toThrow(message);
  });

  it("factors of frequencies beside another scaling, or in a family that has none", () => {
    expect(() => scaling({ "rope.scale_linear": f32(2) }, { factors: [1, 1, 2, 8] })).toThrow(
      /rope.scale_linear: expected 1 in a llama model, since rope_freqs.weight scales/,
    );
    expect(() => scaling({}, { arch: "qwen2", factors: [1, 1, 1, 1] })).toThrow(/rope_freqs.weight/);
  });
});

it("factors that are all 1 scale nothing", () => {
  expect(scaling({}, { factors: Array(HEAD / 2).fill(1) })).toBeNull();
});

describe("a number for each layer", () => {
  const list = (...values: number[]): MetadataValue => ({
    ...{ type: "ARRAY", item: "U32" },
    value: Uint32Array.from(values),
  });
  it("is that number where all are equal, and refused where they differ", () => {
    const entries = { block_count: u32(2), "attention.head_count_kv": list(2, 2) };
    expect(config(entries).num_key_value_heads).toBe(2);
    expect(() => config({ ...entries, "attention.head_count_kv": list(2, 4) })).toThrow(
      /head_count_kv: expected a whole number, found a list of 2 of type U32/,
    );
  });
});
