/** The shape of DeepSeek-V3 and R1 (arXiv 2412.19437, section 4.2) and of models of its design, any size. */
import { z } from "zod";
import { count, nonNegative, off, positive } from "../lib/schema.ts";
import {
  aboveZero,
  checkFields,
  checkNumbers,
  configError,
  type Fields,
  LIMITS,
  readNumber,
  readNumbers,
  type TokenIds,
  upTo,
  wholeNumber,
  writeNumbers,
  writtenEnd,
} from "./checks.ts";

/** What a recipe says of a model of DeepSeek-V3's design. */
export const v3Shape = z.strictObject({
  architecture: z
    .literal("deepseek_v3")
    .describe("DeepSeek-V3 with latent attention and routed experts (arXiv 2412.19437, section 2.1)."),
  layers: count.describe("Transformer blocks."),
  hiddenSize: count.describe("Width of the residual stream."),
  heads: count.describe("Attention heads."),
  queryLoraRank: count
    .nullable()
    .default(null)
    .describe("Width of the queries' latent; `null`: queries have one projection."),
  kvLoraRank: count.describe("Width of the latent from which keys and values are computed."),
  nopeDim: count.describe("Width of a head's part without rotary positions."),
  ropeDim: count.describe("Width of a head's part with rotary positions."),
  valueDim: count.describe("Width of a head's values."),
  intermediateSize: count.describe("Inner width of SwiGLU in the first `denseLayers` blocks."),
  denseLayers: z.int().min(0).default(1).describe("Blocks without experts, at the start."),
  moeIntermediateSize: count.describe("Inner width of one expert."),
  experts: count.describe("Routed experts per block."),
  activeExperts: count.describe("Routed experts per token."),
  sharedExperts: count.default(1).describe("Experts that every token uses."),
  groups: count.default(1).describe("Groups of experts for group-limited routing."),
  activeGroups: count.default(1).describe("Groups per token."),
  normaliseWeights: z
    .boolean()
    .default(true)
    .describe("The weights of a token's experts add up to `routedScale`."),
  routedScale: positive.default(2.5).describe("Factor of the routed experts' output."),
  maxPositions: z.int().min(2).describe("Longest sequence in tokens."),
  ropeTheta: positive.default(10000).describe("Base of the rotary frequencies."),
  /** Positions beyond those of training. */
  yarn: z
    .strictObject({
      factor: z.number().min(1).describe("How many times longer the sequences are than in training."),
      originalPositions: count.describe("Positions in training."),
      betaFast: positive.default(32).describe("Rotations above which a dimension is not scaled."),
      betaSlow: positive.default(1).describe("Rotations below which a dimension is scaled in full."),
      mscale: nonNegative.default(1).describe("Factor of YaRN's temperature, numerator."),
      mscaleAllDim: nonNegative.default(1).describe("Factor of YaRN's temperature, denominator."),
    })
    .nullable()
    .default(null),
  normEps: positive.default(1e-6).describe("RMSNorm's epsilon."),
  mtpLayers: z
    .int()
    .min(0)
    .max(1)
    .default(0)
    .describe("MTP modules, which predict one token more in pretraining."),
  tieEmbeddings: off.describe("The head uses the embedding's weights."),
});

/** Sizes of a DeepSeek-V3 as a recipe gives them. */
export type V3Shape = z.output<typeof v3Shape>;

/** All sizes are counts; a checked config comes from `checkV3Config` or `v3FromHuggingFace`. */
export type V3Config = V3Shape & {
  /** Rows of the embedding; at least the tokenizer's vocabulary. */
  vocabSize: number;
};
/** YaRN (Peng et al. 2023, arXiv 2309.00071) as DeepSeek configures it. */
export type Yarn = NonNullable<V3Config["yarn"]>;

const width = upTo(LIMITS.width);
const headDim = upTo(LIMITS.headDim);
const experts = upTo(LIMITS.experts);

/** Transformers takes V3's published sizes for absent fields. */
const NUMBERS = {
  hiddenSize: ["hidden_size", width, 7168],
  intermediateSize: ["intermediate_size", width, 18432],
  moeIntermediateSize: ["moe_intermediate_size", width, 2048],
  layers: ["num_hidden_layers", upTo(LIMITS.layers), 61],
  heads: ["num_attention_heads", upTo(LIMITS.heads), 128],
  experts: ["n_routed_experts", experts, 256],
  sharedExperts: ["n_shared_experts", experts, 1],
  activeExperts: ["num_experts_per_tok", experts, 8],
  groups: ["n_group", experts, 8],
  activeGroups: ["topk_group", experts, 4],
  routedScale: ["routed_scaling_factor", aboveZero, 2.5],
  denseLayers: ["first_k_dense_replace", wholeNumber, 3],
  kvLoraRank: ["kv_lora_rank", width, 512],
  nopeDim: ["qk_nope_head_dim", headDim, 128],
  ropeDim: ["qk_rope_head_dim", headDim, 64],
  valueDim: ["v_head_dim", headDim, 128],
  vocabSize: ["vocab_size", upTo(LIMITS.vocabSize), 129280],
  maxPositions: ["max_position_embeddings", upTo(Number.MAX_SAFE_INTEGER), 4096],
  normEps: ["rms_norm_eps", aboveZero, 1e-6],
} as const;
const YARN = {
  factor: ["factor", null],
  originalPositions: ["original_max_position_embeddings", null],
  betaFast: ["beta_fast", null, 32],
  betaSlow: ["beta_slow", null, 1],
  mscale: ["mscale", null, 0],
  mscaleAllDim: ["mscale_all_dim", null, 0],
} as const;

