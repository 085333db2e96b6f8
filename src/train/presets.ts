/**
 * `preset: dapo` in a GRPO stage fills the objective as the paper does. Whatever the recipe says itself wins. Task and
 * size (rewards, groups, learning rate, limits) are left to the recipe.
 */
import { keyOf } from "../lib/schema.ts";

/** What every preset sets and a recipe without one has to say. */
export const presetKeys: readonly string[] = ["advantage", "ratio", "aggregation", "clip", "kl"];

type Options = Record<string, unknown>;

/** A function of the limit on new tokens, because DAPO's overlong buffer is a fraction of it. */
const presets = {
  /**
   * DeepSeekMath (arXiv 2402.03300), section 4.1: KL 0.04, one update per exploration, at which the clip
   * range never acts; the paper does not state it, and 0.2 is PPO's (1707.06347).
   */
  grpo: () => ({
    advantage: "grpo",
    ratio: "token",
    aggregation: "sequence-mean",
    clip: { low: 0.2, high: 0.2 },
    kl: 0.04,
    epochs: 1,
    miniBatches: 1,
  }),

  /** Dr. GRPO (arXiv 2503.20783): no std, a constant in place of the length, no KL; PPO's clip range. */
  "dr-grpo": () => ({
    advantage: "dr-grpo",
    ratio: "token",
    aggregation: "constant",
    clip: { low: 0.2, high: 0.2 },
    kl: 0,
  }),

  /**
   * DAPO (arXiv 2503.14476): clip-higher 0.2 / 0.28, dynamic sampling,
   * token-level loss, a soft overlong penalty over the last fifth (4,096 of 20,480 tokens), no KL,
   * 16 updates per rollout. The paper resamples until the batch is full; `maxRounds` bounds that.
   */
  dapo: (maxNewTokens: number) => ({
    advantage: "grpo",
    ratio: "token",
    aggregation: "token-mean",
    clip: { low: 0.2, high: 0.28 },
    kl: 0,
    miniBatches: 16,
    dynamicSampling: { maxRounds: 10 },
    overlong: { mode: "soft", buffer: Math.max(1, Math.floor(maxNewTokens / 5)) },
  }),

  /**
   * RLOO (arXiv 2402.14740): leave-one-out baseline, on-policy, the completion as one
   * action, so its log-probabilities are summed: dividing by a constant only scales the rate.
   * The paper's KL sits in the reward with a coefficient per data set; here it is off unless given.
   */
  rloo: () => ({
    advantage: "rloo",
    ratio: "token",
    aggregation: "constant",
    clip: { low: 0.2, high: 0.2 },
    kl: 0,
    epochs: 1,
    miniBatches: 1,
  }),

  /** GSPO (arXiv 2507.18071): one length-normalised ratio a completion, ranges 3e-4 and 4e-4, four mini-batches. */
  gspo: () => ({
    advantage: "grpo",
    ratio: "sequence",
    aggregation: "sequence-mean",
    clip: { low: 3e-4, high: 4e-4 },
    kl: 0,
    miniBatches: 4,
  }),
} satisfies Record<string, (maxNewTokens: number) => Options>;

export const presetSchema = keyOf(presets);
export const presetNames = presetSchema.options;

export const isObject = (value: unknown): value is Options =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Values of `over` win; `clip: { high: 0.3 }` keeps the preset's `low`. */
function overlay(base: Options, over: Options): Options {
  const result: Options = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = result[key];
    // A soft overlong penalty has a buffer and a mask has none: another mode replaces all of it.
    const merge = isObject(below) && isObject(value) && (value.mode ?? below.mode) === below.mode;
    result[key] = merge ? overlay(below, value) : value;
  }
  return result;
}

/** A recipe's stage, its preset filled in. What it does not understand it leaves to the schema. */
export function expandPreset(stage: unknown): unknown {
  if (!isObject(stage) || stage.kind !== "grpo") return stage;
  const name = presetNames.find((preset) => preset === stage.preset);
  if (name === undefined) return stage;
  const limit = typeof stage.maxNewTokens === "number" ? stage.maxNewTokens : 1;
  return overlay(presets[name](limit), stage);
}
