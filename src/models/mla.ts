/**
 * Multi-head latent attention (DeepSeek-V3, arXiv 2412.19437, section 2.1.1, eq. 1 to 11): keys and values of all heads
 * are made from one latent a token, beside one rotated key that all heads share. The expanded form is for
 * sequences from their beginning; the absorbed form attends in the latent itself, so that a cache holds nothing else.
 */
import {
  attention,
  concat,
  expandLike,
  linear,
  matmul,
  mul,
  reshape,
  rmsNorm,
  rope,
  slice,
  split,
  transpose,
} from "../graph/ops.ts";
import { product, type Tensor } from "../graph/tensor.ts";
import { cachedAttention } from "./cache.ts";
import type { AttentionContext } from "./design.ts";
import {
  matrix,
  mergeHeads,
  normWeight,
  type ParameterSpec,
  project,
  residualStd,
  splitHeads,
  type Weights,
} from "./layers.ts";
import { type RotarySettings, yarnMagnitude } from "./rope.ts";
import type { V3Config, Yarn } from "./v3-config.ts";

/** Epsilon of the norms on latents; the reference leaves it at its default, whatever the config says of the others. */
const LATENT_EPSILON = 1e-6;

/** Positions turn a head's rotary part alone; YaRN stretches them as in any other design. */
export function rotarySettings({ maxPositions, ropeDim, ropeTheta, yarn }: V3Config): RotarySettings {
  const ropeScaling = yarn === null ? undefined : { kind: "yarn" as const, ...yarn };
  return { maxPositions, headDim: ropeDim, ropeTheta, ropeScaling };
}

/** What the scale of all scores is multiplied by: DeepSeek applies YaRN's magnitude to queries and keys alike. */
export function scoreFactor(yarn: Yarn | null): number {
  return yarn === null || yarn.mscaleAllDim === 0 ? 1 : yarnMagnitude(yarn.factor, yarn.mscaleAllDim) ** 2;
}

type MlaContext = AttentionContext & { config: V3Config };
type CachedOver = Extract<MlaContext["over"], { cache: unknown }>;

export function mlaParameters(config: V3Config): ParameterSpec[] {
  const { hiddenSize, heads, queryLoraRank, kvLoraRank, nopeDim, ropeDim, valueDim, layers } = config;
  const queries = heads * (nopeDim + ropeDim);
  return [
    ...(queryLoraRank === null
      ? [matrix("self_attn.q_proj", [queries, hiddenSize])]
      : [
          matrix("self_attn.q_a_proj", [queryLoraRank, hiddenSize]),
          normWeight("self_attn.q_a_layernorm", queryLoraRank),
          matrix("self_attn.q_b_proj", [queries, queryLoraRank]),
        ]),
    matrix("self_attn.kv_a_proj_with_mqa", [kvLoraRank + ropeDim, hiddenSize], { role: "kvProjection" }),
    normWeight("self_attn.kv_a_layernorm", kvLoraRank),
    matrix("self_attn.kv_b_proj", [heads * (nopeDim + valueDim), kvLoraRank], { role: "kvUpProjection" }),
    matrix("self_attn.o_proj", [hiddenSize, heads * valueDim], { init: residualStd(layers) }),
  ];
}

/** Queries of all heads, [batch, seq, heads · (nope + rope)] (eq. 6 to 8). */
function queries(x: Tensor, weights: Weights, { queryLoraRank }: V3Config): Tensor {
  const { graph } = x;
  if (queryLoraRank === null) return project(x, weights, "self_attn.q_proj");
  const down = project(x, weights, "self_attn.q_a_proj");
  const weight = weights("self_attn.q_a_layernorm.weight");
  const normed = graph.scope("qNorm", () => rmsNorm(down, weight, LATENT_EPSILON));
  return project(normed, weights, "self_attn.q_b_proj");
}

/** The latent [batch, seq, latent] after its norm and the shared key [batch, 1, seq, rope] after its rotation (eq. 1, 3). */
function compress(x: Tensor, weights: Weights, context: MlaContext): { latent: Tensor; key: Tensor } {
  const { graph } = x;
  const { kvLoraRank: rank, ropeDim } = context.config;
  const [batch, seq] = x.shape;
  const both = project(x, weights, "self_attn.kv_a_proj_with_mqa");
  const [raw, rawKey] = graph.scope("kvA", () => split(both, -1, [rank, ropeDim]));
  const weight = weights("self_attn.kv_a_layernorm.weight");
  const latent = graph.scope("kvNorm", () => rmsNorm(raw, weight, LATENT_EPSILON));
  const key = graph.scope("kRope", () => rotate(reshape(rawKey, [batch, 1, seq, ropeDim]), context));
  return { latent, key };
}

