/** The JSON requests of Tinker's protocol (tinker 0.38), as far as this server reads them; other fields are let pass. */
import { z } from "zod";

const id = z.string().min(1).max(200);
const whole = z.int().nonnegative();

/** Each request of a model has the next number; one that is sent again has the same. */
const numbered = { model_id: id, seq_id: whole };

export const createSession = z.looseObject({ user_metadata: z.record(z.string(), z.unknown()).nullish() });
export const heartbeat = z.looseObject({ session_id: id });

const optimizerConfig = z.looseObject({ type: z.string() }).nullish();

export const createModel = z.looseObject({
  session_id: id,
  model_seq_id: whole,
  base_model: z.string(),
  lora_config: z
    .looseObject({
      rank: z.int().min(1).max(4096),
      seed: whole.nullish(),
      train_unembed: z.boolean().default(true),
      train_mlp: z.boolean().default(true),
      train_attn: z.boolean().default(true),
    })
    .nullish(),
  optimizer_config: optimizerConfig,
  user_metadata: z.record(z.string(), z.unknown()).nullish(),
});

export const ofModel = z.looseObject({ model_id: id });
export const ofFuture = z.looseObject({ request_id: id });

const share = z.number().min(0).lt(1);
export const optimStep = z.looseObject({
  ...numbered,
  adam_params: z
    .looseObject({
      learning_rate: z.number().nonnegative().default(1e-4),
      beta1: share.default(0.9),
      beta2: share.default(0.95),
      eps: z.number().positive().default(1e-12),
      weight_decay: z.number().nonnegative().default(0),
      grad_clip_norm: z.number().default(0),
    })
    .optional(),
  optimizer_params: optimizerConfig,
});

export const saveWeights = z.looseObject({
  ...numbered,
  path: z.string().nullish(),
  overwrite: z.boolean().default(false),
  user_metadata: z.record(z.string(), z.string()).nullish(),
});

export const saveForSampler = saveWeights.extend({
  sampling_session_seq_id: whole.nullish(),
  kind: z.enum(["snapshot", "inflight"]).default("snapshot"),
});

/** A new model from a checkpoint (`session_id`), or weights for one that is there (`model_id`). */
export const loadWeights = z.looseObject({
  model_id: id.nullish(),
  seq_id: whole.nullish(),
  session_id: id.nullish(),
  model_seq_id: whole.nullish(),
  base_model: z.string().nullish(),
  path: z.string(),
  optimizer: z.boolean(),
  optimizer_config: optimizerConfig,
});

export const createSampler = z.looseObject({
  session_id: id,
  sampling_session_seq_id: whole,
  base_model: z.string().nullish(),
  model_path: z.string().nullish(),
});

export const weightsInfo = z.looseObject({ tinker_path: z.string() });

const chunk = z.looseObject({
  type: z.string().default("encoded_text"),
  tokens: z.array(z.int()).optional(),
});

export const sample = z.looseObject({
  sampling_session_id: id,
  seq_id: whole,
  num_samples: z.int().min(1).max(1024).default(1),
  prompt: z.looseObject({ chunks: z.array(chunk) }),
  sampling_params: z.looseObject({
    max_tokens: z.int().min(1).nullish(),
    seed: z.number().nullish(),
    stop: z.union([z.string(), z.array(z.string()), z.array(z.int())]).nullish(),
    temperature: z.number().min(0).default(1),
    top_k: z.int().default(-1),
    top_p: z.number().min(0).max(1).default(1),
  }),
  prompt_logprobs: z.boolean().nullish(),
  prompt_logprobs_last_n: z.int().min(1).nullish(),
  topk_prompt_logprobs: whole.default(0),
  topk_sample_logprobs: whole.default(0),
  target_prompt_logprobs: z.unknown().optional(),
  prompt_alt_tokens_k: whole.default(0),
  record_stability_info: z.boolean().nullish(),
});

export type CreateModel = z.output<typeof createModel>;
export type OptimStep = z.output<typeof optimStep>;
export type SaveWeights = z.output<typeof saveWeights>;
export type SaveForSampler = z.output<typeof saveForSampler>;
export type LoadWeights = z.output<typeof loadWeights>;
export type CreateSampler = z.output<typeof createSampler>;
export type Sample = z.output<typeof sample>;
