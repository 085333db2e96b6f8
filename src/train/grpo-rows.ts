/** From rewarded completions to the rows that an update is computed from: all that a token carries into the loss. */
import type { Value } from "../runtime/value.ts";
import type { Scorer } from "../sample/scorer.ts";
import { aggregations, importanceWeights } from "./advantages.ts";
import { measureCut } from "./grpo-metrics.ts";
import type { Meter } from "./meter.ts";
import {
  fedTokens,
  forEachCompletion,
  microBatches,
  miniBatchesOf,
  sequenceFeeds,
  type TrainingRow,
} from "./microbatch.ts";
import type { GrpoOptions } from "./options.ts";
import type { Group, Sample } from "./rollout.ts";

/** A group with the advantage of each sample. */
export interface RewardedGroup {
  group: Group;
  advantages: number[];
}

type Weights = ReadonlyMap<string, Value>;

/** What scores completions, and whose log-probabilities are needed. */
export interface Scoring {
  scorer: Scorer;
  reference: Weights | null;
  policy: Weights;
  maxPositions: number;
}

export const hasAdvantage = ({ advantages }: TrainingRow): boolean =>
  advantages.some((advantage) => advantage !== 0);

/** A value for each id that the model sampled, in order, and another for each of an environment's replies. */
export function onOwn({ mask }: Sample, value: (own: number) => number, reply: number): number[] {
  let own = 0;
  return mask.map((sampled) => (sampled === 1 ? value(own++) : reply));
}

/**
 * Mini-batches of training rows: the completions that count, with their advantages and weights token by token. All tokens
 * that the model sampled have their conversation's advantage; those of an environment's replies have weight 0.
 * @param scoring `null` where neither a KL term nor importance sampling needs other log-probabilities than the sampler's
 */
export async function trainingBatches(
  groups: readonly RewardedGroup[],
  options: GrpoOptions,
  scoring: Scoring | null,
  meter: Meter,
): Promise<TrainingRow[][]> {
  const masked = ({ finish }: Sample) => options.overlong?.mode === "mask" && finish === "length";
  const samples = groups
    .flatMap(({ group, advantages }) =>
      group.samples.map((sample, i) => ({ ...sample, advantages: onOwn(sample, () => advantages[i], 0) })),
    )
    .filter((sample) => sample.reward !== null && !masked(sample));
  const corrected = scoring === null ? null : await corrections(samples, options, scoring, meter);
  return miniBatchesOf(samples, options.miniBatches).map((batch) => {
    const lengths = batch.map(({ tokens }) => tokens);
    const constant = options.aggregationLength ?? options.maxNewTokens;
    const weights = aggregations[options.aggregation](lengths, constant);
    return batch.map((sample, i) => {
      const { prompt, ids, logProbs, advantages } = sample;
      return {
        ...{ prompt, ids, advantages, sampled: logProbs, weights: onOwn(sample, () => weights[i], 0) },
        ...{ old: logProbs, reference: null, importance: ids.map(() => 1) },
        ...corrected?.get(sample),
      };
    });
  });
}

/** Before the first update: log-probabilities of the reference, and the trainer's own with importance weights. */
async function corrections(
  samples: readonly Sample[],
  options: GrpoOptions,
  { scorer, reference, policy, maxPositions }: Scoring,
  meter: Meter,
): Promise<ReadonlyMap<Sample, Partial<TrainingRow>>> {
  const { importance, temperature } = options;
  const found = new Map<Sample, Partial<TrainingRow>>();
  const cuts: { length: number; cut: number }[] = [];
  for (const micro of microBatches(samples, options, maxPositions)) {
    const feeds = sequenceFeeds(micro);
    const score = async (
      parameters: Weights,
      use: (logProbs: number[], sample: Sample) => Partial<TrainingRow>,
    ): Promise<void> => {
      const values = await scorer.score(parameters, feeds, temperature, fedTokens(micro));
      forEachCompletion(micro, (sample, start) => {
        const logProbs = Array.from(values.subarray(start, start + sample.ids.length));
        found.set(sample, { ...found.get(sample), ...use(logProbs, sample) });
      });
    };
    if (reference !== null) await score(reference, (logProbs) => ({ reference: logProbs }));
    if (importance !== undefined)
      await score(policy, (old, sample) => {
        const own = (values: readonly number[]) => values.filter((_, i) => sample.mask[i] === 1);
        const { level, cap } = importance;
        const { weights, cut } = importanceWeights(own(old), own(sample.logProbs), level, cap);
        cuts.push({ length: weights.length, cut });
        return { old, importance: onOwn(sample, (i) => weights[i], 1) };
      });
  }
  measureCut(meter, cuts);
  return found;
}
