/** A model wherever it lies: a Hugging Face folder, or one GGUF file. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type ModelConfig, storedConfig } from "../models/architecture.ts";
import { fromHuggingFace } from "../models/hugging-face.ts";
import { tokenizerFrom } from "../tokenizer/load.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { type LoadedModel, loadModel, readTokenizerConfig } from "./folder.ts";
import { blockSize } from "./fp8.ts";
import { loadGguf, withGguf } from "./gguf/model.ts";
import { readJson } from "./json.ts";
import {
  compare,
  EMBEDDING,
  HEAD,
  type Shapes,
  type StoredTensor,
  storedNames,
  withOpenWeights,
} from "./weights.ts";

export const isGguf = (path: string): boolean => path.endsWith(".gguf");

/** Whether something that `openModelFiles` may read lies there. */
export function holdsModel(path: string): boolean {
  return isGguf(path) ? existsSync(path) : existsSync(join(path, "config.json"));
}

/** Reads all of it. @throws what `loadModel` and `loadGguf` throw */
export function openModelFiles(path: string, expected: (config: ModelConfig) => Shapes): LoadedModel {
  return isGguf(path) ? loadGguf(path, expected) : loadModel(path, expected);
}

/**
 * Hands over the weights as tensors that are read when they are asked for, whole or some rows, as f32; the files are
 * closed when `use` returns. A tied model's one matrix goes by the embedding's name.
 * @param expected shapes by name, which are compared before `use` is called
 * @throws what `loadModel` and `loadGguf` throw
 */
export function withModelWeights<T>(
  path: string,
  { tied, expected }: { tied: boolean; expected: Shapes },
  use: (weights: ReadonlyMap<string, StoredTensor>) => T,
): T {
  const hand = (tensors: ReadonlyMap<string, StoredTensor>): T => {
    compare(tensors, tied, expected, path);
    const head = tensors.get(HEAD);
    return use(
      head === undefined || tensors.has(EMBEDDING) ? tensors : new Map([...tensors, [EMBEDDING, head]]),
    );
  };
  if (isGguf(path)) return withGguf(path, ({ tensors }) => hand(tensors));
  const config = join(path, "config.json");
  return withOpenWeights(path, blockSize(config, readJson(config)), hand);
}

/** Shape and tokenizer, without the weights. */
export function readShape(path: string): {
  config: ModelConfig;
  tokenizer: Tokenizer;
  tokenizerConfig: Record<string, unknown>;
} {
  if (isGguf(path))
    return withGguf(path, ({ config, tensors, tokenizer, tokenizerConfig }) => ({
      config: storedConfig(fromHuggingFace(config), new Set(tensors.keys())),
      tokenizer: tokenizerFrom(tokenizer, { modelConfig: config, tokenizerConfig }),
      tokenizerConfig,
    }));
  const read = (name: string): unknown => readJson(join(path, name), { optional: name !== "config.json" });
  const modelConfig = read("config.json");
  const files = {
    modelConfig,
    generationConfig: read("generation_config.json"),
    tokenizerConfig: readTokenizerConfig(path),
  };
  return {
    config: storedConfig(fromHuggingFace(modelConfig), storedNames(path)),
    tokenizer: tokenizerFrom(readJson(join(path, "tokenizer.json")), files),
    tokenizerConfig: files.tokenizerConfig,
  };
}
