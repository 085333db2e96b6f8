/** V3's config.json, DeepSeek's and transformers 5's, and the shapes that cannot be built. */
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/lib/errors.ts";
import { fromHuggingFace, toHuggingFace } from "../../src/models/architectures.ts";
import { rotarySettings, scoreFactor } from "../../src/models/mla.ts";
import { type RopeScaling, rotaryFrequencies, yarnAttentionFactor } from "../../src/models/rope.ts";
import { checkV3Config, type V3Config, v3FromHuggingFace } from "../../src/models/v3-config.ts";
import { tinyV3 } from "./v3-tiny.ts";

const ids = { bosId: 0, eosIds: [1], padId: null };

/** As DeepSeek published it. */
const R1 = {
  architectures: ["DeepseekV3ForCausalLM"],
  model_type: "deepseek_v3",
  num_nextn_predict_layers: 1,
  max_position_embeddings: 163840,
  rope_theta: 10000,
  rope_scaling: {
    type: "yarn",
    factor: 40,
    original_max_position_embeddings: 4096,
    beta_fast: 32,
    beta_slow: 1,
    mscale: 1,
    mscale_all_dim: 1,
  },
};

describe("config.json", () => {
  it.each([
    ["YaRN and q-LoRA", tinyV3],
    ["neither", { ...tinyV3, yarn: null, queryLoraRank: null, mtpLayers: 0 }],
  ] as [string, V3Config][])("round trip: %s", (_label, config) => {
    expect(v3FromHuggingFace(JSON.parse(JSON.stringify(toHuggingFace(config, ids))))).toEqual(config);
  });

  it("reads transformers 5's rope_parameters as DeepSeek's rope_scaling", () => {
    const { rope_scaling, rope_theta, ...rest } = R1;
    const { type, ...scaling } = rope_scaling;
    const rope_parameters = { ...scaling, rope_type: type, rope_theta };
    expect(v3FromHuggingFace({ ...rest, rope_parameters })).toEqual(v3FromHuggingFace(R1));
    expect(v3FromHuggingFace(R1).yarn).toEqual({
      factor: 40,
      originalPositions: 4096,
      betaFast: 32,
      betaSlow: 1,
      mscale: 1,
      mscaleAllDim: 1,
    });
  });

  it("takes the old rotary field where both are given, and null for no normalisation, as transformers 5 does", () => {
    const rope_parameters = { rope_type: "default", rope_theta: 5 };
    expect(v3FromHuggingFace({ ...R1, rope_parameters })).toEqual(v3FromHuggingFace(R1));
    expect(v3FromHuggingFace({ ...R1, norm_topk_prob: undefined }).normaliseWeights).toBe(true);
    expect(v3FromHuggingFace({ ...R1, norm_topk_prob: null }).normaliseWeights).toBe(false);
  });

  it.each([
    ["model_type", { model_type: "deepseek_v2" }],
    ["scoring_func", { scoring_func: "softmax" }],
    ["topk_method", { topk_method: "greedy" }],
    ["attention_bias", { attention_bias: true }],
    ["rope_interleave", { rope_interleave: false }],
    ["num_key_value_heads", { num_key_value_heads: 8 }],
    ["rope_scaling", { rope_scaling: { type: "linear", factor: 2 } }],
    ["hidden_size", { hidden_size: "large" }],
    ["factor", { rope_scaling: { type: "yarn" } }],
    ["mtpLayers", { num_nextn_predict_layers: 2 }],
  ])("refuses %s by name", (field, change) => {
    const read = () => fromHuggingFace({ ...R1, ...change });
    expect(read).toThrow(UserError);
    expect(read).toThrow(`model ${field}:`);
  });

  it.each([
    ["groups", { groups: 3 }],
    ["groups", { groups: 8, activeGroups: 2 }],
    ["activeGroups", { activeGroups: 5 }],
    ["activeExperts", { activeExperts: 5 }],
    ["ropeDim", { ropeDim: 3 }],
    ["kvLoraRank", { kvLoraRank: 0 }],
    ["queryLoraRank", { queryLoraRank: 1.5 }],
    ["routedScale", { routedScale: 0 }],
    ["denseLayers", { denseLayers: -1 }],
  ])("a shape that cannot be built: %s", (field, change) => {
    expect(() => checkV3Config({ ...tinyV3, ...change })).toThrow(`model ${field}:`);
  });
});

describe("YaRN at V3's numbers (arXiv 2412.19437, section 4.3; ramp from pair 10 to pair 23)", () => {
  const config = v3FromHuggingFace(R1);
  const { yarn } = config;
  const settings = rotarySettings(config);
  const plain = rotaryFrequencies({ ...settings, ropeScaling: undefined }, 1);
  const scaled = rotaryFrequencies(settings, 1);

  it("keeps fast pairs, slows slow ones 40 times, and ramps between", () => {
    expect(scaled.slice(0, 11)).toEqual(plain.slice(0, 11));
    expect(scaled.slice(23)).toEqual(plain.slice(23).map((f) => f / 40));
    const share = 6 / 13;
    expect(scaled[16]).toBeCloseTo(plain[16] * (1 - share + share / 40), 12);
  });

  it("scales scores by 1.36889² and leaves cosines alone", () => {
    expect(scoreFactor(yarn)).toBeCloseTo(1.87385, 5);
    expect(yarnAttentionFactor(settings.ropeScaling as RopeScaling & { kind: "yarn" })).toBe(1);
    expect(scoreFactor(null)).toBe(1);
  });
});
