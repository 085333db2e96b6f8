/**
 * DeepSeekMoE as V3 has it (arXiv 2412.19437, section 2.1.2): shared experts for every token and routed ones that a
 * sigmoid affinity chooses, balanced by a bias on the choice alone. Only the chosen experts compute.
 */

import { constant } from "../graph/ops/source.ts";
import {
  add,
  combine,
  detach,
  dispatch,
  div,
  expandLike,
  greater,
  linear,
  mean,
  mul,
  reshape,
  route,
  scatter,
  sigmoid,
  sum,
  takeAlongAxis,
  topK,
  where,
} from "../graph/ops.ts";
import { product, type Tensor } from "../graph/tensor.ts";
import { matrix, type ParameterSpec, swigluLayer, swigluParameters, type Weights } from "./layers.ts";
import type { V3Config } from "./v3-config.ts";

/** Keeps the weights of a token whose affinities are all 0 finite. */
const TINY = 1e-20;

/** The parameters of `moe`. */
export const moeParameters = (config: V3Config): ParameterSpec[] => [
  matrix("mlp.gate", [config.experts, config.hiddenSize], { role: "router" }),
  { name: "mlp.gate.e_score_correction_bias", role: "routerBias", shape: [config.experts], init: 0 },
  ...Array.from({ length: config.experts }, (_, expert) =>
    swigluParameters(`mlp.experts.${expert}`, config, config.moeIntermediateSize),
  ).flat(),
  ...swigluParameters("mlp.shared_experts", config, config.sharedExperts * config.moeIntermediateSize),
];

/** What the router decides for rows [rows, width]. */
export interface RouterResult {
  /** Affinities s, [rows, experts]. */
  scores: Tensor;
  /** The chosen experts, [rows, active] i64, and what their results are multiplied by, [rows, active]. */
  choices: Tensor;
  weights: Tensor;
}

const ones = (like: Tensor): Tensor => expandLike(constant(like.graph, 1), like);

/**
 * s = sigmoid(W u); the choice is made by s + b in the best groups (a group's worth is the sum of its best two, the
 * others are left out whatever the sign of their scores), the weights come from s alone (eq. 12 to 16).
 */
export function router(u: Tensor, gate: Tensor, bias: Tensor, config: V3Config): RouterResult {
  const { experts, groups, activeGroups, activeExperts } = config;
  const scores = sigmoid(linear(u, gate));
  let candidates = add(detach(scores), bias);
  if (activeGroups < groups) {
    const [rows] = candidates.shape;
    const grouped = reshape(candidates, [rows, groups, experts / groups]);
    const worth = sum(topK(grouped, 2).values, [-1]);
    const best = topK(worth, activeGroups);
    const kept = scatter(ones(best.values), best.indices, groups);
    const inKept = greater(reshape(kept, [rows, groups, 1]), 0);
    candidates = reshape(where(inKept, grouped, Number.NEGATIVE_INFINITY), [rows, experts]);
  }
  const choices = topK(candidates, activeExperts).indices;
  const chosen = takeAlongAxis(scores, choices);
  const weights = config.normaliseWeights ? div(chosen, add(sum(chosen, [-1], true), TINY)) : chosen;
  return { scores, choices, weights: mul(weights, config.routedScale) };
}

/**
 * The sequence-wise balance loss without its factor α (eq. 17 to 20), the mean over the sequences:
 * sum over experts of f P, with f the share of tokens whose best affinities include the expert (times N_r / K_r, without
 * gradient) and P the mean of its normalised affinity. scores [batch · seq, experts] -> scalar. Tokens are those that `fed`
 * [batch, seq] has a 1 for, where it is given.
 */
export function balanceLoss(
  scores: Tensor,
  batch: number,
  seq: number,
  config: V3Config,
  fed?: Tensor,
): Tensor {
  const { experts, activeExperts } = config;
  const best = topK(detach(scores), activeExperts);
  const rows = (x: Tensor) => reshape(x, [batch, seq * activeExperts]);
  const each = fed && reshape(fed, [batch * seq, 1]);
  const counted = (x: Tensor) => (each === undefined ? x : mul(x, each));
  const counts = scatter(rows(counted(ones(best.values))), rows(best.indices), experts);
  const affinities = reshape(counted(div(scores, sum(scores, [-1], true))), [batch, seq, experts]);
  if (fed === undefined) {
    const f = mul(counts, experts / (activeExperts * seq));
    return mul(sum(mul(f, mean(affinities, [1]))), 1 / batch);
  }
  const tokens = sum(fed, [1], true);
  const f = div(mul(counts, experts / activeExperts), tokens);
  return mul(sum(mul(f, div(sum(affinities, [1]), tokens))), 1 / batch);
}

export interface MoeResult extends RouterResult {
  out: Tensor;
  /** Tokens of each expert, [experts] i64. */
  load: Tensor;
}

/** x [batch, seq, width] -> shared experts + the weighted sum of each token's routed experts. */
export function moe(x: Tensor, weights: Weights, config: V3Config): MoeResult {
  const { graph } = x;
  const { experts, hiddenSize: width } = config;
  const rows = product(x.shape.slice(0, -1));
  const flat = reshape(x, [rows, width]);
  const routed = graph.scope("router", () =>
    router(flat, weights("mlp.gate.weight"), weights("mlp.gate.e_score_correction_bias"), config),
  );
  const routing = graph.scope("route", () => route(routed.choices, experts));
  const parts = graph.scope("dispatch", () => dispatch(flat, routing));
  // Weights are in the order of pairs, each of which goes to one expert.
  const pairs = routing.order.shape[0];
  const rowWeights = graph.scope("weights", () =>
    dispatch(reshape(routed.weights, [pairs, 1]), { ...routing, rows: pairs, k: 1 }),
  );
  const results = parts.map((part, expert) =>
    graph.scope(`experts.${expert}`, () =>
      swigluLayer(part, weights, `mlp.experts.${expert}`, rowWeights[expert]),
    ),
  );
  const mixed = graph.scope("mix", () => combine(results, routing));
  const shared = graph.scope("shared", () => swigluLayer(x, weights, "mlp.shared_experts"));
  const out = graph.scope("mix", () => add(shared, reshape(mixed, x.shape, x)));
  return { ...routed, out, load: routing.counts };
}
