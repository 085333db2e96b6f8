/** The table of architectures: what sampling and training need of a model, whatever its design. */
import { checkDecoderConfig, type DecoderConfig } from "./config.ts";
import { cacheLayersOf, decode, forward, trunkParameters } from "./decoder.ts";
import { dense } from "./dense.ts";
import type { Design, Model, TrunkConfig } from "./design.ts";
import type { ParameterSpec } from "./layers.ts";
import { mtpModule } from "./mtp.ts";
import { v3 } from "./v3.ts";
import { checkV3Config, type V3Config } from "./v3-config.ts";

export type { CacheLayer, LayerRouting, Model, MtpModule } from "./design.ts";

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

export function modelOf(config: ModelConfig): Model {
  return isV3(config) ? modelFrom(v3, config) : modelFrom(dense, config);
}

const modelFrom = <Config extends TrunkConfig>(design: Design<Config>, config: Config): Model => ({
  parameters: trunkParameters(design, config),
  cacheLayers: cacheLayersOf(
    design,
    config,
    Array.from({ length: config.layers }, (_, layer) => layer),
  ),
  mtp: mtpModule(design, config),
  forward: (parameters, inputs, options) => forward(design, config, parameters, inputs, options),
  decode: (parameters, step) => decode(design, config, parameters, step),
});
