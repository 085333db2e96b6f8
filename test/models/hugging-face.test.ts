import { describe, expect, it } from "vitest";
import { fromHuggingFace, toHuggingFace } from "../../src/models/architectures.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { denseFromHuggingFace } from "../../src/models/dense-hugging-face.ts";
import { shippedShape as config } from "./shipped-shape.ts";

const ids = { bosId: 1, eosIds: [2], padId: 0 };

describe("Hugging Face config.json", () => {
  it("round-trips", () => {
    expect(fromHuggingFace(JSON.parse(JSON.stringify(toHuggingFace(config, ids))))).toEqual(config);
    expect(toHuggingFace(config, { ...ids, eosIds: [7, 9] }).eos_token_id).toEqual([7, 9]);
  });

  it("reads deepseek-llm-7b-base, whose file leaves some fields out", () => {
    const published = {
      architectures: ["LlamaForCausalLM"],
      bos_token_id: 100000,
      eos_token_id: 100001,
      hidden_act: "silu",
      hidden_size: 4096,
      intermediate_size: 11008,
      max_position_embeddings: 4096,
      model_type: "llama",
      num_attention_heads: 32,
      num_hidden_layers: 30,
      num_key_value_heads: 32,
      rms_norm_eps: 1e-6,
      rope_scaling: null,
      rope_theta: 10000.0,
      tie_word_embeddings: false,
      vocab_size: 102400,
    };
    expect(fromHuggingFace(published)).toEqual({
      vocabSize: 102400,
      layers: 30,
      hiddenSize: 4096,
      heads: 32,
      kvHeads: 32,
      headDim: 128,
      intermediateSize: 11008,
      maxPositions: 4096,
      ropeTheta: 10000,
      normEps: 1e-6,
      tieEmbeddings: false,
    });
  });

  it("reads the rotary settings of transformers 5", () => {
    const { rope_theta: _theta, rope_scaling: _scaling, ...rest } = toHuggingFace(config, ids);
    expect(
      fromHuggingFace({ ...rest, rope_parameters: { rope_type: "default", rope_theta: 500000 } }).ropeTheta,
    ).toBe(500000);
  });

  it.each<[string, Record<string, unknown>, Partial<DecoderConfig>]>([
    [
      "deepseek-coder-1.3b-base",
      {
        model_type: "llama",
        hidden_size: 2048,
        intermediate_size: 5504,
        num_hidden_layers: 24,
        num_attention_heads: 16,
        num_key_value_heads: 16,
        max_position_embeddings: 16384,
        rope_scaling: { factor: 4.0, type: "linear" },
        rope_theta: 100000,
        vocab_size: 32256,
        tie_word_embeddings: false,
      },
      { headDim: 128, ropeTheta: 100000, ropeScaling: { kind: "linear", factor: 4 }, maxPositions: 16384 },
    ],
    [
      "DeepSeek-R1-Distill-Llama-8B",
      {
        model_type: "llama",
        hidden_size: 4096,
        intermediate_size: 14336,
        num_hidden_layers: 32,
        num_attention_heads: 32,
        num_key_value_heads: 8,
        max_position_embeddings: 131072,
        rope_scaling: {
          factor: 8.0,
          low_freq_factor: 1.0,
          high_freq_factor: 4.0,
          original_max_position_embeddings: 8192,
          rope_type: "llama3",
        },
        rope_theta: 500000.0,
        vocab_size: 128256,
        mlp_bias: false,
      },
      {
        kvHeads: 8,
        ropeScaling: {
          kind: "llama3",
          factor: 8,
          originalPositions: 8192,
          lowFrequencyFactor: 1,
          highFrequencyFactor: 4,
        },
      },
    ],
    [
      "DeepSeek-R1-Distill-Qwen-1.5B",
      {
        model_type: "qwen2",
        hidden_size: 1536,
        intermediate_size: 8960,
        num_hidden_layers: 28,
        num_attention_heads: 12,
        num_key_value_heads: 2,
        max_position_embeddings: 131072,
        max_window_layers: 21,
        sliding_window: 4096,
        use_sliding_window: false,
        rope_theta: 10000,
        vocab_size: 151936,
        tie_word_embeddings: false,
      },
      { architecture: "qwen2", qkvBias: true, qkNorm: undefined, headDim: 128, kvHeads: 2 },
    ],
    [
      "Qwen3-0.6B, with YaRN as its card says",
      {
        model_type: "qwen3",
        hidden_size: 1024,
        intermediate_size: 3072,
        num_hidden_layers: 28,
        num_attention_heads: 16,
        num_key_value_heads: 8,
        head_dim: 128,
        max_position_embeddings: 40960,
        rope_scaling: { rope_type: "yarn", factor: 4.0, original_max_position_embeddings: 32768 },
        rope_theta: 1000000,
        sliding_window: null,
        use_sliding_window: false,
        vocab_size: 151936,
        tie_word_embeddings: true,
      },
      {
        architecture: "qwen3",
        qkNorm: true,
        qkvBias: undefined,
        headDim: 128,
        tieEmbeddings: true,
        ropeScaling: { kind: "yarn", factor: 4, originalPositions: 32768, betaFast: 32, betaSlow: 1 },
      },
    ],
    [
      "SmolLM2-135M",
      {
        model_type: "llama",
        hidden_size: 576,
        intermediate_size: 1536,
        num_hidden_layers: 30,
        num_attention_heads: 9,
        num_key_value_heads: 3,
        max_position_embeddings: 8192,
        rope_interleaved: false,
        rope_scaling: null,
        rope_theta: 100000,
        rms_norm_eps: 1e-5,
        vocab_size: 49152,
        tie_word_embeddings: true,
      },
      { headDim: 64, kvHeads: 3, tieEmbeddings: true, ropeScaling: undefined, normEps: 1e-5 },
    ],
    [
      "Mistral-7B-v0.3, which has no window",
      {
        model_type: "mistral",
        hidden_size: 4096,
        intermediate_size: 14336,
        num_hidden_layers: 32,
        num_attention_heads: 32,
        num_key_value_heads: 8,
        max_position_embeddings: 32768,
        rope_theta: 1000000.0,
        sliding_window: null,
        vocab_size: 32768,
      },
      { architecture: undefined, kvHeads: 8, headDim: 128, maxPositions: 32768 },
    ],
  ])("reads %s", (_name, published, wanted) => {
    const read = fromHuggingFace(published);
    expect(read).toEqual({ ...read, ...wanted });
  });

  it("takes the defaults of each family where a field is absent", () => {
    const bare = {
      hidden_size: 2048,
      intermediate_size: 8,
      num_hidden_layers: 1,
      num_attention_heads: 32,
      vocab_size: 9,
    };
    const read = (rest: object) => fromHuggingFace({ ...bare, ...rest });
    expect(read({ model_type: "llama" })).toMatchObject({ kvHeads: 32, headDim: 64, maxPositions: 2048 });
    expect(read({ model_type: "qwen2" })).toMatchObject({ kvHeads: 32, headDim: 64, maxPositions: 32768 });
    expect(read({ model_type: "qwen3" })).toMatchObject({ kvHeads: 32, headDim: 128, maxPositions: 32768 });
    // Mistral's default is a window of 4096.
    expect(() => read({ model_type: "mistral" })).toThrow(
      /sliding_window: .* all 131072 positions, found 4096/,
    );
    const short = { model_type: "mistral", max_position_embeddings: 4096 };
    expect(read(short)).toMatchObject({ kvHeads: 8, headDim: 64, maxPositions: 4096 });
  });

  it("sections of positions, which a text model of a picture's one keeps, change nothing by default", () => {
    const rope_scaling = { type: "default", rope_type: "default", mrope_section: [16, 24, 24] };
    const plain = toHuggingFace(config, ids);
    expect(denseFromHuggingFace({ ...plain, rope_scaling })).toEqual(
      denseFromHuggingFace({ ...plain, rope_scaling: null }),
    );
  });

  it("null of YaRN's factor is the ratio of the lengths; zeros of its betas are the defaults", () => {
    const rope_scaling = { type: "yarn", factor: null, original_max_position_embeddings: 128, beta_fast: 0 };
    expect(denseFromHuggingFace({ ...toHuggingFace(config, ids), rope_scaling }).ropeScaling).toEqual({
      kind: "yarn",
      factor: 4,
      originalPositions: 128,
      betaFast: 32,
      betaSlow: 1,
    });
  });

  it.each([
    [
      { model_type: "gpt2" },
      /model_type: expected "llama" or "mistral" or "qwen2" or "qwen3" or "deepseek_v3", found "gpt2"/,
    ],
    [{ attention_bias: true }, /attention_bias: expected false, found true/],
    [{ mlp_bias: true }, /mlp_bias/],
    [{ rope_scaling: { type: "longrope" } }, /rope_type: expected .*"yarn", found "longrope"/],
    [{ rope_scaling: { type: "yarn" } }, /factor: expected a number, found nothing/],
    [{ rope_scaling: { type: "linear", factor: "4" } }, /factor: expected a number, found "4"/],
    [
      { rope_scaling: { rope_type: "llama3", factor: 8, low_freq_factor: 1 } },
      /high_freq_factor: .* found nothing/,
    ],
    [{ partial_rotary_factor: 0.5 }, /partial_rotary_factor: expected 1, found 0.5/],
    [{ rope_scaling: { type: "mrope", mrope_section: [16, 24, 24] } }, /mrope_section/],
    [{ rope_parameters: { full_attention: { rope_theta: 1 } } }, /full_attention/],
    [
      { layer_types: ["full_attention", "sliding_attention"] },
      /layer_types: expected "full_attention" in every/,
    ],
    [
      { model_type: "mistral", sliding_window: 256 },
      /sliding_window: expected null, or all 512 positions, found 256/,
    ],
    [{ model_type: "qwen2", use_sliding_window: true, sliding_window: 256 }, /sliding_window/],
    [{ hidden_act: "gelu" }, /hidden_act/],
    [{ hidden_size: "128" }, /hidden_size: expected a number, found "128"/],
    [{ vocab_size: undefined }, /vocab_size: expected a number, found nothing/],
  ])("refuses %j", (change, message) => {
    expect(() => fromHuggingFace({ ...toHuggingFace(config, ids), ...change })).toThrow(message);
  });

  it.each([null, [], "llama"])("refuses %j as a whole", (json) => {
    expect(() => fromHuggingFace(json)).toThrow(/config.json: expected an object/);
  });
});
