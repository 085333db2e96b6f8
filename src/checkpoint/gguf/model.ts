/** Models in GGUF files: opened as a Hugging Face folder would be, and exported from a folder or from memory. */
import { join } from "node:path";
import {
  allParameters,
  fromHuggingFace,
  type ModelConfig,
  modelOf,
  storedConfig,
  toHuggingFace,
} from "../../models/architectures.ts";
import type { Fields } from "../../models/checks.ts";
import type { ParameterRole } from "../../models/layers.ts";
import { tokenizerFrom } from "../../tokenizer/load.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import {
  checkVocabulary,
  type LoadedModel,
  type LoadedShape,
  type Model,
  readTokenizerConfig,
} from "../folder.ts";
import { readJson } from "../json.ts";
import {
  checkedWeights,
  expectedShapes,
  readAll,
  type Shapes,
  type StoredTensor,
  sourceOf,
  type TensorSource,
  withOpenWeights,
} from "../weights.ts";
import { BLOCKS, type WrittenType } from "./blocks.ts";
import { layoutOf, toHuggingFaceConfig, toMetadata } from "./config.ts";
import { openParts } from "./file.ts";
import { ROPE_FREQS, toGgufTensors, toHuggingFaceTensors } from "./names.ts";
import { llama3Factors } from "./rope.ts";
import { READ_OTHERWISE } from "./splits.ts";
import { furtherEnds, type TokenizerContent, tokenizerMetadata, toTokenizerContent } from "./tokenizer.ts";
import { Metadata, type MetadataValue, samplingOf, text, u32 } from "./values.ts";
import { type GgufTensor, ggufBytes, writeGguf } from "./write.ts";

/** A GGUF file in Hugging Face's terms; tensors are read one by one when asked for, while the file is open. */
export interface GgufContent extends TokenizerContent {
  /** Content of `config.json`, with the special ids. */
  config: Fields;
  tensors: TensorSource;
  /** How the file wants to be sampled, as a `generation_config.json` would say it. */
  sampling: Fields;
}

/** Opens, hands over and closes. @throws UserError for what cannot be read, naming file and place. */
export function withGguf<T>(file: string, use: (content: GgufContent) => T): T {
  const parts = openParts(file);
  try {
    const { metadata } = parts[0]!.header;
    const source: TensorSource = new Map(
      parts.flatMap((part) =>
        [...part.header.tensors].map(([name, { shape }]): [string, StoredTensor] => [
          name,
          { shape, read: (start, count, target) => part.read(name, start, count, target) },
        ]),
      ),
    );
    const shape = toHuggingFaceConfig(metadata, source);
    const tensors = toHuggingFaceTensors(file, source, layoutOf(file, shape));
    const content = toTokenizerContent(metadata);
    return use({
      ...content,
      config: { ...shape, ...content.ids },
      tensors,
      sampling: samplingOf(metadata),
    });
  } finally {
    for (const part of parts) part.close();
  }
}

/**
 * Reads a model of one GGUF file, or of all its parts, as f32. Memory beyond the result is one matrix.
 * @param expected the caller's shapes for a config; every tensor is compared with them before it is used
 * @throws UserError, as `loadModel` does
 */
export function loadGguf(file: string, expected?: (config: ModelConfig) => Shapes): LoadedModel {
  return withGguf(file, (content) => {
    const shape = shapeOf(content);
    const wanted = { tied: shape.config.tieEmbeddings, expected: expected?.(shape.config) };
    return { ...shape, parameters: readAll(file, checkedWeights(content.tensors, wanted, file)) };
  });
}

/** The model without its weights. @throws UserError, as `loadModel` does */
export function shapeOf(content: GgufContent): LoadedShape {
  const { config, tensors, tokenizer, tokenizerConfig, ids, sampling } = content;
  return {
    config: storedConfig(fromHuggingFace(config), new Set(tensors.keys())),
    tokenizer: tokenizerFrom(tokenizer, { modelConfig: config, tokenizerConfig }),
    generation: { ...ids, ...sampling },
    tokenizerConfig,
  };
}

export interface ExportOptions {
  /** Of the matrices; vectors and routers stay F32. Rows that Q8_0's blocks of 32 do not fill are F16. */
  dtype?: WrittenType;
  /** `general.name`. */
  name?: string;
  /** `false` leaves the tokenizer out: the file then takes ids only (node-llama-cpp 3.22.1 crashes on such a file). */
  tokenizer?: boolean;
}

/**
 * Writes a model folder, or a model in memory, as one GGUF file; a folder is streamed tensor by tensor.
 * @returns what llama.cpp will do otherwise, in sentences
 * @throws UserError for tensors that do not fit the config, a vocabulary larger than the embedding, and a rotary
 *   scaling or split rule that llama.cpp would compute otherwise, or for an architecture that is not known
 */
