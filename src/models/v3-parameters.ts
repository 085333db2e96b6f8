/** The parameters of DeepSeek-V3 under Hugging Face's names (and DeepSeek's own checkpoint's, which are the same). */

import type { Tensor } from "../graph/tensor.ts";
import { type ParameterRole, type ParameterSpec, type Parameters, parameter } from "./layers.ts";
import type { V3Config } from "./v3-config.ts";

/** Standard deviation of the initial matrices; those that write into the residual stream get it / sqrt(2 layers). */
const INIT_STD = 0.02;

/** Whether layer `layer` routes to experts: all but the first few; the module behind the last layer does as well. */
export const isRouted = (config: V3Config, layer: number): boolean => layer >= config.denseLayers;

/** The parameters of a block, without the prefix `model.layers.N.`. */
export function blockParameters(config: V3Config, layer: number): ParameterSpec[] {
  const {
    hiddenSize: width,
    heads,
    queryLoraRank: queryRank,
    kvLoraRank: latent,
    nopeDim,
    ropeDim,
    valueDim,
    intermediateSize: ffn,
    moeIntermediateSize: expertFfn,
    experts,
  } = config;
  const residual = INIT_STD / Math.sqrt(2 * config.layers);
  const specs: ParameterSpec[] = [];
  const matrix = (
    name: string,
    rows: number,
    columns: number,
    { init = INIT_STD, role = "projection" as ParameterRole } = {},
  ): void => {
    specs.push({ name: `${name}.weight`, role, shape: [rows, columns], init });
  };
  const norm = (name: string, size: number): void => {
    specs.push({ name: `${name}.weight`, role: "norm", shape: [size], init: "ones" });
  };
  const swiglu = (name: string, inner: number): void => {
    matrix(`${name}.gate_proj`, inner, width);
    matrix(`${name}.up_proj`, inner, width);
    matrix(`${name}.down_proj`, width, inner, { init: residual });
  };
  norm("input_layernorm", width);
  if (queryRank === null) matrix("self_attn.q_proj", heads * (nopeDim + ropeDim), width);
  else {
    matrix("self_attn.q_a_proj", queryRank, width);
    norm("self_attn.q_a_layernorm", queryRank);
    matrix("self_attn.q_b_proj", heads * (nopeDim + ropeDim), queryRank);
  }
  matrix("self_attn.kv_a_proj_with_mqa", latent + ropeDim, width, { role: "kvProjection" });
  norm("self_attn.kv_a_layernorm", latent);
  matrix("self_attn.kv_b_proj", heads * (nopeDim + valueDim), latent, { role: "kvUpProjection" });
  matrix("self_attn.o_proj", width, heads * valueDim, { init: residual });
  norm("post_attention_layernorm", width);
  if (!isRouted(config, layer)) {
    swiglu("mlp", ffn);
    return specs;
  }
  matrix("mlp.gate", experts, width, { role: "router" });
  specs.push({ name: "mlp.gate.e_score_correction_bias", role: "routerBias", shape: [experts], init: 0 });
  for (let expert = 0; expert < experts; expert++) swiglu(`mlp.experts.${expert}`, expertFfn);
  swiglu("mlp.shared_experts", config.sharedExperts * expertFfn);
  return specs;
}

/** The parameters of layer `layer`, a block or the module that predicts a further token. */
export function layerParameters(config: V3Config, layer: number): ParameterSpec[] {
  const { hiddenSize: width } = config;
  const block = blockParameters(config, layer);
  if (layer < config.layers) return block;
  return [
    { name: "enorm.weight", role: "norm", shape: [width], init: "ones" },
    { name: "hnorm.weight", role: "norm", shape: [width], init: "ones" },
    { name: "eh_proj.weight", role: "projection", shape: [width, 2 * width], init: INIT_STD },
    ...block,
    { name: "shared_head.norm.weight", role: "norm", shape: [width], init: "ones" },
  ];
}

export interface V3ParameterOptions {
  /** Leave out the module that predicts a further token: plain inference does not need it. */
  withoutMtp?: boolean;
}

/** All parameters; the module's copies of embedding and head are the trunk's own. */
export function v3Parameters(config: V3Config, { withoutMtp }: V3ParameterOptions = {}): ParameterSpec[] {
  const { vocabSize, hiddenSize: width, layers } = config;
  const specs: ParameterSpec[] = [
    { name: "model.embed_tokens.weight", role: "embedding", shape: [vocabSize, width], init: INIT_STD },
  ];
  const last = layers + (withoutMtp ? 0 : config.mtpLayers);
  for (let layer = 0; layer < last; layer++)
    for (const spec of layerParameters(config, layer))
      specs.push({
        ...spec,
        name: `model.layers.${layer}.${spec.name}`,
        ...(layer >= layers && { mtp: true }),
      });
  specs.push({ name: "model.norm.weight", role: "norm", shape: [width], init: "ones" });
  if (!config.tieEmbeddings)
    specs.push({ name: "lm_head.weight", role: "head", shape: [vocabSize, width], init: INIT_STD });
  return specs;
}

/** Looks up a weight by its name inside the layer, such as `self_attn.o_proj`. */
export type Weights = (name: string) => Tensor;

export function layerWeights(parameters: Parameters, layer: number): Weights {
  return (name) => parameter(parameters, `model.layers.${layer}.${name}`);
}

/** Parameters that one token uses, with and without the embedding (a token reads one row of it). */
export function activeParameters(config: V3Config): number {
  const idle = (config.experts - config.activeExperts) * 3 * config.hiddenSize * config.moeIntermediateSize;
  return v3Parameters(config, { withoutMtp: true }).reduce(
    (total, { shape }) => total + shape.reduce((size, dim) => size * dim, 1),
    -idle * (config.layers - config.denseLayers),
  );
}
