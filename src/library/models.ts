/**
 * `sputnik-r1/models`: model files in Hugging Face's layout or GGUF, the architectures that compute them, LoRA, tokenizers
 * and chat templates, and sampling.
 * @module sputnik-r1/models
 */
export {
  type LoadedModel,
  type LoadedShape,
  type Model as StoredModel,
  type ModelShape as ShapeOfModel,
  saveModel,
} from "../checkpoint/folder.ts";
export { openModelFiles, readShape } from "../checkpoint/model.ts";
export type { Precision } from "../checkpoint/quantise.ts";
export type { Parameter } from "../checkpoint/safetensors.ts";
export type { StoredType } from "../checkpoint/shards.ts";
export {
  allParameters,
  checkConfig,
  configOf,
  fromHuggingFace,
  type ModelConfig,
  type ModelShape,
  modelOf,
  toHuggingFace,
} from "../models/architectures.ts";
export type { CachedStep } from "../models/cache.ts";
export type { TokenIds } from "../models/checks.ts";
export type { DecoderConfig, DenseShape } from "../models/config.ts";
export { type SequenceShape, sequenceInputs } from "../models/decoder.ts";
export type {
  CacheLayer,
  Decoded,
  ForwardInputs,
  ForwardOptions,
  ForwardResult,
  LayerRouting,
  Model,
  MtpModule,
} from "../models/design.ts";
export {
  countParameters,
  initialise,
  type ParameterRole,
  type ParameterSpec,
  type Parameters,
  parameter,
  parameterInputs,
} from "../models/layers.ts";
export { adapted, adapterSpecs, type LoraOptions } from "../models/lora.ts";
export { causalMask, documentMask } from "../models/masks.ts";
export type { V3Config, V3Shape } from "../models/v3-config.ts";
export { type FoundModel, findModel, SHIPPED } from "../run/find-model.ts";
export {
  type InferenceModel,
  type InferenceOptions,
  type InferenceSession,
  openForInference,
} from "../sample/inference.ts";
export type {
  Generate,
  GenerateOptions,
  Generation,
  GenerationRequest,
  GenerationResult,
} from "../sample/requests.ts";
export type { Sampling } from "../sample/sampling.ts";
export type { TokenizerFiles } from "../tokenizer/bpe.ts";
export {
  type Chat,
  type ChatMessage,
  type ChatOptions,
  chatOf,
  encodeChat,
  renderChat,
} from "../tokenizer/chat.ts";
export { tokenizerFrom } from "../tokenizer/load.ts";
export { TextStream } from "../tokenizer/stream.ts";
export type { EncodeOptions, Tokenizer, TokenStream } from "../tokenizer/tokenizer.ts";
export { type TrainOptions as BpeOptions, trainBpe } from "../tokenizer/train.ts";
