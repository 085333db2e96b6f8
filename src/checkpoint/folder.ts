/** Model folders in Hugging Face's layout, which other tools open too. */
import fs from "node:fs";
import { join } from "node:path";
import { makeFolder, replaceFile } from "../lib/disk.ts";
import { readText, textFault } from "../lib/text-file.ts";
import {
  checkConfig,
  fromHuggingFace,
  type ModelConfig,
  storedConfig,
  toHuggingFace,
} from "../models/architectures.ts";
import { TOOL_USE } from "../tokenizer/chat-template.ts";
import { tokenizerFrom } from "../tokenizer/load.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { mismatch } from "./errors.ts";
import { settingsIn } from "./generation-config.ts";
import { readJson } from "./json.ts";
import type { Parameter } from "./safetensors.ts";
import { type StoredType, WEIGHTS, writeWeights } from "./shards.ts";
import {
  checkedWeights,
  readAll,
  type Shapes,
  storedNames,
  withOpenWeights,
  withoutTiedHead,
} from "./weights.ts";

/** A model without its weights. */
export interface ModelShape {
  config: ModelConfig;
  tokenizer: Tokenizer;
  /** Recommended sampling, as `generation_config.json` has it, e.g. `{ temperature: 0.6, top_p: 0.95 }`. */
  generation?: Record<string, unknown>;
  /** Fields of `tokenizer_config.json`, above all `chat_template`. */
  tokenizerConfig?: Record<string, unknown>;
}

export interface Model extends ModelShape {
  /** By Hugging Face tensor name. */
  parameters: ReadonlyMap<string, Parameter>;
}

/** A model without its weights, with the content of `generation_config.json` and what `readTokenizerConfig` returns. */
export type LoadedShape = Required<ModelShape>;

export interface LoadedModel extends LoadedShape {
  parameters: Map<string, Parameter>;
}

const CONFIG = "config.json";
const TOKENIZER = "tokenizer.json";
const TOKENIZER_CONFIG = "tokenizer_config.json";
const GENERATION_CONFIG = "generation_config.json";
/** The chat template of newer tools; it takes precedence over the field. */
const CHAT_TEMPLATE = "chat_template.jinja";
/** A folder of templates for other uses, by name. */
export const MORE_TEMPLATES = "additional_chat_templates";
const TOOL_TEMPLATE = join(MORE_TEMPLATES, `${TOOL_USE}.jinja`);

/** The default of transformers, bytes. */
const SHARD_BYTES = 5e9;

/**
 * Writes a model's files, each of them atomically. Older weights and chat templates are removed; other files in the folder
 * stay. A tied model's folder holds one matrix and the flag. `dtype` is the type on disk (BF16 and F16 round), `shardBytes`
 * the size above which the weights are split.
 * @returns the names of the files
 * @throws UserError for a vocabulary larger than the embedding, a tied pair that differs, or a full disk
 */
export function saveModel(
  folder: string,
  model: Model,
  { dtype = "F32", shardBytes = SHARD_BYTES }: { dtype?: StoredType; shardBytes?: number } = {},
): string[] {
  const { config, tokenizer } = model;
  checkConfig(config);
  checkVocabulary(folder, config, tokenizer);
  const parameters = config.tieEmbeddings
    ? withoutTiedHead(join(folder, WEIGHTS), model.parameters)
    : model.parameters;
  makeFolder(folder);
  const weights = writeWeights(folder, parameters, { dtype, shardBytes });
  const ids = { bosId: tokenizer.bosId, eosIds: [...tokenizer.stopIds], padId: tokenizer.padId };
  const shape = { ...toHuggingFace(config, ids), torch_dtype: TORCH_DTYPES[dtype] };
  const { bos_token_id, eos_token_id, pad_token_id } = shape as Record<string, unknown>;
  const json: [string, unknown][] = [
    [CONFIG, shape],
    [TOKENIZER, tokenizer.toJSON()],
    [TOKENIZER_CONFIG, { ...tokenizerConfig(config, tokenizer), ...model.tokenizerConfig }],
    [GENERATION_CONFIG, { ...model.generation, bos_token_id, eos_token_id, pad_token_id }],
  ];
  for (const [name, value] of json) replaceFile(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);
  for (const name of [CHAT_TEMPLATE, TOOL_TEMPLATE]) fs.rmSync(join(folder, name), { force: true });
  return [...weights, ...json.map(([name]) => name)];
}

