/** Which files of a repository are the language model that we read: all of them, and no others. */
import { basename } from "node:path";
import { MORE_TEMPLATES } from "./folder.ts";
import { PART, partName } from "./gguf/parts.ts";
import { HubError, type HubFile, type HubModel } from "./hub-error.ts";
import { INDEX, indexedFiles, SHARD, WEIGHTS } from "./shards.ts";

const SMALL_FILES = [
  ...["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"],
  ...["chat_template.jinja", `${MORE_TEMPLATES}/tool_use.jinja`],
];

/** Of several GGUF files the first of these: the most exact that is not larger than it need be. */
const GGUF_ORDER = [
  ...[
    "Q8_0",
    "Q8_K_XL",
    "F16",
    "BF16",
    "Q6_K",
    "Q6_K_L",
    "Q6_K_XL",
    "Q5_K_M",
    "Q5_K_L",
    "Q5_K_XL",
    "Q5_K_S",
    "Q5_1",
  ],
  ...[
    "Q5_0",
    "Q4_K_M",
    "Q4_K_L",
    "Q4_K_XL",
    "Q4_K_S",
    "IQ4_NL",
    "IQ4_XS",
    "Q4_1",
    "Q4_0",
    "Q3_K_XL",
    "Q3_K_L",
  ],
  ...["Q3_K_M", "Q3_K_S", "Q2_K_XL", "Q2_K_L", "Q2_K", "Q2_K_S", "F32"],
];
/** Types whose blocks are not read (gguf/blocks.ts), as file names spell them. */
const UNREAD = /(^|[^a-z0-9])(i?q1_|iq[123]_|tq[12]_|mxfp4|nvfp4|q4_0_[48]_[48]|iq4_nl_[48])/i;
/**
 * Files of the same format that are no language model: projectors of images, importance matrices, adapters, modules
 * that draft tokens, vocabularies.
 */
const NO_MODEL =
  /^mmproj|(^|[-._])(mmproj|mtp|draft|eagle\d?|medusa|projector|clip|vae)([-._]|$)|(^|[-._])imatrix([-._](unsloth|dat|f32))*$|(^|[-._])(lora|adapter)([-._](f32|f16|bf16|q8_0))?$|^(lora|adapter)[-._]|^ggml-vocab/i;

/**
 * What a model folder of ours is made of: configs, tokenizer, and safetensors; or one GGUF in all its parts, chosen by
 * `file`.
 * @param index content of the index of shards, where the repository has one
 * @throws HubError naming what there is, if that is nothing we read, or several models
 */
export function neededFiles(model: HubModel, file?: string, index?: unknown): HubFile[] {
  const { name, files } = model;
  const named = (path: string) => files.find((one) => one.path === path);
  if (file !== undefined) return chosenGguf(model, file);
  const weights = safetensors(model, index);
  if (weights.length > 0) return [...SMALL_FILES.flatMap((path) => named(path) ?? []), ...weights];
  const ggufs = ggufModels(model);
  if (ggufs.length > 0) return parts(model, best(name, ggufs));
  if (named("adapter_config.json") !== undefined)
    throw new HubError(
      `${name} is an adapter, not a model: it has ${listed(files)}.`,
      "Pull the model that its adapter_config.json names (base_model_name_or_path), and give the adapter's folder to a recipe as model.adapter.",
    );
  const loose = files.filter(({ path }) => path.endsWith(".safetensors"));
  if (loose.length > 0)
    throw new HubError(
      `${name} has neither ${WEIGHTS} nor ${INDEX}, so nothing says which of its files are the model: ${listed(loose)}.`,
      "Look for another copy of the model, as transformers saves it.",
    );
  throw new HubError(
    `${name} has neither safetensors nor a GGUF file: it has ${listed(files)}.`,
    "PyTorch's .bin and .pt files are not read, since opening them runs code. Look for another copy of the model.",
  );
}

/** The repository's index of shards, where its weights are such shards: its content decides. */
export function indexOf({ files }: HubModel, file?: string): HubFile | undefined {
  const has = (path: string) => files.find((one) => one.path === path);
  return file === undefined && has(WEIGHTS) === undefined ? has(INDEX) : undefined;
}

