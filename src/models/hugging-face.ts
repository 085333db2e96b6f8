/** Any design's shape in the terms of a Hugging Face `config.json`, and back. */
import { isV3, type ModelConfig } from "./architectures.ts";
import { ConfigError, type TokenIds } from "./config.ts";
import { DENSE_TYPES, denseFromHuggingFace, denseToHuggingFace } from "./dense-hugging-face.ts";
import { v3FromHuggingFace, v3ToHuggingFace } from "./v3-config.ts";

type Fields = Record<string, unknown>;

/** The content of `config.json`. */
export function toHuggingFace(config: ModelConfig, ids: TokenIds): Fields {
  return isV3(config) ? v3ToHuggingFace(config, ids) : denseToHuggingFace(config, ids);
}

/**
 * Reads the shape from the content of `config.json`. What this program does not implement is refused: a model that is
 * read at all computes what transformers computes with it.
 * @throws ConfigError for an architecture that is not known, or whatever its design refuses.
 */
export function fromHuggingFace(json: unknown): ModelConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new ConfigError({
      field: "config.json",
      expected: "an object",
      found: json === null ? "null" : Array.isArray(json) ? "a list" : typeof json,
      remedy: "Point at a Hugging Face model folder.",
    });
  const fields = json as Fields;
  const { model_type: type, architectures } = fields;
  const classes = Array.isArray(architectures) ? architectures.map(String) : [];
  if (classes.length > 0 && !classes.some((name) => name.includes("CausalLM")))
    throw new ConfigError({
      field: "architectures",
      expected: "a language model, such as LlamaForCausalLM",
      found: JSON.stringify(classes).slice(0, 100),
      remedy: "Embedding, reward and classification models have no output matrix over the vocabulary.",
    });
  if (type === "deepseek_v3") return v3FromHuggingFace(fields);
  if (DENSE_TYPES.includes(type as string)) return denseFromHuggingFace(fields);
  throw new ConfigError({
    field: "model_type",
    expected: [...DENSE_TYPES, "deepseek_v3"].map((known) => JSON.stringify(known)).join(" or "),
    found: type === undefined ? "nothing" : JSON.stringify(type),
    remedy: "This program does not implement that architecture; loading it would compute something else.",
  });
}
