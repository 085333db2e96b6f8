/**
 * DeepSeek-V3 (arXiv 2412.19437, section 2): multi-head latent attention and, after the first dense layers, DeepSeekMoE.
 */
import { GraphError } from "../graph/tensor.ts";
import type { Architecture, Design } from "./design.ts";
import { swigluLayer, swigluParameters } from "./layers.ts";
import { absorbedAttention, expandedAttention, mlaParameters, rotarySettings } from "./mla.ts";
import { balanceLoss, moe, moeParameters } from "./moe.ts";
import {
  checkV3Config,
  type V3Config,
  type V3Shape,
  v3FromHuggingFace,
  v3Shape,
  v3ToHuggingFace,
} from "./v3-config.ts";
import { v3Gguf } from "./v3-gguf.ts";

/** All layers but the first ones have experts, and so has the MTP module. */
const isRouted = ({ denseLayers }: V3Config, layer: number): boolean => layer >= denseLayers;

const design = (config: V3Config): Design => ({
  config,
  attentionParameters: mlaParameters(config),
  feedForwardParameters: (layer) =>
    isRouted(config, layer)
      ? moeParameters(config)
      : swigluParameters("mlp", config, config.intermediateSize),
  cacheLayers: [{ name: "latent", heads: 1, width: config.kvLoraRank + config.ropeDim }],
  rotary: rotarySettings(config),

  attention: (x, weights, context) =>
    "mask" in context.over
      ? expandedAttention(x, weights, context.over.mask, { ...context, config })
      : absorbedAttention(x, weights, context.over, { ...context, config }),

  feedForward(x, weights, { layer, balance: balanced, fed }) {
    if (!isRouted(config, layer)) return { out: swigluLayer(x, weights, "mlp") };
    const { out, choices, load, scores } = moe(x, weights, config);
    const [batch, seq] = x.shape;
    if (!balanced) return { out, routing: { choices, load } };
    if (typeof batch !== "number" || typeof seq !== "number")
      throw new GraphError("the balance loss needs a fixed batch and sequence");
    const balance = x.graph.scope("balance", () => balanceLoss(scores, batch, seq, config, fed));
    return { out, routing: { choices, load, balance } };
  },
});

export const deepseekV3: Architecture<V3Config, V3Shape> = {
  shape: v3Shape,
  complete: (config) => config,
  design,
  className: "DeepseekV3ForCausalLM",
  modelTypes: ["deepseek_v3"],
  gguf: v3Gguf,
  check: checkV3Config,
  fromHuggingFace: v3FromHuggingFace,
  toHuggingFace: v3ToHuggingFace,
};
