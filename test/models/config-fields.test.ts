/** Every field of transformers' config classes is read, must have one value, or changes nothing: no other is left. */
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/lib/errors.ts";
import { fromHuggingFace } from "../../src/models/architectures.ts";
import { FAMILIES } from "../../src/models/dense-hugging-face.ts";

/** Fields of the classes in transformers 5.24, `configuration_*.py`. */
const SHARED = [
  ...["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"],
  ...["num_key_value_heads", "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps"],
  ...["use_cache", "pad_token_id", "bos_token_id", "eos_token_id", "tie_word_embeddings", "rope_parameters"],
  "attention_dropout",
];
const WINDOW = ["use_sliding_window", "sliding_window", "max_window_layers", "layer_types"];
const CLASSES: Record<string, string[]> = {
  llama: [...SHARED, "pretraining_tp", "attention_bias", "mlp_bias", "head_dim"],
  qwen2: [...SHARED, ...WINDOW],
  qwen3: [...SHARED, ...WINDOW, "head_dim", "attention_bias"],
  mistral: [...SHARED, "head_dim", "sliding_window"],
};

/** Fields that are read: a value that is not built is refused where it is. */
const READ: readonly string[] = [
  ...[
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "head_dim",
  ],
  ...[
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "rope_parameters",
  ],
  ...["sliding_window", "use_sliding_window", "max_window_layers", "layer_types"],
  // By the tokenizer.
  ...["bos_token_id", "eos_token_id", "pad_token_id"],
];

/** Fields that change nothing in a model that answers. */
const IGNORED: readonly string[] = [
  ...["initializer_range", "use_cache", "attention_dropout", "output_router_logits"],
  // Slices of the same products, which transformers 5 no longer makes.
  "pretraining_tp",
];

const SIZES = {
  ...{ hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, num_attention_heads: 4 },
  ...{ num_key_value_heads: 2, head_dim: 8, vocab_size: 40, max_position_embeddings: 64 },
};
const read = (type: string, more: object = {}) => {
  const window = type === "mistral" ? { sliding_window: null } : {};
  return fromHuggingFace({ model_type: type, ...SIZES, ...window, ...more });
};

describe.each(Object.entries(CLASSES))("%s", (type, fields) => {
  it("each field is in one list", () => {
    for (const field of fields) {
      const lists = [
        READ.includes(field),
        Object.hasOwn(FAMILIES[type].fixed, field),
        IGNORED.includes(field),
      ];
      expect(lists.filter(Boolean), field).toHaveLength(1);
    }
    for (const field of Object.keys(FAMILIES[type].fixed)) expect(fields).toContain(field);
  });

  it("what changes nothing refuses nothing, whatever its value, and gives the same model", () => {
    const plain = read(type);
    for (const field of IGNORED) expect(read(type, { [field]: 0.5 }), field).toEqual(plain);
    const unknown = { attn_implementation: "x", rope_interleaved: true, auto_map: {}, classifier_dropout: 1 };
    expect(read(type, unknown)).toEqual(plain);
    expect(read(type, { hidden_act: "swish", architectures: ["FutureForCausalLM"] })).toEqual(plain);
  });

  it("what must have one value is refused by its name", () => {
    for (const field of Object.keys(FAMILIES[type].fixed))
      expect(() => read(type, { [field]: "other" }), field).toThrow(new RegExp(`model ${field}: expected`));
  });
});

it("a bias that a family has by design, or has no field for, is none of ours to refuse", () => {
  for (const type of ["qwen2", "mistral"])
    expect(read(type, { attention_bias: true, mlp_bias: true })).toEqual(read(type));
  expect(read("qwen3", { mlp_bias: true })).toEqual(read("qwen3"));
});

describe("a window that hides nothing at this size", () => {
  it.each<[string, object]>([
    ["begins behind the last layer", { use_sliding_window: true, sliding_window: 16, max_window_layers: 2 }],
    ["is none", { use_sliding_window: true, sliding_window: null, max_window_layers: 0 }],
    ["is as wide as all positions", { use_sliding_window: true, sliding_window: 64, max_window_layers: 0 }],
    [
      "is used by no layer",
      {
        use_sliding_window: true,
        sliding_window: 16,
        max_window_layers: 0,
        layer_types: Array(2).fill("full_attention"),
      },
    ],
    [
      "is used by layers, and as wide",
      { sliding_window: 64, layer_types: Array(2).fill("sliding_attention") },
    ],
    [
      "belongs to layers that there are not",
      { sliding_window: 16, layer_types: ["full_attention", "full_attention", "sliding_attention"] },
    ],
  ])("%s", (_, fields) => {
    expect(read("qwen2", fields)).toEqual(read("qwen2"));
  });

  it.each<[object, RegExp]>([
    [
      { use_sliding_window: true, sliding_window: 16, max_window_layers: 1 },
      /model sliding_window: expected null/,
    ],
    [{ use_sliding_window: true, sliding_window: 16 }, /model sliding_window: expected null/],
    [{ sliding_window: 16, layer_types: ["full_attention", "sliding_attention"] }, /model layer_types/],
    [{ sliding_window: 64, layer_types: ["chunked_attention", "full_attention"] }, /model layer_types/],
  ])("one that hides something is refused: %j", (fields, message) => {
    expect(() => read("qwen2", fields)).toThrow(message);
  });
});

