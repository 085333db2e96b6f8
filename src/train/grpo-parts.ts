/** What a GRPO stage computes with: the policy and its loss, the sampler, the scorer, and the frozen reference policy. */
import { modelOf } from "../models/architectures.ts";
import type { Value } from "../runtime/value.ts";
import { Sampler } from "../sample/sampler.ts";
import { Scorer } from "../sample/scorer.ts";
import type { Task } from "../tasks/problem.ts";
import { grpoLoss } from "./grpo-loss.ts";
import type { GrpoOptions } from "./options.ts";
import { copyParameters, Policy } from "./policy.ts";
import { rewardsOf, type WeightedReward } from "./rewards.ts";
import { type Model, type StageContext, type StageSnapshot, tensorsUnder } from "./stage.ts";

/** What a stage is made of. */
export interface GrpoParts {
  model: Model;
  task: Task;
  options: GrpoOptions;
  seed: number;
  rewards: readonly WeightedReward[];
  policy: Policy;
  /** A frozen copy of the policy; `null` without a KL term. */
  reference: ReadonlyMap<string, Value> | null;
  sampler: Sampler;
  /** Where the reference's log-probabilities are needed, or the trainer's own before it moves. */
  scorer: Scorer | null;
}

/** The reference's names in a snapshot. */
export const REFERENCE = "reference.";

/** @throws UserError for a reward that the task does not have */
export async function createParts(
  model: Model,
  task: Task,
  options: GrpoOptions,
  context: StageContext,
  resume?: StageSnapshot,
): Promise<GrpoParts> {
  const { ratio, clip, kl, recompute, optimizer, lora } = options;
  const { seed, engine } = context;
  const rewards = rewardsOf(options, task);
  const start = resume ? tensorsUnder(resume.tensors, REFERENCE) : null;
  const reference = kl === 0 ? null : (start ?? copyParameters(model.parameters));
  const mask = options.sharedPrefix ? "each" : "shared";
  const trained = {
    specs: modelOf(model.config).parameters,
    loss: grpoLoss(model.config, { ratio, clip, kl, recompute, mask }),
  };
  const settings = { ...context, optimizer, lora, accumulate: true };
  const policy = await Policy.create(trained, model.parameters, settings, resume);
  const sampler = await Sampler.create(model.config, engine);
  const scored = kl > 0 || options.importance !== undefined;
  const scorer = scored ? await Scorer.create(model.config, engine, { mask }) : null;
  return { model, task, options, seed, rewards, policy, reference, sampler, scorer };
}
