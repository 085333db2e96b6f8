/** What follows from a parameter's role: which optimizer moves it, whether LoRA adapts it, and how it is rounded. */
import { expect, it } from "vitest";
import { allParameters } from "../../src/models/architectures.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { adaptedWeights } from "../../src/models/lora.ts";
import { roundingOf } from "../../src/sample/weights.ts";
import { momentNames } from "../../src/train/trace-step.ts";
import { muon } from "../train/tiny.ts";
import { tinyV3 } from "./v3-tiny.ts";

/** Wide enough for blocks of 32, and with every kind of parameter that a dense family has. */
const dense: DecoderConfig = {
  ...{ vocabSize: 64, layers: 1, hiddenSize: 64, heads: 2, kvHeads: 1, headDim: 32, intermediateSize: 64 },
  ...{ maxPositions: 64, ropeTheta: 10_000, normEps: 1e-6, tieEmbeddings: false, qkvBias: true },
};
const v3 = {
  ...tinyV3,
  ...{ layers: 1, denseLayers: 0, hiddenSize: 64, queryLoraRank: 32, kvLoraRank: 32, valueDim: 32 },
  ...{ moeIntermediateSize: 32, experts: 4, groups: 1, activeGroups: 1, activeExperts: 2 },
};

type Fate = [optimizer: "muon" | "adamw" | "load", lora: boolean, int4: "f32" | "int8" | "int4"];

const MATRIX: Fate = ["muon", true, "int4"];
const KEYS_AND_VALUES: Fate = ["muon", true, "int8"];
const PLAIN: Fate = ["adamw", false, "f32"];
/** Embedding and head. */
const VOCABULARY: Fate = ["adamw", false, "int8"];

/** By the last words of the name; expert 0 speaks for all. */
function fates(config: DecoderConfig | typeof v3): Record<string, Fate> {
  const specs = allParameters(config);
  const adapted = new Set(adaptedWeights(specs, []).map(({ name }) => name));
  return Object.fromEntries(
    specs
      .filter(({ name }) => !/layers\.1\.(mlp|self_attn|input|post)|experts\.[1-9]/.test(name))
      .map((spec) => {
        const moments = momentNames(spec, muon).length;
        const optimizer = moments === 0 ? "load" : moments === 1 ? "muon" : "adamw";
        const rounding = roundingOf(spec, { precision: "int4", block: 32 });
        return [
          spec.name.replace(/^model\.(layers\.)?/, ""),
          [optimizer, adapted.has(spec.name), rounding?.precision ?? "f32"],
        ] as [string, Fate];
      }),
  );
}

it("a dense model: Muon and LoRA take the blocks' matrices, keys, values and vocabulary keep 8 bits", () => {
  expect(fates(dense)).toEqual({
    "embed_tokens.weight": VOCABULARY,
    "0.input_layernorm.weight": PLAIN,
    "0.self_attn.q_proj.weight": MATRIX,
    "0.self_attn.q_proj.bias": PLAIN,
    "0.self_attn.k_proj.weight": KEYS_AND_VALUES,
    "0.self_attn.k_proj.bias": PLAIN,
    "0.self_attn.v_proj.weight": KEYS_AND_VALUES,
    "0.self_attn.v_proj.bias": PLAIN,
    "0.self_attn.o_proj.weight": MATRIX,
    "0.post_attention_layernorm.weight": PLAIN,
    "0.mlp.gate_proj.weight": MATRIX,
    "0.mlp.up_proj.weight": MATRIX,
    "0.mlp.down_proj.weight": MATRIX,
    "norm.weight": PLAIN,
    "lm_head.weight": VOCABULARY,
  });
});

it("DeepSeek-V3: the router is Muon's and stays f32, its bias has no optimizer, kv_b_proj stays f32", () => {
  expect(fates(v3)).toEqual({
    "embed_tokens.weight": VOCABULARY,
    "0.input_layernorm.weight": PLAIN,
    "0.self_attn.q_a_proj.weight": MATRIX,
    "0.self_attn.q_a_layernorm.weight": PLAIN,
    "0.self_attn.q_b_proj.weight": MATRIX,
    "0.self_attn.kv_a_proj_with_mqa.weight": KEYS_AND_VALUES,
    "0.self_attn.kv_a_layernorm.weight": PLAIN,
    "0.self_attn.kv_b_proj.weight": ["muon", true, "f32"],
    "0.self_attn.o_proj.weight": MATRIX,
    "0.post_attention_layernorm.weight": PLAIN,
    "0.mlp.gate.weight": ["muon", false, "f32"],
    "0.mlp.gate.e_score_correction_bias": ["load", false, "f32"],
    "0.mlp.experts.0.gate_proj.weight": MATRIX,
    "0.mlp.experts.0.up_proj.weight": MATRIX,
    "0.mlp.experts.0.down_proj.weight": MATRIX,
    "0.mlp.shared_experts.gate_proj.weight": MATRIX,
    "0.mlp.shared_experts.up_proj.weight": MATRIX,
    "0.mlp.shared_experts.down_proj.weight": MATRIX,
    "norm.weight": PLAIN,
    "lm_head.weight": VOCABULARY,
    // The MTP module, whose block is like the last one.
    "1.enorm.weight": PLAIN,
    "1.hnorm.weight": PLAIN,
    "1.eh_proj.weight": MATRIX,
    "1.shared_head.norm.weight": PLAIN,
  });
});
