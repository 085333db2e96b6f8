/**
 * Losses as formulas over single tokens: the log-probability of each target, and values that come with it. The loss of a
 * batch is the sum over its tokens. The names are those that Tinker's clients use; one more is one entry, or an object of
 * the same type that a caller brings.
 */
import { input } from "../graph/ops/source.ts";
import {
  add,
  cast,
  clip,
  detach,
  div,
  exp,
  greater,
  maximum,
  minimum,
  mul,
  neg,
  sub,
  sum,
  tokenLogProbs,
  where,
} from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import { sequenceInputs } from "../models/decoder.ts";
import { type Clip, LOG_RATIO_BOUND, ratios } from "./grpo-loss.ts";
import type { BuildLoss } from "./trace-step.ts";

/** What a loss is computed from. All tensors are [batch, seq]; a row is one datum, and 0 where that is padding. */
export interface LossTokens<Input extends string = string> {
  /** log π(target); gradients flow through it alone. */
  logProbs: Tensor;
  /** A token of the datum, not padding: bool. */
  present: Tensor;
  /** The datum's values by name. */
  inputs: Readonly<Record<Input, Tensor>>;
}

type Settings = Readonly<Record<string, number>>;

/** A loss and what it reads. */
export interface TokenLoss<Input extends string = string, S extends Settings = Settings> {
  /** Names of the values that each token of a datum brings beside its target. */
  inputs: readonly Input[];
  /** Numbers that a call may set, with their defaults. Each other value is another graph. */
  settings: S;
  /** The loss of each token, [batch, seq]; what it gives for padding is left out. */
  perToken(tokens: LossTokens<Input>, settings: S): Tensor;
}

/** The loss itself; its types follow from its inputs and settings. */
export const defineLoss = <Input extends string, S extends Settings>(
  loss: TokenLoss<Input, S>,
): TokenLoss<Input, S> => loss;

/** log π/π_sampler of the active tokens, bounded before it meets exp, and 0 elsewhere. */
const logRatio = (logProbs: Tensor, sampled: Tensor, active: Tensor): Tensor =>
  clip(where(active, sub(logProbs, sampled), 0), -LOG_RATIO_BOUND, LOG_RATIO_BOUND);

/** Log-probabilities by the sampler, and an advantage for each token: 0 in the prompt. */
const POLICY = ["sampled", "advantages"] as const;
/** Bounds of the ratio itself. */
const BOUNDS = { clipLow: 0.8, clipHigh: 1.2 };

