/**
 * A model folder as other tools open it: Hugging Face's layout.
 */
import fs from "node:fs";
import { join } from "node:path";
import { checkDecoderConfig, type DecoderConfig } from "../models/config.ts";
import { fromHuggingFace, toHuggingFace } from "../models/hugging-face.ts";
import { tokenizerFrom } from "../tokenizer/load.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { type FileSystem, guarded, replaceFile } from "./disk.ts";
import { CheckpointError } from "./errors.ts";
import { readJson } from "./json.ts";
import { type Parameter, writeSafetensors } from "./safetensors.ts";
import { readWeights, type Shapes, withoutTiedHead } from "./weights.ts";

export interface Model {
  config: DecoderConfig;
  /** By Hugging Face tensor name. */
  parameters: ReadonlyMap<string, Parameter>;
  tokenizer: Tokenizer;
  /** Recommended sampling, for `generation_config.json`, e.g. `{ temperature: 0.6, top_p: 0.95 }`. */
  generation?: Record<string, unknown>;
}

export interface LoadedModel extends Model {
  parameters: Map<string, Parameter>;
  /** All of `generation_config.json`. */
  generation: Record<string, unknown>;
}

const WEIGHTS = "model.safetensors";
const CONFIG = "config.json";
const TOKENIZER = "tokenizer.json";
const TOKENIZER_CONFIG = "tokenizer_config.json";
const GENERATION_CONFIG = "generation_config.json";

/** What `saveModel` writes. */
export const MODEL_FILES = [WEIGHTS, CONFIG, TOKENIZER, TOKENIZER_CONFIG, GENERATION_CONFIG] as const;

/**
 * Writes the five files, each as a whole; other files in the folder stay.
 * A tied model holds one matrix and the flag. `dtype` is the type on disk (BF16 and F16 round).
 * @throws CheckpointError for a vocabulary larger than the embedding, a tied pair that differs, or a full disk.
 */
export function saveModel(
  folder: string,
  model: Model,
  { dtype = "F32", disk = fs }: { dtype?: "F32" | "BF16" | "F16"; disk?: FileSystem } = {},
): void {
  const { config, tokenizer } = model;
  checkDecoderConfig(config);
  checkVocabulary(folder, config, tokenizer);
  const weights = join(folder, WEIGHTS);
  const parameters = config.tieEmbeddings ? withoutTiedHead(weights, model.parameters) : model.parameters;
  guarded(folder, () => disk.mkdirSync(folder, { recursive: true }));
  const partial = `${weights}.tmp`;
  try {
    writeSafetensors(
      partial,
      new Map([...parameters].map(([name, parameter]) => [name, { dtype, ...parameter }])),
      { metadata: { format: "pt" }, disk },
    );
    guarded(weights, () => disk.renameSync(partial, weights));
  } catch (error) {
    disk.rmSync(partial, { force: true });
    throw error;
  }
  const ids = { bosId: tokenizer.bosId, eosIds: [...tokenizer.stopIds], padId: tokenizer.padId };
  const shape = { ...toHuggingFace(config, ids), torch_dtype: TORCH_DTYPES[dtype] };
  const { bos_token_id, eos_token_id, pad_token_id } = shape as Record<string, unknown>;
  const json: [string, unknown][] = [
    [CONFIG, shape],
    [TOKENIZER, tokenizer.toJSON()],
    [TOKENIZER_CONFIG, tokenizerConfig(config, tokenizer)],
    [GENERATION_CONFIG, { ...model.generation, bos_token_id, eos_token_id, pad_token_id }],
  ];
  for (const [name, value] of json)
    replaceFile(join(folder, name), [Buffer.from(`${JSON.stringify(value, null, 2)}\n`)], disk);
}

const TORCH_DTYPES = { F32: "float32", BF16: "bfloat16", F16: "float16" };

/**
 * Reads a folder, one file of weights or several shards.
 * @param expected the caller's shapes for a config; every tensor is compared with them before it is used
 * @throws CheckpointError naming each file or tensor that is missing, left over, mis-shaped or damaged;
 *   ConfigError and TokenizerError for the content of those files
 */
export function loadModel(folder: string, expected?: (config: DecoderConfig) => Shapes): LoadedModel {
  const modelConfig = readJson(join(folder, CONFIG));
  const config = fromHuggingFace(modelConfig);
  const generationConfig = readJson(join(folder, GENERATION_CONFIG), { optional: true });
  const tokenizer = tokenizerFrom(readJson(join(folder, TOKENIZER)), {
    modelConfig,
    generationConfig,
    tokenizerConfig: readJson(join(folder, TOKENIZER_CONFIG), { optional: true }),
  });
  checkVocabulary(folder, config, tokenizer);
  const parameters = readWeights(folder, config.tieEmbeddings, expected?.(config));
  return { config, tokenizer, parameters, generation: (generationConfig ?? {}) as Record<string, unknown> };
}

function checkVocabulary(folder: string, config: DecoderConfig, tokenizer: Tokenizer): void {
  if (tokenizer.vocabSize <= config.vocabSize) return;
  throw new CheckpointError({
    file: folder,
    expected: `a tokenizer of at most ${config.vocabSize} ids (vocab_size)`,
    found: `${tokenizer.vocabSize}`,
    remedy: "The tokenizer belongs to another model.",
  });
}

/** The names that transformers wants beside the ids; their texts stand in `tokenizer.json`. */
function tokenizerConfig(config: DecoderConfig, tokenizer: Tokenizer): Record<string, unknown> {
  const { added_tokens: added = [] } = tokenizer.toJSON() as {
    added_tokens?: { id: number; content: string }[];
  };
  const name = (id: number | null) => added.find((token) => token.id === id)?.content ?? null;
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: name(tokenizer.bosId),
    eos_token: name(tokenizer.eosId),
    pad_token: name(tokenizer.padId),
    model_max_length: config.maxPositions,
    clean_up_tokenization_spaces: false,
  };
}