const rotate = (x: Tensor, { tables, positions }: MlaContext): Tensor =>
  rope(x, tables.cos, tables.sin, positions, true);

/** What the cache holds of each token: [batch, 1, seq, latent + rope]. */
function cacheEntry({ latent, key }: { latent: Tensor; key: Tensor }): Tensor {
  const [batch, seq, rank] = latent.shape;
  return latent.graph.scope("cache", () => concat([reshape(latent, [batch, 1, seq, rank]), key], -1));
}

/** The expanded form: x [batch, seq, hiddenSize] -> the same, and what a cache would hold. */
export function expandedAttention(
  x: Tensor,
  weights: Weights,
  mask: Tensor,
  context: MlaContext,
): { out: Tensor; cache: Tensor[] } {
  const { graph } = x;
  const { heads, nopeDim, ropeDim, valueDim, yarn } = context.config;
  const projected = queries(x, weights, context.config);
  const compressed = compress(x, weights, context);
  const q = graph.scope("q", () => {
    const [plain, turned] = split(splitHeads(projected, heads), -1, [nopeDim, ropeDim]);
    return { plain, turned: rotate(turned, context) };
  });
  const expanded = graph.scope("kvB", () =>
    splitHeads(linear(compressed.latent, weights("self_attn.kv_b_proj.weight")), heads),
  );
  const mixed = graph.scope("heads", () => {
    const [plainKeys, values] = split(expanded, -1, [nopeDim, valueDim]);
    // [batch, heads, seq, nope + rope]
    const keys = concat([plainKeys, expandLike(compressed.key, q.turned)], -1);
    const joined = concat([q.plain, q.turned], -1);
    const scaled = yarn === null ? joined : mul(joined, scoreFactor(yarn));
    return attention(scaled, keys, values, mask);
  });
  const out = project(mergeHeads(mixed), weights, "self_attn.o_proj");
  return { out, cache: [cacheEntry(compressed)] };
}

/**
 * The absorbed form for new tokens over a cache: x [batch, seq, hiddenSize]. With W_UK and W_UV the rows of kv_b_proj,
 * q_C · (W_UK c) = (W_UKᵀ q_C) · c and sum p (W_UV c) = W_UV (sum p c): all heads attend to one key and value, the
 * cache entry itself, whose rope part of the result is left out.
 */
export function absorbedAttention(
  x: Tensor,
  weights: Weights,
  { cache, masks }: CachedOver,
  context: MlaContext,
): { out: Tensor; cache: Tensor[] } {
  const { graph } = x;
  const { heads, nopeDim, ropeDim, valueDim, kvLoraRank: latent, yarn } = context.config;
  const { positions } = context;
  const [batch, seq] = x.shape;
  const tokens = product([batch, seq]);
  const entry = cacheEntry(compress(x, weights, context));
  const [upKeys, upValues] = graph.scope("kvB", () => {
    const up = reshape(weights("self_attn.kv_b_proj.weight"), [heads, nopeDim + valueDim, latent]);
    return split(up, 1, [nopeDim, valueDim]);
  });
  const projected = queries(x, weights, context.config);
  const q = graph.scope("q", () => {
    const byToken = reshape(projected, [batch, seq, heads, nopeDim + ropeDim]);
    const [plain, turned] = split(byToken, -1, [nopeDim, ropeDim]);
    // One product a head over the tokens of all rows: [heads, batch · seq, nope] · [heads, nope, latent].
    const byHead = transpose(reshape(plain, [tokens, heads, nopeDim]), [1, 0, 2]);
    const absorbed = reshape(matmul(byHead, upKeys), [heads, batch, seq, latent], positions);
    const rotated = rotate(transpose(turned, [0, 2, 1, 3]), context);
    return concat([transpose(absorbed, [1, 0, 2, 3]), rotated], -1);
  });
  const mixed = graph.scope("heads", () => {
    const scale = scoreFactor(yarn) * (nopeDim + ropeDim) ** -0.5;
    const [own, past] = [entry, cache[0]].map((both) => ({ keys: both, values: both }));
    const attended = cachedAttention(q, own, past, masks, scale);
    const inLatent = reshape(slice(attended, -1, 0, latent), [batch, heads, seq, latent]);
    const byHead = transpose(inLatent, [1, 0, 2, 3]);
    // [heads, batch · seq, latent] · [heads, latent, value]
    const values = matmul(reshape(byHead, [heads, tokens, latent]), upValues, { transB: true });
    return reshape(transpose(values, [1, 0, 2]), [batch, seq, heads * valueDim], positions);
  });
  return { out: project(mixed, weights, "self_attn.o_proj"), cache: [entry] };
}