function safetensors({ name, files }: HubModel, content: unknown): HubFile[] {
  const named = (path: string) => files.find((one) => one.path === path);
  const single = named(WEIGHTS);
  if (single !== undefined) return [single];
  const index = named(INDEX);
  if (index === undefined) return [];
  if (content === undefined) return [index, ...files.filter(({ path }) => SHARD.test(path))];
  const names = indexedFiles(content);
  if (names === null)
    throw new HubError(
      `${name} has an index of weights, ${INDEX}, that names no files of its own folder, or other files than safetensors.`,
      "The repository is damaged: look for another copy of the model.",
    );
  const missing = names.filter((path) => named(path) === undefined);
  if (missing.length > 0)
    throw new HubError(
      `${name} lacks ${missing.length} of the ${names.length} files that its index names: ${shown(missing)}.`,
      "The repository is incomplete: look for another copy of the model.",
    );
  return [index, ...names.map((path) => named(path)!)];
}

/** GGUF files that may be a language model, of several parts the first. */
function ggufModels({ name, files }: HubModel): HubFile[] {
  const all = files.filter(({ path }) => /\.gguf$/i.test(path));
  const firsts = all.filter(({ path }) => Number(PART.exec(path)?.[2] ?? 1) === 1);
  const models = firsts.filter(({ path }) => !NO_MODEL.test(stem(path)));
  const read = models.filter(({ path }) => !UNREAD.test(stem(path)));
  if (read.length > 0 || all.length === 0) return read;
  if (models.length > 0)
    throw new HubError(
      `${name} has GGUF files of types that are not read here alone: ${listed(models)}.`,
      `Look for one of these: ${GGUF_ORDER.filter((kind) => !/[LSX]$/.test(kind)).join(", ")}.`,
    );
  throw new HubError(
    `${name} has no language model among its GGUF files: ${listed(all)}.`,
    "Projectors, importance matrices, adapters and drafting modules are parts beside one. If one of them is a model all the same, name it with --file.",
  );
}

/** The name without folder, number of the part, and ending. */
const stem = (path: string): string =>
  basename(path)
    .replace(/\.gguf$/i, "")
    .replace(/-\d{5}-of-\d{5}$/, "");

function rank({ path }: HubFile): number {
  // The longest name that is there: Q4_K_M is no Q4_K. A folder may carry it: Q8_0/model-00001-of-00002.gguf.
  const words = `${path.slice(0, -basename(path).length)}${stem(path)}`;
  const found = GGUF_ORDER.filter((kind) => new RegExp(`(^|[^a-z0-9])${kind}(?![a-z0-9_])`, "i").test(words));
  const longest = found.toSorted((a, b) => b.length - a.length)[0];
  return longest === undefined ? GGUF_ORDER.length : GGUF_ORDER.indexOf(longest);
}

function best(name: string, models: readonly HubFile[]): HubFile {
  const least = Math.min(...models.map(rank));
  const first = models.filter((file) => rank(file) === least);
  if (first.length === 1) return first[0]!;
  throw new HubError(
    `${name} has several models in GGUF: ${listed(models)}.`,
    `Name the one that you want: --file ${JSON.stringify(first[0]!.path)}`,
  );
}

function chosenGguf(model: HubModel, file: string): HubFile[] {
  const ggufs = model.files.filter(({ path }) => /\.gguf$/i.test(path));
  const chosen = ggufs.find(({ path }) => path === file);
  if (chosen !== undefined) return parts(model, chosen);
  throw new HubError(`${model.name} has no GGUF file "${file}".`, `It has ${listed(ggufs)}.`);
}

/** All parts of a split file. */
function parts({ name, files }: HubModel, file: HubFile): HubFile[] {
  const [, , , count = "1"] = PART.exec(file.path) ?? [];
  if (Number(count) === 1) return [file];
  const paths = Array.from({ length: Number(count) }, (_, i) => partName(file.path, i + 1));
  const missing = paths.filter((path) => !files.some((one) => one.path === path));
  if (missing.length === 0) return paths.map((path) => files.find((one) => one.path === path)!);
  throw new HubError(
    `${name} lacks ${missing.length} of the ${paths.length} parts of ${file.path}: ${shown(missing)}.`,
    "The repository is incomplete: choose another file with --file, or another copy of the model.",
  );
}

const listed = (files: readonly HubFile[]): string => shown(files.map(({ path }) => path));

function shown(names: readonly string[]): string {
  if (names.length === 0) return "none";
  return names.length <= 8
    ? names.join(", ")
    : `${names.slice(0, 8).join(", ")} and ${names.length - 8} more`;
}
