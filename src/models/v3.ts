/**
 * DeepSeek-V3 (arXiv 2412.19437, section 2): multi-head latent attention and, after the first dense layers, DeepSeekMoE.
 */
import { add, cast, mul, reshape, sum } from "../graph/ops.ts";
import { GraphError, product, type Tensor } from "../graph/tensor.ts";
import type { Architecture, Design, DesignLoss } from "./design.ts";
import { swigluLayer, swigluParameters } from "./layers.ts";
import { crossEntropy, loadName, loadOf } from "./loss.ts";
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

/**
 * The cross-entropy + λ · the cross-entropy of the token after the next (eq. 24, 25) + α · the balance losses of all routed
 * layers (eq. 17 to 20). The latter count a micro-batch by the weight of its tokens. Padding chooses experts as well, and is
 * no part of any load or balance.
 */
const loss: DesignLoss = ({ forward, mtp }, parameters, batch, { balanceFactor, mtpFactor }) => {
  const { inputs, targets, weights, perToken } = batch;
  const { graph } = targets;
  const { fed } = batch.options;
  const options = { ...batch.options, balance: balanceFactor > 0 };
  const { logits, hidden, routing: trunkRouting } = forward(parameters, inputs, options);
  const routing = [...trunkRouting];
  const nextToken = crossEntropy(logits, targets, weights);
  const measurements: Record<string, Tensor> = { "cross-entropy": nextToken };
  let total = nextToken;
  if (mtpFactor > 0 && mtp !== null) {
    const predicted = mtp.forward(parameters, { ...inputs, ids: targets, hidden }, options);
    routing.push(...predicted.routing);
    const [ids, counted] = [perToken("mtpTargets", "i32"), perToken("mtpWeights", "f32")];
    measurements["mtp-cross-entropy"] = crossEntropy(predicted.logits, ids, counted);
    total = add(total, mul(measurements["mtp-cross-entropy"], mtpFactor));
  }
  const balances = routing.flatMap(({ balance }) => balance ?? []);
  graph.scope("balance", () => {
    if (balances.length === 0) return;
    measurements.balance = balances.reduce((sum, one) => add(sum, one));
    total = add(total, mul(mul(measurements.balance, sum(weights)), balanceFactor));
  });
  const loads = new Map<string, Tensor>();
  graph.scope("load", () => {
    const flat = fed && reshape(fed, [product(fed.shape)]);
    for (const { layer, load, choices, bias } of routing) {
      const counts = flat ? loadOf(choices, flat, load.shape[0] as number) : cast(load, "f32");
      loads.set(bias, counts);
      measurements[loadName(layer)] = counts;
    }
  });
  return { loss: total, measurements, loads };
};

export const deepseekV3: Architecture<V3Config, V3Shape> = {
  shape: v3Shape,
  complete: (config) => config,
  design,
  loss: ({ layers, denseLayers, mtpLayers }) => (denseLayers < layers || mtpLayers > 0 ? loss : null),
  className: "DeepseekV3ForCausalLM",
  modelTypes: ["deepseek_v3"],
  gguf: v3Gguf,
  check: checkV3Config,
  fromHuggingFace: v3FromHuggingFace,
  toHuggingFace: v3ToHuggingFace,
};