export function exportGguf(from: string | Model, file: string, options: ExportOptions = {}): string[] {
  if (typeof from !== "string") {
    const { tokenizerConfig = {}, parameters } = from;
    const model = { ...from, tokenizerConfig, source: sourceOf(parameters), searched: "the model" };
    return write(file, model, options);
  }
  const json = (name: string): unknown => readJson(join(from, name), { optional: name !== "config.json" });
  const fields = json("config.json") as Fields;
  const tokenizerConfig = readTokenizerConfig(from);
  const files = { modelConfig: fields, generationConfig: json("generation_config.json"), tokenizerConfig };
  const tokenizer = options.tokenizer === false ? null : tokenizerFrom(json("tokenizer.json"), files);
  return withOpenWeights(from, (source, weights) => {
    const config = storedConfig(fromHuggingFace(fields), new Set(source.keys()));
    return write(file, { config, tokenizer, tokenizerConfig, source, searched: weights.join(", ") }, options);
  });
}

interface ExportSource {
  config: ModelConfig;
  tokenizer: Tokenizer | null;
  tokenizerConfig: Fields;
  source: TensorSource;
  /** Where the tensors come from, for errors. */
  searched: string;
}

/**
 * The key by which a file of ours is known: it may be replaced by a later export. Its value is the size of the file, since
 * tools that quantise or split a file carry its keys on, and what they make is not ours.
 */
export const WROTE = "sputnik.wrote";
const size = (bytes: number): MetadataValue => ({ type: "U64", value: BigInt(bytes) });

/** llama.cpp's numbers for what most tensors are. */
const FILE_TYPES: Record<WrittenType, number> = { F32: 0, F16: 1, Q8_0: 7 };

function write(
  file: string,
  { config, tokenizer, tokenizerConfig, source, searched }: ExportSource,
  options: ExportOptions,
): string[] {
  const { dtype = "F16", name } = options;
  // Only ever the config as it was understood: absent fields mean other things to other readers.
  const fields = toHuggingFace(config, { bosId: null, eosIds: [], padId: null });
  const wanted = { tied: config.tieEmbeddings, expected: expectedShapes(config) };
  const stored = checkedWeights(source, wanted, searched);
  if (tokenizer !== null) checkVocabulary(searched, config, tokenizer);
  const roles = new Map(allParameters(config).map(({ name, role }) => [name, role]));
  const tensors = toGgufTensors(file, stored, layoutOf(file, fields)).map(
    ({ from, ...tensor }): GgufTensor => ({ ...tensor, type: typeOf(tensor.shape, roles.get(from), dtype) }),
  );
  const { rotary } = modelOf(config);
  if (rotary.ropeScaling?.kind === "llama3") {
    const factors = llama3Factors(rotary);
    tensors.push({ name: ROPE_FREQS, shape: [factors.length], type: "F32", pieces: () => [factors] });
  }
  const metadata = new Map([
    ...toMetadata(file, fields),
    ...(name === undefined ? [] : [["general.name", text(name)] as const]),
    [WROTE, size(0)] as const,
    ["general.file_type", u32(FILE_TYPES[dtype])] as const,
    ["general.quantization_version", u32(2)] as const,
    ...(tokenizer === null || options.tokenizer === false
      ? [["tokenizer.ggml.model", text("none")] as const]
      : tokenizerMetadata(file, tokenizer, tokenizerConfig, config.vocabSize)),
  ]);
  metadata.set(WROTE, size(ggufBytes(file, metadata, tensors)));
  writeGguf(file, metadata, tensors);
  return tokenizer === null || options.tokenizer === false
    ? []
    : differences(new Metadata(file, metadata), tokenizer);
}

/** What llama.cpp does otherwise with such a file than we do with the model, in sentences. */
function differences(metadata: Metadata, tokenizer: Tokenizer): string[] {
  const rule = metadata.text("tokenizer.ggml.pre");
  const words = metadata.texts("tokenizer.ggml.tokens");
  const lost = furtherEnds(tokenizer, words).slice(2);
  return [
    ...(READ_OTHERWISE.includes(rule)
      ? [
          `llama.cpp splits some rare texts (digits of other scripts, fractions) otherwise than "${rule}" does.`,
        ]
      : []),
    ...(lost.length > 0
      ? [
          `the format has no field for more stop tokens: llama.cpp does not stop at ${lost.map((id) => words[id]).join(", ")}.`,
        ]
      : []),
  ];
}

function typeOf(shape: readonly number[], role: ParameterRole | undefined, dtype: WrittenType): WrittenType {
  if (shape.length < 2 || role === "router") return "F32";
  return dtype === "Q8_0" && shape.at(-1)! % BLOCKS.Q8_0.elements !== 0 ? "F16" : dtype;
}
