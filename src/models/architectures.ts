/** The table of architectures: what sampling and training need of a model, whatever its design. */
import type { Tensor } from "../graph/tensor.ts";
import type { CachedStep } from "./cache.ts";
import { checkDecoderConfig, type DecoderConfig } from "./config.ts";
import { cachedDecoder, type DecoderInputs, decoder, decoderParameters, type WholeOptions } from "./dense.ts";
import type { ParameterSpec, Parameters } from "./layers.ts";
import { type LayerRouting, v3CachedDecoder, v3Decoder } from "./v3.ts";
import { checkV3Config, type V3Config } from "./v3-config.ts";
import { mtpDecode } from "./v3-mtp.ts";
import { v3Parameters } from "./v3-parameters.ts";

export type ModelConfig = DecoderConfig | V3Config;

export const isV3 = (config: ModelConfig): config is V3Config =>
  "architecture" in config && config.architecture === "deepseek_v3";

/** @throws ConfigError naming the first impossible field and what would work. */
export const checkConfig = (config: ModelConfig): ModelConfig =>
  isV3(config) ? checkV3Config(config) : checkDecoderConfig(config);

/** Everything that training may read and a checkpoint holds. */
export function allParameters(config: ModelConfig): ParameterSpec[] {
  const { parameters, mtp } = modelOf(config);
  return [...parameters, ...(mtp?.parameters ?? [])];
}

/**
 * The config of what is really stored: transformers keeps `num_nextn_predict_layers` in V3's config and leaves the
 * module itself out.
 */
export function storedConfig(config: ModelConfig, stored: ReadonlySet<string>): ModelConfig {
  const whole = !isV3(config) || stored.has(`model.layers.${config.layers}.eh_proj.weight`);
  return whole ? config : { ...config, mtpLayers: 0 };
}

/** One tensor of the KV cache, [rows, heads, slots, width]. */
export interface CacheLayer {
  /** Unique, such as `keys.3`: the name of the graphs' inputs and outputs. */
  name: string;
  heads: number;
  width: number;
}

/** What a step over the cache gives. */
export interface Decoded {
  /** Of the newest token of each row, [batch, vocab]; of a chunk's chosen tokens, [wanted · batch, vocab] (token by token). */
  logits: Tensor;
  /** After the final norm, [batch, seq, hiddenSize]. */
  hidden: Tensor;
  /** What the cache stores of the new tokens: [batch, heads, seq, width] for each cache layer. */
  fresh: Tensor[];
}

export interface Model {
  /** What the logits depend on. */
  parameters: ParameterSpec[];
  cacheLayers: CacheLayer[];
  /** Multi-token prediction, where the model has it: read by pretraining, and by speculative decoding as its draft. */
  mtp: MtpModule | null;
  /**
   * Sequences from their beginning: logits [batch, seq, vocab] (or of what is wanted), [batch, heads, seq, width] for each
   * cache layer, and what each routed layer chose.
   */
  forward(
    parameters: Parameters,
    inputs: DecoderInputs,
    options?: WholeOptions,
  ): { logits: Tensor; cache: Tensor[]; routing: readonly LayerRouting[] };
  /** New tokens over a cache: one a row, or a chunk. */
  decode(parameters: Parameters, step: CachedStep): Decoded;
}

export interface MtpModule {
  /** What the module has beside the model's own parameters. */
  parameters: ParameterSpec[];
  /** What the module's own attention caches. */
  cacheLayers: CacheLayer[];
  /** As `Model.decode`, where `ids` are the tokens that follow those of `hidden`; logits of the token after these. */
  decode(parameters: Parameters, step: CachedStep & { hidden: Tensor }): Decoded;
}

export function modelOf(config: ModelConfig): Model {
  return isV3(config) ? v3(config) : dense(config);
}

const perLayer = (layers: readonly number[], planes: readonly CacheLayer[]): CacheLayer[] =>
  layers.flatMap((layer) => planes.map((plane) => ({ ...plane, name: `${plane.name}.${layer}` })));

const counted = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

function dense(config: DecoderConfig): Model {
  const { layers, kvHeads: heads, headDim: width } = config;
  return {
    parameters: decoderParameters(config),
    cacheLayers: perLayer(counted(layers), [
      { name: "keys", heads, width },
      { name: "values", heads, width },
    ]),
    mtp: null,
    forward(parameters, inputs, options) {
      const { logits, cache } = decoder(parameters, config, inputs, options);
      return { logits, cache: cache.flatMap(({ keys, values }) => [keys, values]), routing: [] };
    },
    decode: (parameters, step) => cachedDecoder(parameters, config, step),
  };
}

function v3(config: V3Config): Model {
  const parameters = v3Parameters(config, { withoutMtp: true });
  const trunk = new Set(parameters.map(({ name }) => name));
  const latents = (layers: readonly number[]) =>
    perLayer(layers, [{ name: "latent", heads: 1, width: config.kvLoraRank + config.ropeDim }]);
  return {
    parameters,
    cacheLayers: latents(counted(config.layers)),
    mtp:
      config.mtpLayers === 0
        ? null
        : {
            parameters: v3Parameters(config).filter(({ name }) => !trunk.has(name)),
            cacheLayers: latents([config.layers]),
            decode: (traced, step) => mtpDecode(traced, config, step),
          },
    forward: (traced, inputs, options) => v3Decoder(traced, config, inputs, options),
    decode: (traced, step) => v3CachedDecoder(traced, config, step),
  };
}
