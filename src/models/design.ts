/** The interfaces of a design (how an architecture computes) and of a model, as sampling and training use it. */
import type { z } from "zod";
import type { Tensor } from "../graph/tensor.ts";
import type { CachedStep, CacheMasks } from "./cache.ts";
import type { Fields, TokenIds } from "./checks.ts";
import type { GgufFormat } from "./gguf.ts";
import type { ParameterSpec, Parameters, Weights } from "./layers.ts";
import type { RotarySettings, RotaryTables } from "./rope.ts";

/** What the trunk reads of a config. */
export interface TrunkConfig {
  vocabSize: number;
  layers: number;
  hiddenSize: number;
  heads: number;
  normEps: number;
  tieEmbeddings: boolean;
  /** MTP modules: 0 or 1. */
  mtpLayers?: number;
}

/** One tensor of the KV cache, [rows, heads, capacity, width]. */
export interface CacheLayer {
  /** Unique, such as `keys.3`: the name of the graphs' inputs and outputs. */
  name: string;
  heads: number;
  width: number;
}

/** What attention reads beside its input. */
export interface AttentionContext {
  tables: RotaryTables;
  /** [batch, seq] i32. */
  positions: Tensor;
  /** For sequences from their beginning a mask [.., seq, seq]; for new tokens the layer's cache. */
  over: { mask: Tensor } | { cache: readonly Tensor[]; masks: CacheMasks };
}

/** What a layer with experts did. */
export interface Routing {
  /** The experts that each token chose, [batch · seq, active] i64, best first. */
  choices: Tensor;
  /** Tokens of each expert, [experts] i64. */
  load: Tensor;
  /** The sequence-wise balance loss without its factor, where it was asked for. */
  balance?: Tensor;
}

/** What the layer of this number did. */
export interface LayerRouting extends Routing {
  layer: number;
  /** The parameter that balances the experts, [experts]. */
  bias: string;
}

/** The parts in which designs differ, for one config. Names of parameters and cache layers are those inside a block. */
export interface Design {
  config: TrunkConfig;
  attentionParameters: ParameterSpec[];
  feedForwardParameters(layer: number): ParameterSpec[];
  /** What the cache holds of each block. */
  cacheLayers: CacheLayer[];
  rotary: RotarySettings;
  /** x [batch, seq, hiddenSize] -> the same, and what the cache stores, [batch, heads, seq, width] each. */
  attention(x: Tensor, weights: Weights, context: AttentionContext): { out: Tensor; cache: Tensor[] };
  /** x [batch, seq, hiddenSize] -> the same. */
  feedForward(
    x: Tensor,
    weights: Weights,
    options: ForwardOptions & { layer: number },
  ): { out: Tensor; routing?: Routing };
}

/** What the program knows of a family of models: how its configs are read and written, and what they compute. */
export interface Architecture<Config extends TrunkConfig, Shape> {
  /** What a recipe says of a new model. */
  shape: z.ZodType<Shape>;
  /** The config of such a shape: fills what follows from its other fields. */
  complete(shape: Shape & { vocabSize: number }): Config;
  design(config: Config): Design;
  /** What pretraining and SFT minimise, where it is not the cross-entropy alone. */
  loss?(config: Config): DesignLoss | null;
  /** Values of `model_type` in a `config.json` that are read; the first one is written. */
  modelTypes: readonly string[];
  /** Name of the class in transformers. */
  className: string;
  /** The family in llama.cpp's files. */
  gguf: GgufFormat;
  /** @throws UserError naming the first impossible field and what would work */
  check(config: Config): Config;
  /** @throws UserError for a variant that would compute something else, or an impossible shape */
  fromHuggingFace(fields: Fields): Config;
  /** All but `model_type` and `architectures`. */
  toHuggingFace(config: Config, ids: TokenIds): Record<string, unknown>;
}

/** What a forward pass over sequences reads. */
export interface ForwardInputs {
  /** Token ids, [batch, seq] i32. */
  ids: Tensor;
  /** Positions, [batch, seq] i32, below `maxPositions`. */
  positions: Tensor;
  /** 0 where a query may look and `MASKED` where not; broadcasts to [batch, heads, seq, seq]. */
  mask: Tensor;
}

