/** Chooses the files of a repository that make up one language model that is read here. */
import { basename } from "node:path";
import { listed } from "./errors.ts";
import { MORE_TEMPLATES } from "./folder.ts";
import { PART, partName } from "./gguf/file.ts";
import { type HubFile, type HubModel, hubError } from "./hub.ts";
import { INDEX, indexedFiles, SHARD, WEIGHTS } from "./shards.ts";

const SMALL_FILES = [
  ...["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"],
  ...["chat_template.jinja", `${MORE_TEMPLATES}/tool_use.jinja`],
];

/** Types of GGUF files by preference: the most exact type that is not larger than useful comes first. */
const GGUF_ORDER = [
  "Q8_0 Q8_K_XL F16 BF16 Q6_K Q6_K_L Q6_K_XL Q5_K_M Q5_K_L Q5_K_XL Q5_K_S Q5_1 Q5_0 Q4_K_M Q4_K_L Q4_K_XL Q4_K_S",
  "IQ4_NL IQ4_XS Q4_1 Q4_0 Q3_K_XL Q3_K_L Q3_K_M Q3_K_S Q2_K_XL Q2_K_L Q2_K Q2_K_S F32",
].flatMap((line) => line.split(" "));
/** Types whose blocks are not read (gguf/blocks.ts), as file names spell them. */
const UNREAD = /(^|[^a-z0-9])(i?q1_|iq[123]_|tq[12]_|mxfp4|nvfp4|q4_0_[48]_[48]|iq4_nl_[48])/i;
/**
 * GGUF files that hold no language model: projectors of images, importance matrices, adapters, modules that draft tokens,
 * vocabularies.
 */
const NO_MODEL =
  /^mmproj|(^|[-._])(mmproj|mtp|draft|eagle\d?|medusa|projector|clip|vae)([-._]|$)|(^|[-._])imatrix([-._](unsloth|dat|f32))*$|(^|[-._])(lora|adapter)([-._](f32|f16|bf16|q8_0))?$|^(lora|adapter)[-._]|^ggml-vocab/i;

/**
 * The files of one model: configs, tokenizer and safetensors, or one GGUF file with all its parts.
 * @param file path of the GGUF file to choose
 * @param index content of the index of shards, if the repository has one
 * @throws UserError naming the files, if none is a model that is read here, or several are
 */
export function neededFiles(model: HubModel, file?: string, index?: unknown): HubFile[] {
  const { name, files } = model;
  if (file !== undefined) {
    const ggufs = files.filter(isGguf);
    const chosen = ggufs.find(({ path }) => path === file);
    if (chosen !== undefined) return parts(model, chosen);
    throw hubError(`${name} has no GGUF file "${file}".`, `It has ${paths(ggufs)}.`);
  }
  const weights = safetensors(model, index);
  if (weights.length > 0) return [...SMALL_FILES.flatMap((path) => named(model, path) ?? []), ...weights];
  const ggufs = ggufModels(model);
  if (ggufs.length > 0) return parts(model, best(name, ggufs));
  if (named(model, "adapter_config.json") !== undefined)
    throw hubError(
      `${name} is an adapter, not a model: it has ${paths(files)}.`,
      "Pull the model that its adapter_config.json names (base_model_name_or_path), and give the adapter's folder to a recipe as model.adapter.",
    );
  const loose = files.filter(({ path }) => path.endsWith(".safetensors"));
  if (loose.length > 0)
    throw hubError(
      `${name} has neither ${WEIGHTS} nor ${INDEX}, so nothing says which of its files are the model: ${paths(loose)}.`,
      "Look for another copy of the model, as transformers saves it.",
    );
  throw hubError(
    `${name} has neither safetensors nor a GGUF file: it has ${paths(files)}.`,
    "PyTorch's .bin and .pt files are not read, since opening them runs code. Look for another copy of the model.",
  );
}

/** The repository's index of shards, if its content decides which files are needed. */
export function indexOf(model: HubModel, file?: string): HubFile | undefined {
  return file === undefined && named(model, WEIGHTS) === undefined ? named(model, INDEX) : undefined;
}

