import { describe, expect, it } from "vitest";
import {
  checkDecoderConfig,
  type DecoderConfig,
  fromHuggingFace,
  toHuggingFace,
} from "../../src/models/config.ts";

const config: DecoderConfig = {
  vocabSize: 29,
  layers: 4,
  width: 128,
  heads: 4,
  kvHeads: 4,
  headDim: 32,
  ffn: 344,
  maxPositions: 512,
  ropeTheta: 10000,
  normEps: 1e-6,
  tieEmbeddings: false,
};
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
      width: 4096,
      heads: 32,
      kvHeads: 32,
      headDim: 128,
      ffn: 11008,
      maxPositions: 4096,
      ropeTheta: 10000,
      normEps: 1e-6,
      tieEmbeddings: false,
    });
  });

  it("reads the rotary settings of transformers 5", () => {
    const { rope_theta, rope_scaling, ...rest } = toHuggingFace(config, ids);
    expect(
      fromHuggingFace({ ...rest, rope_parameters: { rope_type: "default", rope_theta: 500000 } }).ropeTheta,
    ).toBe(500000);
  });

  it.each([
    [{ model_type: "qwen2" }, /model_type: expected "llama", found "qwen2"/],
    [{ attention_bias: true }, /attention_bias: expected false, found true/],
    [{ rope_scaling: { type: "yarn" } }, /rope_scaling: expected null, found {"type":"yarn"}/],
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

describe("impossible shapes", () => {
  it.each([
    [
      { heads: 6, headDim: 128 / 6 },
      "model heads: expected a divisor of width 128, found 6. Use 4 heads, or change the width.",
    ],
    [{ kvHeads: 3 }, "model kvHeads: expected a divisor of heads 4, found 3. Use 2 key and value heads."],
    [{ kvHeads: 8 }, "model kvHeads: expected a divisor of heads 4, found 8. Use 4 key and value heads."],
    [{ headDim: 31 }, /headDim: expected an even number/],
    [{ layers: 0 }, /layers: expected a whole number, 1 or more, found 0/],
    [{ ffn: 1.5 }, /ffn: expected a whole number/],
    [{ vocabSize: Number.NaN }, /vocabSize/],
    [{ normEps: 0 }, /normEps: expected a positive number/],
    [{ ropeTheta: Number.POSITIVE_INFINITY }, /ropeTheta/],
  ])("%j", (change, message) => {
    expect(() => checkDecoderConfig({ ...config, ...change })).toThrow(message);
  });

  it("lets a possible one through", () => {
    expect(checkDecoderConfig({ ...config, kvHeads: 2 }).kvHeads).toBe(2);
  });
});