describe("DeepSeek-V3", () => {
  const v3 = (more: object) => fromHuggingFace({ model_type: "deepseek_v3", ...more });
  const dense = { num_hidden_layers: 3, first_k_dense_replace: 3 };
  it("without a routed layer nothing about routing matters", () => {
    const fields = { topk_method: "greedy", scoring_func: "softmax", moe_layer_freq: 2, n_group: 3 };
    expect(v3({ ...dense, ...fields })).toMatchObject({ layers: 3, denseLayers: 3 });
    for (const [field, value] of Object.entries(fields).slice(0, 3))
      expect(() => v3({ [field]: value }), field).toThrow(`model ${field}:`);
    expect(() => v3({ n_group: 3 })).toThrow("model groups:");
  });

  it("rotary fields at which nothing is scaled", () => {
    const plain = v3({});
    expect(v3({ rope_scaling: { type: "linear", factor: 1 } })).toEqual(plain);
    expect(
      v3({ rope_parameters: { rope_type: "default", partial_rotary_factor: 1, truncate: false } }),
    ).toEqual(plain);
    const yarn = { type: "yarn", factor: 40, original_max_position_embeddings: 4096 };
    expect(v3({ rope_scaling: { ...yarn, truncate: true } })).toEqual(v3({ rope_scaling: yarn }));
    for (const change of [{ truncate: false }, { attention_factor: 2 }, { partial_rotary_factor: 0.5 }])
      expect(() => v3({ rope_scaling: { ...yarn, ...change } })).toThrow(UserError);
  });
});

it("models that are no language models are refused as that", () => {
  for (const name of ["LlamaModel", "LlamaForSequenceClassification", "Qwen2ForRewardModel"])
    expect(() => read("llama", { architectures: [name] })).toThrow(
      /model architectures: expected a language model, such as LlamaForCausalLM/,
    );
  expect(read("llama", { architectures: null })).toEqual(read("llama"));
});

describe("sizes that nobody has are refused at once", () => {
  it.each<[string, object, RegExp]>([
    ["llama", { num_hidden_layers: 1e9 }, /model layers: expected at most 10,000, found 1000000000/],
    ["llama", { hidden_size: 2 ** 53 - 1, head_dim: null }, /model hiddenSize: expected at most/],
    [
      "llama",
      { hidden_size: 2 ** 53 - 112, num_attention_heads: 2 ** 52, head_dim: null },
      /model hiddenSize/,
    ],
    ["llama", { num_attention_heads: 2 ** 50 }, /model heads: expected at most/],
    ["qwen3", { head_dim: 2 ** 52 }, /model headDim/],
    ["qwen2", { intermediate_size: 1e15 }, /model intermediateSize/],
    ["llama", { vocab_size: 2 ** 40 }, /model vocabSize/],
    ["llama", { num_hidden_layers: 1.5 }, /model layers: expected a whole number/],
    ["llama", { hidden_size: Number.POSITIVE_INFINITY }, /model hiddenSize/],
    ["deepseek_v3", { n_routed_experts: 1e9 }, /model experts: expected at most/],
    [
      "deepseek_v3",
      { num_hidden_layers: 10_000, n_routed_experts: 256 },
      /model experts: expected at most 1000000 tensors/,
    ],
    ["deepseek_v3", { kv_lora_rank: 2 ** 52 }, /model kvLoraRank/],
    ["deepseek_v3", { qk_rope_head_dim: 2 ** 52 }, /model ropeDim/],
  ])("%s %j", (type, fields, message) => {
    const start = performance.now();
    const sizes = type === "deepseek_v3" ? {} : SIZES;
    expect(() => fromHuggingFace({ model_type: type, ...sizes, sliding_window: null, ...fields })).toThrow(
      message,
    );
    expect(performance.now() - start).toBeLessThan(1000);
  });
});