const named = ({ files }: HubModel, path: string): HubFile | undefined =>
  files.find((file) => file.path === path);
const paths = (files: readonly HubFile[]): string => listed(files.map(({ path }) => path));
const isGguf = ({ path }: HubFile): boolean => /\.gguf$/i.test(path);

function safetensors(model: HubModel, content: unknown): HubFile[] {
  const { name, files } = model;
  const single = named(model, WEIGHTS);
  if (single !== undefined) return [single];
  const index = named(model, INDEX);
  if (index === undefined) return [];
  if (content === undefined) return [index, ...files.filter(({ path }) => SHARD.test(path))];
  const shards = indexedFiles(content);
  if (shards === null)
    throw hubError(
      `${name} has an index of weights, ${INDEX}, that names no files of its own folder, or other files than safetensors.`,
      "The repository is damaged: look for another copy of the model.",
    );
  const missing = shards.filter((path) => named(model, path) === undefined);
  if (missing.length > 0)
    throw hubError(
      `${name} lacks ${missing.length} of the ${shards.length} files that its index names: ${listed(missing)}.`,
      "The repository is incomplete: look for another copy of the model.",
    );
  return [index, ...shards.map((path) => named(model, path)!)];
}

/** GGUF files that may be a language model; of a model in parts only the first. */
function ggufModels({ name, files }: HubModel): HubFile[] {
  const all = files.filter(isGguf);
  const firsts = all.filter(({ path }) => Number(PART.exec(path)?.[2] ?? 1) === 1);
  const models = firsts.filter(({ path }) => !NO_MODEL.test(stem(path)));
  const readable = models.filter(({ path }) => !UNREAD.test(stem(path)));
  if (readable.length > 0 || all.length === 0) return readable;
  if (models.length > 0)
    throw hubError(
      `${name} has GGUF files of types that are not read here alone: ${paths(models)}.`,
      `Look for one of these: ${GGUF_ORDER.filter((kind) => !/[LSX]$/.test(kind)).join(", ")}.`,
    );
  throw hubError(
    `${name} has no language model among its GGUF files: ${paths(all)}.`,
    "Projectors, importance matrices, adapters and drafting modules are parts beside one. If one of them is a model all the same, name it with --file.",
  );
}

/** A file's name without folder, number of the part, and ending. */
const stem = (path: string): string =>
  basename(path)
    .replace(/\.gguf$/i, "")
    .replace(/-\d{5}-of-\d{5}$/, "");

/** The place of a file's type in `GGUF_ORDER`. */
function rank({ path }: HubFile): number {
  // A folder may carry the type: Q8_0/model-00001-of-00002.gguf. The longest match counts: Q4_K_M is no Q4_K.
  const words = `${path.slice(0, -basename(path).length)}${stem(path)}`;
  const found = GGUF_ORDER.filter((kind) => new RegExp(`(^|[^a-z0-9])${kind}(?![a-z0-9_])`, "i").test(words));
  const longest = found.toSorted((a, b) => b.length - a.length)[0];
  return longest === undefined ? GGUF_ORDER.length : GGUF_ORDER.indexOf(longest);
}

function best(name: string, models: readonly HubFile[]): HubFile {
  const least = Math.min(...models.map(rank));
  const first = models.filter((file) => rank(file) === least);
  if (first.length === 1) return first[0]!;
  throw hubError(
    `${name} has several models in GGUF: ${paths(models)}.`,
    `Name the one that you want: --file ${JSON.stringify(first[0]!.path)}`,
  );
}

/** All parts of a split file. */
function parts(model: HubModel, file: HubFile): HubFile[] {
  const count = Number(PART.exec(file.path)?.[3] ?? 1);
  if (count === 1) return [file];
  const names = Array.from({ length: count }, (_, i) => partName(file.path, i + 1));
  const missing = names.filter((path) => named(model, path) === undefined);
  if (missing.length === 0) return names.map((path) => named(model, path)!);
  throw hubError(
    `${model.name} lacks ${missing.length} of the ${names.length} parts of ${file.path}: ${listed(missing)}.`,
    "The repository is incomplete: choose another file with --file, or another copy of the model.",
  );
}