const TORCH_DTYPES = { F32: "float32", BF16: "bfloat16", F16: "float16" };

/**
 * Reads a folder, one file of weights or several shards.
 * @param expected the caller's shapes for a config; every tensor is compared with them before it is used
 * @throws UserError naming each file or tensor that is missing, left over, mis-shaped or damaged, or the field of a config
 *   or tokenizer that cannot be used
 */
export function loadModel(folder: string, expected?: (config: ModelConfig) => Shapes): LoadedModel {
  const shape = readFolder(folder);
  const { config } = shape;
  const wanted = { tied: config.tieEmbeddings, expected: expected?.(config) };
  return withOpenWeights(folder, (tensors, files) => {
    const weights = checkedWeights(tensors, wanted, files.join(", "), folder);
    return { ...shape, parameters: readAll(folder, weights) };
  });
}

/** Reads a folder's model without its weights. @throws what `loadModel` throws */
export function readFolder(folder: string): LoadedShape {
  const read = (name: string, optional = false): unknown => readJson(join(folder, name), { optional });
  const modelConfig = read(CONFIG);
  const generationConfig = read(GENERATION_CONFIG, true);
  const tokenizerConfig = readTokenizerConfig(folder);
  const config = storedConfig(fromHuggingFace(modelConfig), storedNames(folder));
  const files = { modelConfig, generationConfig, tokenizerConfig };
  const tokenizer = tokenizerFrom(read(TOKENIZER), files);
  checkVocabulary(folder, config, tokenizer);
  return {
    ...{ config, tokenizer, tokenizerConfig },
    generation: (generationConfig ?? settingsIn(modelConfig as Record<string, unknown>)) as Record<
      string,
      unknown
    >,
  };
}

/**
 * The fields of `tokenizer_config.json`; `chat_template` is the text of `chat_template.jinja`, if the folder has it, with
 * that of the template for tools.
 */
export function readTokenizerConfig(folder: string): Record<string, unknown> {
  const fields = readJson(join(folder, TOKENIZER_CONFIG), { optional: true }) ?? {};
  const read = (name: string): string | null => {
    const file = join(folder, name);
    return fs.existsSync(file) ? readTemplate(file) : null;
  };
  const template = read(CHAT_TEMPLATE);
  if (template === null) return { ...fields };
  return { ...fields, chat_template: templateField(template, read(TOOL_TEMPLATE)) };
}

/** The field `chat_template`: a text, or a list by name if there is a template for tools. */
export function templateField(template: string, forTools: string | null): unknown {
  if (forTools === null) return template;
  return [
    { name: "default", template },
    { name: TOOL_USE, template: forTools },
  ];
}

function readTemplate(file: string): string {
  try {
    return readText(file);
  } catch (error) {
    const fault = textFault(error);
    if (fault === null) throw error;
    throw mismatch(file, "a chat template", fault.found, fault.remedy, error);
  }
}

/** @throws UserError if the tokenizer has more ids than the embedding has rows */
export function checkVocabulary(folder: string, config: ModelConfig, tokenizer: Tokenizer): void {
  if (tokenizer.vocabSize <= config.vocabSize) return;
  throw mismatch(
    folder,
    `a tokenizer of at most ${config.vocabSize} ids (vocab_size)`,
    `${tokenizer.vocabSize}`,
    "The tokenizer belongs to another model.",
  );
}

/** What transformers needs beside `tokenizer.json`: the texts of the special tokens. */
function tokenizerConfig(config: ModelConfig, tokenizer: Tokenizer): Record<string, unknown> {
  const { added_tokens: added = [], post_processor: postProcessor = null } = tokenizer.toJSON() as {
    added_tokens?: { id: number; content: string }[];
    post_processor?: unknown;
  };
  const name = (id: number | null) => added.find((token) => token.id === id)?.content ?? null;
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: name(tokenizer.bosId),
    eos_token: name(tokenizer.eosId),
    pad_token: name(tokenizer.padId),
    model_max_length: config.maxPositions,
    clean_up_tokenization_spaces: false,
    // Without a post-processor other programs need the flag to begin a text with BOS.
    ...(postProcessor === null && tokenizer.around.before.length > 0 && { add_bos_token: true }),
  };
}
