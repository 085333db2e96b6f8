/** The table of architectures, and what is asked of a model of any of them. A new design is a file and a line here. */
import { configError, type Fields, type TokenIds } from "./checks.ts";
import { architectureOf } from "./config.ts";
import { cacheLayersOf, decode, forward, trunkLayers, trunkParameters } from "./decoder.ts";
import { llama, qwen2, qwen3 } from "./dense.ts";
import type { Architecture, Model } from "./design.ts";
import type { ParameterSpec } from "./layers.ts";
import { mtpModule } from "./mtp.ts";
import { deepseekV3 } from "./v3.ts";

export type { CacheLayer, LayerRouting, Model, MtpModule } from "./design.ts";

export const architectures = { llama, qwen2, qwen3, deepseek_v3: deepseekV3 };

type Registered = (typeof architectures)[keyof typeof architectures];
type ConfigOf<One> = One extends Architecture<infer Config, infer _> ? Config : never;
type ShapeOf<One> = One extends Architecture<infer _, infer Shape> ? Shape : never;

/** The complete config of a model of any architecture, as `config.json` has it. */
export type ModelConfig = ConfigOf<Registered>;
/** A shape as a recipe gives it. */
export type ModelShape = ShapeOf<Registered>;

const known: readonly Architecture<ModelConfig, ModelShape>[] = Object.values(architectures);

/** What a recipe may say of a new model: families of one shape have one schema. */
export const modelShapes = [...new Set(known.map(({ shape }) => shape))];

/** The record of a config's or a shape's architecture. */
const architectureFor = (config: ModelConfig | ModelShape): Architecture<ModelConfig, ModelShape> =>
  architectures[("architecture" in config && config.architecture) || architectureOf(config)];

/** The config of a shape that a recipe gives. */
export const configOf = (shape: ModelShape, vocabSize: number): ModelConfig =>
  architectureFor(shape).complete({ ...shape, vocabSize });

/** The model of a config that `checkConfig` accepts: its parameters, and what traces its passes. */
export function modelOf(config: ModelConfig): Model {
  const architecture = architectureFor(config);
  const design = architecture.design(config);
  return {
    parameters: trunkParameters(design),
    cacheLayers: cacheLayersOf(design, trunkLayers(design)),
    rotary: design.rotary,
    mtp: mtpModule(design),
    loss: architecture.loss?.(config) ?? null,
    forward: (parameters, inputs, options) => forward(design, parameters, inputs, options),
    decode: (parameters, step) => decode(design, parameters, step),
  };
}

/** Everything that training may read and a checkpoint holds. */
export function allParameters(config: ModelConfig): ParameterSpec[] {
  const { parameters, mtp } = modelOf(config);
  return [...parameters, ...(mtp?.parameters ?? [])];
}

/** @throws UserError naming the first impossible field and what would work */
export const checkConfig = (config: ModelConfig): ModelConfig => architectureFor(config).check(config);

/**
 * The config of what is stored: transformers keeps `num_nextn_predict_layers` in the config and leaves the MTP
 * module out.
 */
export function storedConfig(config: ModelConfig, stored: ReadonlySet<string>): ModelConfig {
  const mtp = modelOf(config).mtp?.parameters ?? [];
  const complete = !("mtpLayers" in config) || mtp.some(({ name }) => stored.has(name));
  return complete ? config : { ...config, mtpLayers: 0 };
}

/** The content of `config.json`. */
export function toHuggingFace(config: ModelConfig, ids: TokenIds): Record<string, unknown> {
  const { className, modelTypes, toHuggingFace } = architectureFor(config);
  return { architectures: [className], model_type: modelTypes[0], ...toHuggingFace(config, ids) };
}

/**
 * Reads the shape from the content of `config.json`. What this program does not implement is refused: a model that is
 * read at all computes what transformers computes with it.
 * @throws UserError for an architecture that is not known, or whatever its reader refuses
 */
export function fromHuggingFace(json: unknown): ModelConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw configError(
      "config.json",
      "an object",
      json === null ? "null" : Array.isArray(json) ? "a list" : typeof json,
      "Point at a Hugging Face model folder.",
    );
  const fields = json as Fields;
  const { model_type: type, architectures: names } = fields;
  const classes = Array.isArray(names) ? names.map(String) : [];
  if (classes.length > 0 && !classes.some((name) => name.includes("CausalLM")))
    throw configError(
      "architectures",
      "a language model, such as LlamaForCausalLM",
      JSON.stringify(classes).slice(0, 100),
      "Embedding, reward and classification models have no output matrix over the vocabulary.",
    );
  const found = known.find(({ modelTypes }) => modelTypes.includes(type as string));
  if (found !== undefined) return found.fromHuggingFace(fields);
  throw configError(
    "model_type",
    known
      .flatMap(({ modelTypes }) => modelTypes)
      .map((one) => JSON.stringify(one))
      .join(" or "),
    type === undefined ? "nothing" : JSON.stringify(type),
    "This program does not implement that architecture; loading it would compute something else.",
  );
}
