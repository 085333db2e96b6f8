/** What a GRPO stage is told: its sampling, its rewards, the objective's slots, and how an update is made. */
import type { AdvantageName, AggregationName, Clip, RatioName } from "./grpo-loss.ts";
import type { ImportanceLevel } from "./importance.ts";
import type { AdapterOptions } from "./policy.ts";
import type { RewardOptions } from "./rollout.ts";
import type { Schedule } from "./schedule.ts";
import type { OptimizerOptions } from "./step.ts";

export interface GrpoOptions {
  seed: number;
  steps: number;
  problemsPerStep: number;
  groupSize: number;
  maxNewTokens: number;
  temperature: number;
  topP?: number;
  topK?: number;
  rewards: RewardOptions;
  advantage: AdvantageName;
  ratio: RatioName;
  aggregation: AggregationName;
  /** The divisor of the aggregation "constant". */
  aggregationLength: number;
  clip: Clip;
  kl: number;
  /** Steps after which the policy becomes its own reference; 0 never. */
  referenceEvery: number;
  epochs: number;
  miniBatches: number;
  /** Rounds of drawing further problems until the step is full of informative groups; 0: groups that can't teach are dropped. */
  dynamicRounds: number;
  /** Truncated completions leave the loss. */
  maskTruncated: boolean;
  importance: { level: ImportanceLevel; cap: number } | null;
  /** Rows that the sampler decodes together, at most. */
  maxBatch?: number;
  /** Compute each block's activations again in the backward pass. */
  recompute?: boolean;
  /** Padded tokens of a micro-batch: large enough for full products, small enough for the memory. */
  microBatchTokens: number;
  /** Answers to one prompt share a row that holds the prompt once. */
  sharePrompt: boolean;
  optimizer: OptimizerOptions;
  schedule: Schedule;
  /** Train an adapter and leave the model's own weights at rest. */
  lora: AdapterOptions | null;
  threads?: number;
}