/** The losses that have a name: those of Tinker's `forward_backward`, with the same inputs. */
export const losses = {
  /** -w log π: supervised training. */
  cross_entropy: defineLoss({
    inputs: ["weights"],
    settings: {},
    perToken: ({ logProbs, inputs: { weights } }) => neg(mul(weights, logProbs)),
  }),
  /** -ρA, which corrects for the sampler and clips nothing: the policy gradient where both are equal. */
  importance_sampling: defineLoss({
    inputs: POLICY,
    settings: {},
    perToken: ({ logProbs, present, inputs: { sampled, advantages } }) =>
      neg(mul(exp(logRatio(logProbs, sampled, present)), advantages)),
  }),
  /** -min(ρA, clip(ρ)A) (PPO, 1707.06347, eq. 7). */
  ppo: defineLoss({
    inputs: POLICY,
    settings: BOUNDS,
    perToken: ({ logProbs, present, inputs: { sampled, advantages: advantage } }, settings) => {
      const tokens = { logProbs, logRatio: logRatio(logProbs, sampled, present), advantage, active: present };
      return neg(ratios.token(tokens, distances(settings)).surrogate);
    },
  }),
  /**
   * The same with one ratio for a sequence, over its tokens whose `mask` is 1. Each token has the ratio's value and the
   * gradient of its own log-probability, so that advantages may differ by token (GSPO-token, 2507.18071, eq. 13 and 14).
   */
  gspo: defineLoss({
    inputs: [...POLICY, "mask"] as const,
    settings: BOUNDS,
    perToken: ({ logProbs, present, inputs: { sampled, advantages: advantage, mask } }, settings) => {
      const active = greater(mask, 0);
      const length = maximum(sum(cast(active, "f32"), [1], true), 1);
      const ofSequence = div(sum(logRatio(logProbs, sampled, active), [1], true), length);
      const ratio = add(detach(ofSequence), sub(logProbs, detach(logProbs)));
      const tokens = { logProbs, logRatio: ratio, advantage, active: present };
      return neg(ratios.token(tokens, distances(settings)).surrogate);
    },
  }),
  /** -sg[clip(ρ)] A log π: the weights are clipped, and no token is dropped (CISPO, 2506.13585, eq. 4 and 5). */
  cispo: defineLoss({
    inputs: POLICY,
    // One-sided, as in the paper and in Tinker: the lower bound is off.
    settings: { clipLow: 0, clipHigh: 4 },
    perToken: ({ logProbs, present, inputs: { sampled, advantages } }, { clipLow, clipHigh }) => {
      const ratio = detach(clip(exp(logRatio(logProbs, sampled, present)), clipLow, clipHigh));
      return neg(mul(mul(ratio, advantages), logProbs));
    },
  }),
  /** -(A log π - β/2 (log π - log π_sampler)²): off-policy without a ratio (DRO, Richemond et al. 2024, 2405.19107). */
  dro: defineLoss({
    inputs: POLICY,
    settings: { beta: 0.05 },
    perToken: ({ logProbs, inputs: { sampled, advantages } }, { beta }) => {
      const difference = sub(logProbs, sampled);
      return sub(mul(mul(difference, difference), beta / 2), mul(advantages, logProbs));
    },
  }),
  /**
   * -sg[min(ρ, 1)] A log π + κ/2 (log π - log π_sampler)² over the tokens whose `mask` is 1: no weight exceeds that of the
   * sampler's own token, and a quadratic pull to the sampler (κ, `klCoefficient`) bounds how far the policy drifts. Tinker
   * has a loss of this name, whose formula is not published; this one is ours.
   */
  stable_reinforce: defineLoss({
    inputs: [...POLICY, "mask"] as const,
    settings: { klCoefficient: 0 },
    perToken: ({ logProbs, inputs: { sampled, advantages, mask } }, { klCoefficient }) => {
      const active = greater(mask, 0);
      const weight = detach(minimum(exp(logRatio(logProbs, sampled, active)), 1));
      const difference = where(active, sub(logProbs, sampled), 0);
      const pull = mul(mul(difference, difference), klCoefficient / 2);
      return where(active, sub(pull, mul(mul(weight, advantages), logProbs)), 0);
    },
  }),
};

/** The name of a loss of `losses`. */
export type LossName = keyof typeof losses;

/** Bounds of a ratio as distances from 1. */
const distances = ({ clipLow, clipHigh }: typeof BOUNDS): Clip => ({ low: 1 - clipLow, high: clipHigh - 1 });

/** The graph's input of a datum's value, whose name may be that of another input, such as `mask`. */
export const inputOf = (value: string): string => `values/${value}`;

/** Names of a graph's measurements, [batch, seq]. */
export const PER_TOKEN = { logProbs: "token/logProbs", loss: "token/loss" } as const;

/** Traces the sum of a loss over the tokens of rows that begin at position 0, with each token's part in it. */
export function tokenLoss(config: ModelConfig, loss: TokenLoss, settings: Settings): BuildLoss {
  return (graph, parameters) => {
    const [batch, seq] = ["batch", "seq"];
    const perToken = (name: string): Tensor => input(graph, name, "f32", [batch, seq]);
    const inputs = sequenceInputs(graph, { batch, seq, mask: "shared" });
    const { logits } = modelOf(config).forward(parameters, inputs);
    return graph.scope("loss", () => {
      const present = greater(perToken("present"), 0);
      const { logProbs } = tokenLogProbs(logits, input(graph, "targets", "i32", [batch, seq]));
      const values = Object.fromEntries(loss.inputs.map((name) => [name, perToken(inputOf(name))]));
      const one = where(present, loss.perToken({ logProbs, present, inputs: values }, settings), 0);
      return { loss: sum(one), measurements: { [PER_TOKEN.logProbs]: logProbs, [PER_TOKEN.loss]: one } };
    });
  };
}