function refuse(field: string, expected: string, found: unknown, remedy?: string): never {
  throw configError(field, expected, found === undefined ? "nothing" : JSON.stringify(found), remedy);
}

/**
 * Returns `config` if a model of that shape can be built.
 * @throws UserError naming the first impossible field and what would work.
 */
export function checkV3Config(config: V3Config): V3Config {
  checkNumbers(NUMBERS, config);
  aboveZero("ropeTheta", config.ropeTheta);
  if (config.queryLoraRank !== null) width("queryLoraRank", config.queryLoraRank);
  const tensors = config.layers * (12 + 3 * config.experts);
  if (tensors > LIMITS.tensors)
    refuse(
      "experts",
      `at most ${LIMITS.tensors} tensors in all layers`,
      tensors,
      "No model of that size is built here.",
    );
  if (config.ropeDim % 2 !== 0) refuse("ropeDim", "an even number (pairs are turned)", config.ropeDim);
  if (config.mtpLayers !== 0 && config.mtpLayers !== 1)
    refuse("mtpLayers", "0 or 1", config.mtpLayers, "Deeper prediction is not implemented.");
  const { experts, groups, activeGroups, activeExperts } = config;
  if (config.denseLayers >= config.layers) return config;
  if (experts % groups !== 0) refuse("groups", `a divisor of experts ${experts}`, groups);
  if (activeGroups > groups) refuse("activeGroups", `at most groups ${groups}`, activeGroups);
  const inGroup = experts / groups;
  if (groups > 1 && inGroup < 2)
    refuse("groups", "groups of 2 experts or more (a group's score is the sum of its best two)", groups);
  if (activeExperts > activeGroups * inGroup)
    refuse(
      "activeExperts",
      `at most ${activeGroups * inGroup}, the experts of ${activeGroups} groups`,
      activeExperts,
    );
  return config;
}

/** All of a `config.json` but its class, as DeepSeek publishes it. */
export function v3ToHuggingFace(config: V3Config, ids: TokenIds): Record<string, unknown> {
  return {
    hidden_act: "silu",
    ...writeNumbers(NUMBERS, config),
    num_nextn_predict_layers: config.mtpLayers,
    num_key_value_heads: config.heads,
    topk_method: "noaux_tc",
    scoring_func: "sigmoid",
    norm_topk_prob: config.normaliseWeights,
    moe_layer_freq: 1,
    q_lora_rank: config.queryLoraRank,
    rope_theta: config.ropeTheta,
    rope_interleave: true,
    rope_scaling: config.yarn && { type: "yarn", rope_type: "yarn", ...writeNumbers(YARN, config.yarn) },
    attention_bias: false,
    ...writtenEnd(config, ids),
  };
}

/**
 * Reads the shape from the content of a `config.json` of DeepseekV3ForCausalLM, DeepSeek's or transformers 5's, whose
 * defaults absent fields take.
 * @throws UserError for a variant that would compute something else, a field of the wrong type, or an impossible shape.
 */
export function v3FromHuggingFace(json: Fields): V3Config {
  const sizes = readNumbers(NUMBERS, json);
  checkFields(json, {
    hidden_act: ["silu", "swish"],
    attention_bias: [false],
    rope_interleave: [true],
    num_key_value_heads: [sizes.heads],
  });
  // Without a layer of experts there is nothing to choose.
  if (sizes.denseLayers < sizes.layers)
    checkFields(json, { topk_method: ["noaux_tc"], scoring_func: ["sigmoid"], moe_layer_freq: [1] });
  // As in transformers 5: where both fields are given, the old one wins.
  const rope = (json.rope_scaling ?? json.rope_parameters ?? {}) as Fields;
  const stated = rope.rope_type ?? rope.type ?? "default";
  // All frequencies divided by 1.
  const kind = stated === "linear" && rope.factor === 1 ? "default" : stated;
  if (kind !== "default" && kind !== "yarn") refuse("rope_scaling", '"yarn" or none', kind);
  checkFields(rope, { partial_rotary_factor: [1] });
  if (kind === "yarn") checkFields(rope, { attention_factor: [null], truncate: [true] });
  return checkV3Config({
    architecture: "deepseek_v3",
    ...sizes,
    // null says that there is none; only an absent field takes the default.
    queryLoraRank: json.q_lora_rank === null ? null : readNumber(json, "q_lora_rank", 1536),
    normaliseWeights: json.norm_topk_prob === undefined || json.norm_topk_prob === true,
    ropeTheta: readNumber(rope, "rope_theta", readNumber(json, "rope_theta", 10000)),
    yarn: kind === "default" ? null : readNumbers(YARN, rope),
    mtpLayers: readNumber(json, "num_nextn_predict_layers", readNumber(json, "num_mtp_layers", 0)),
    tieEmbeddings: json.tie_word_embeddings === true,
  });
}
