/** The table of architectures: what sampling and training need of a model, whatever its design. */
import type { Tensor } from "../graph/tensor.ts";
import { checkDecoderConfig, type DecoderConfig } from "./config.ts";
import {
  type Chunk,
  cachedDecoder,
  type DecoderInputs,
  decoder,
  decoderParameters,
  type WholeOptions,
} from "./dense.ts";
import type { ParameterSpec, Parameters } from "./layers.ts";
import { type LayerRouting, v3CachedDecoder, v3Decoder } from "./v3.ts";
import { checkV3Config, type V3Config } from "./v3-config.ts";
import { v3Parameters } from "./v3-parameters.ts";

export type ModelConfig = DecoderConfig | V3Config;

export const isV3 = (config: ModelConfig): config is V3Config =>
  "architecture" in config && config.architecture === "deepseek_v3";

/** @throws ConfigError naming the first impossible field and what would work. */
export const checkConfig = (config: ModelConfig): ModelConfig =>
  isV3(config) ? checkV3Config(config) : checkDecoderConfig(config);

/** Everything that training may read and a checkpoint holds. */
export function allParameters(config: ModelConfig): ParameterSpec[] {
  const { parameters, further } = designOf(config);
  return [...parameters, ...further];
}

/**
 * The config of what is really stored: transformers keeps `num_nextn_predict_layers` in V3's config and leaves the
 * module itself out.
 */
export function storedConfig(config: ModelConfig, stored: ReadonlySet<string>): ModelConfig {
  const whole = !isV3(config) || stored.has(`model.layers.${config.layers}.eh_proj.weight`);
  return whole ? config : { ...config, mtpLayers: 0 };
}

/** One array of the cache, [rows, heads, window, width]. */
export interface CachePlane {
  /** Unique, such as `keys.3`: the name of the graphs' inputs and outputs. */
  name: string;
  heads: number;
  width: number;
}

export interface CachedStep {
  /** The newest token of each row, [batch, 1] i32, and its position. */
  ids: Tensor;
  positions: Tensor;
  /** 0 for a slot of the cache that the row has filled and `MASKED` for others, [batch, 1, 1, past]. */
  mask: Tensor;
  /** A tensor [batch, heads, past, width] for each plane. */
  cache: readonly Tensor[];
  /** Where `ids` and `positions` have several tokens a row, [batch, seq]: how these see each other. */
  chunk?: Chunk;
}

export interface Design {
  /** Whether `cached` takes chunks, so that one graph reads prompts and decodes. */
  chunks: boolean;
  /** What the logits depend on. */
  parameters: ParameterSpec[];
  /** What pretraining alone reads: modules that predict further tokens. */
  further: ParameterSpec[];
  planes: CachePlane[];
  /**
   * Whole sequences: logits [batch, seq, vocab] (or of what is wanted), [batch, heads, seq, width] for each plane, and
   * what each routed layer chose.
   */
  whole(
    parameters: Parameters,
    inputs: DecoderInputs,
    options?: WholeOptions,
  ): { logits: Tensor; cache: Tensor[]; routing: readonly LayerRouting[] };
  /** One token a row over the cache: logits [batch, vocab], and [batch, heads, 1, width] for each plane. */
  cached(parameters: Parameters, step: CachedStep): { logits: Tensor; fresh: Tensor[] };
}

export function designOf(config: ModelConfig): Design {
  return isV3(config) ? v3(config) : dense(config);
}

const perLayer = (layers: number, planes: readonly CachePlane[]): CachePlane[] =>
  Array.from({ length: layers }, (_, layer) =>
    planes.map((plane) => ({ ...plane, name: `${plane.name}.${layer}` })),
  ).flat();

function dense(config: DecoderConfig): Design {
  const { layers, kvHeads: heads, headDim: width } = config;
  return {
    chunks: true,
    parameters: decoderParameters(config),
    further: [],
    planes: perLayer(layers, [
      { name: "keys", heads, width },
      { name: "values", heads, width },
    ]),
    whole(parameters, inputs, options) {
      const { logits, cache } = decoder(parameters, config, inputs, options);
      return { logits, cache: cache.flatMap(({ keys, values }) => [keys, values]), routing: [] };
    },
    cached(parameters, step) {
      const pairs = Array.from({ length: layers }, (_, layer) => ({
        keys: step.cache[2 * layer],
        values: step.cache[2 * layer + 1],
      }));
      const { logits, fresh } = cachedDecoder(parameters, config, { ...step, cache: pairs });
      return { logits, fresh: fresh.flatMap(({ keys, values }) => [keys, values]) };
    },
  };
}

function v3(config: V3Config): Design {
  const parameters = v3Parameters(config, { withoutMtp: true });
  const trunk = new Set(parameters.map(({ name }) => name));
  return {
    chunks: false,
    parameters,
    further: v3Parameters(config).filter(({ name }) => !trunk.has(name)),
    planes: perLayer(config.layers, [
      { name: "latent", heads: 1, width: config.kvLoraRank + config.ropeDim },
    ]),
    whole: (traced, inputs, options) => v3Decoder(traced, config, inputs, options),
    cached: (traced, step) => v3CachedDecoder(traced, config, step),
  };
}