/** What a forward pass computes beside or instead of the usual. */
export interface ForwardOptions {
  /** Compute each block again in the backward pass instead of keeping its activations; then `cache` is empty. */
  recompute?: boolean;
  /** What the head reads of the hidden states [batch, seq, hiddenSize], where not all of them. */
  wanted?: (hidden: Tensor) => Tensor;
  /** Trace the balance loss of each layer with experts; sizes must be fixed. */
  balance?: boolean;
  /** Where rows end in padding: 1 for a token and 0 for padding, [batch, seq] f32. */
  fed?: Tensor;
}

/** What a forward pass gives. */
export interface ForwardResult {
  /** [batch, seq, vocab], or of what is wanted. */
  logits: Tensor;
  /** After the final norm, [batch, seq, hiddenSize]. */
  hidden: Tensor;
  /** What a cache stores, [batch, heads, seq, width] for each cache layer. */
  cache: Tensor[];
  routing: LayerRouting[];
}

/** What a pass over a cache gives. */
export interface Decoded {
  /** Of the newest token of each row, [batch, vocab]; of a chunk's chosen tokens, [wanted · batch, vocab] (token by token). */
  logits: Tensor;
  /** After the final norm, [batch, seq, hiddenSize]. */
  hidden: Tensor;
  /** What the cache stores of the new tokens: [batch, heads, seq, width] for each cache layer. */
  newCache: Tensor[];
}

/** A model of one design and size, whose parameters a graph brings. */
export interface Model {
  /** What the logits depend on. */
  parameters: ParameterSpec[];
  cacheLayers: CacheLayer[];
  rotary: RotarySettings;
  /** Multi-token prediction, where the model has it: pretraining reads it, and speculative decoding as its draft. */
  mtp: MtpModule | null;
  /** What pretraining and SFT minimise; `null`: the cross-entropy alone. */
  loss: DesignLoss | null;
  /** Sequences from their beginning. */
  forward(parameters: Parameters, inputs: ForwardInputs, options?: ForwardOptions): ForwardResult;
  /** New tokens over a cache: one a row, or a chunk. */
  decode(parameters: Parameters, step: CachedStep): Decoded;
}

/** As `Model`, where `ids` are the tokens t_{i+1} that follow those of `hidden`, h_i; logits are of t_{i+2}. */
export interface MtpModule {
  /** What the module has beside the model's own parameters. */
  parameters: ParameterSpec[];
  /** What the module's own attention caches. */
  cacheLayers: CacheLayer[];
  /** See `Model.forward`. `inputs.hidden` is [batch, seq, hiddenSize]. */
  forward(
    parameters: Parameters,
    inputs: ForwardInputs & { hidden: Tensor },
    options?: ForwardOptions,
  ): ForwardResult;
  /** See `Model.decode`. `step.hidden` is [batch, seq, hiddenSize]. */
  decode(parameters: Parameters, step: CachedStep & { hidden: Tensor }): Decoded;
}

/** A traced loss with what is measured beside it. */
export interface LossGraph {
  /** A scalar whose gradient is taken. */
  loss: Tensor;
  /** Scalars to be reported, such as sums over the batch, and vectors: the tokens of each expert. */
  measurements: Record<string, Tensor>;
  /** Tokens of each expert, [experts] f32, by the name of the router's bias that balances them. */
  loads?: ReadonlyMap<string, Tensor>;
}

/** The rows that a loss is of. */
export interface LossBatch {
  inputs: ForwardInputs;
  /** Next tokens, [batch, seq] i32. */
  targets: Tensor;
  /** The mask and the one denominator of an update, [batch, seq] f32. */
  weights: Tensor;
  options: Pick<ForwardOptions, "recompute" | "fed">;
  /** One more input of the graph, [batch, seq]. */
  perToken(name: string, dtype: "i32" | "f32"): Tensor;
}

/** Factors of the terms beside the cross-entropy. */
export interface LossFactors {
  /** α of the sequence-wise balance loss; 1e-4 in the paper of DeepSeek-V3, 0 for none. */
  balanceFactor: number;
  /** λ of the MTP loss; 0.3, later 0.1 in the paper (section 4.2), 0 for none. */
  mtpFactor: number;
}

/** Traces the loss of a design whose loss has more terms than the cross-entropy. */
export type DesignLoss = (
  model: Model,
  parameters: Parameters,
  batch: LossBatch,
  factors: LossFactors,
) => LossGraph;
