/**
 * The weight files of a folder: `model.safetensors`, or shards and an index above a size, as transformers names them.
 */
import fs from "node:fs";
import { basename, join } from "node:path";
import { onDisk, replaceFile } from "../lib/disk.ts";
import { DTYPES } from "./dtypes.ts";
import { listed, mismatch } from "./errors.ts";
import { readJson } from "./json.ts";
import { type Parameter, writeSafetensors } from "./safetensors.ts";

export const WEIGHTS = "model.safetensors";
export const INDEX = "model.safetensors.index.json";
/** DeepSeek counts in six digits: model-00001-of-000163.safetensors. */
export const SHARD = /^model-\d{5,}-of-\d{5,}\.safetensors$/;

/** Types in which weights are written. */
export type StoredType = "F32" | "BF16" | "F16";

const weightMap = (index: unknown): Record<string, unknown> | null => {
  const map = (index as { weight_map?: unknown } | null | undefined)?.weight_map;
  return typeof map === "object" ? (map as Record<string, unknown> | null) : null;
};

/**
 * The files that the content of an index names, sorted; `null` if it is no index, or names anything but safetensors files
 * of its own folder.
 */
export function indexedFiles(index: unknown): string[] | null {
  const names = [...new Set(Object.values(weightMap(index) ?? {}))];
  const isInside = (name: unknown): name is string =>
    typeof name === "string" && name === basename(name) && name.endsWith(".safetensors");
  return names.length > 0 && names.every(isInside) ? names.sort() : null;
}

/** Names in a folder; none for a file or a missing path. */
const namesIn = (folder: string): string[] =>
  fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory() ? fs.readdirSync(folder).sort() : [];

/** Names of a folder's safetensors files without those of a LoRA adapter. */
const presentFiles = (folder: string): string[] =>
  namesIn(folder).filter((name) => name.endsWith(".safetensors") && !name.startsWith("adapter_"));

/**
 * Paths of the one file, or of the shards that the index names.
 * @throws UserError if any is missing, naming those that are there
 */
export function weightFiles(folder: string): string[] {
  const single = join(folder, WEIGHTS);
  if (fs.existsSync(single)) return [single];
  const file = join(folder, INDEX);
  const index = readJson(file, { optional: true });
  const present = presentFiles(folder);
  if (index === undefined && present.length === 0) {
    refusePickles(folder, WEIGHTS);
    return [single];
  }
  if (index === undefined)
    throw mismatch(
      folder,
      `${WEIGHTS}, or shards with their ${INDEX}`,
      `no index, and ${listed(present)}`,
      present.some((name) => SHARD.test(name))
        ? `Download ${INDEX} of the same model into the folder.`
        : `Rename the file to ${WEIGHTS}, if it holds the complete model.`,
    );
  const names = indexedFiles(index);
  if (names === null)
    throw mismatch(
      file,
      "a weight_map from tensors to safetensors files of this folder",
      JSON.stringify(weightMap(index)).slice(0, 100),
      "Download the folder again.",
    );
  const missing = names.filter((name) => !present.includes(name));
  if (missing.length > 0)
    throw mismatch(
      join(folder, missing[0]!),
      "a safetensors file",
      `no such file: the index names ${listed(names)}, the files are ${listed(present)}; missing: ${listed(missing)}`,
      "Download the missing ones, or the index that belongs to the files that are there.",
    );
  return names.map((name) => join(folder, name));
}

/** @throws UserError if the folder holds PyTorch's weights instead of `expected` */
export function refusePickles(folder: string, expected: string): void {
  const names = namesIn(folder);
  const found = names.filter((name) => /\.(bin|pt|pth|ckpt)$/.test(name));
  if (names.includes(expected) || found.length === 0) return;
  throw mismatch(
    folder,
    expected,
    listed(found),
    "PyTorch's files are not read, since opening them runs code. Load the model with transformers or PEFT and save it again: save_pretrained writes safetensors.",
  );
}

/** Sentences about weights in a folder that are not read. */
export function strayWeights(folder: string): string[] {
  const { read, strays } = filesIn(folder);
  if (strays.length === 0) return [];
  return [`${folder}: read: ${listed(read)}; not read, though it is there: ${listed(strays)}.`];
}

function filesIn(folder: string): { read: string[]; strays: string[] } {
  const present = presentFiles(folder);
  const read = weightFiles(folder).map((path) => basename(path));
  return { read, strays: present.filter((name) => !read.includes(name)) };
}

/** Why an index leads to no file with these tensors, in words for an error; `null` if the index is not at fault. */
export function lostTensors(
  folder: string,
  tensors: readonly string[],
): { found: string; remedy?: string } | null {
  const map = weightMap(readJson(join(folder, INDEX), { optional: true }));
  const { read, strays } = filesIn(folder);
  if (map === null || read.includes(WEIGHTS)) return null;
  const unlisted = tensors.filter((name) => !Object.hasOwn(map, name));
  const listedWrong = tensors.find((name) => Object.hasOwn(map, name));
  const where =
    listedWrong === undefined
      ? `the index names ${unlisted.length === tensors.length ? "none" : "not all"} of them`
      : `the index names ${String(map[listedWrong])} for ${listedWrong}, which does not hold it`;
  const found = `${where}; the index names ${listed(read)}, and beside them the files are ${listed(strays)}`;
  // Without any other file the config may as well belong to another model.
  if (strays.length === 0 && listedWrong === undefined) return { found };
  return {
    found,
    remedy:
      "The index and the shards are of different models, or incomplete: download the folder again, with all its files.",
  };
}

/**
 * Writes the parameters into as few files as `shardBytes` allows, then removes the files of an earlier save.
 * @returns the names of the files
 */
export function writeWeights(
  folder: string,
  parameters: ReadonlyMap<string, Parameter>,
  { dtype, shardBytes }: { dtype: StoredType; shardBytes: number },
): string[] {
  const shards = split(parameters, DTYPES[dtype].bytes, shardBytes);
  const digits = (value: number): string => String(value).padStart(5, "0");
  const names = shards.map((_, i) =>
    shards.length === 1 ? WEIGHTS : `model-${digits(i + 1)}-of-${digits(shards.length)}.safetensors`,
  );
  for (const [i, shard] of shards.entries()) {
    const file = join(folder, names[i]!);
    const partial = `${file}.tmp`;
    try {
      const tensors = new Map(shard.map(([name, parameter]) => [name, { dtype, ...parameter }]));
      writeSafetensors(partial, tensors, { metadata: { format: "pt" } });
      onDisk(file, () => fs.renameSync(partial, file));
    } catch (error) {
      fs.rmSync(partial, { force: true });
      throw error;
    }
  }
  if (shards.length > 1) {
    const elements = [...parameters.values()].reduce((total, { data }) => total + data.length, 0);
    const weight_map = Object.fromEntries(
      shards.flatMap((shard, i) => shard.map(([name]) => [name, names[i]!])).sort(),
    );
    const index = { metadata: { total_size: elements * DTYPES[dtype].bytes }, weight_map };
    replaceFile(join(folder, INDEX), `${JSON.stringify(index, null, 2)}\n`);
  }
  // A reader prefers an older single file to our shards, and follows an older index.
  const ours = new Set(shards.length > 1 ? [...names, INDEX] : names);
  for (const name of fs.readdirSync(folder))
    if ((name === WEIGHTS || name === INDEX || SHARD.test(name)) && !ours.has(name))
      fs.rmSync(join(folder, name), { force: true });
  return [...ours];
}

/** Splits the parameters in their order; one that is above the limit gets its own shard. */
function split(
  parameters: ReadonlyMap<string, Parameter>,
  width: number,
  limit: number,
): [string, Parameter][][] {
  const shards: [string, Parameter][][] = [[]];
  let bytes = 0;
  for (const entry of parameters) {
    const size = entry[1].data.length * width;
    if (bytes > 0 && bytes + size > limit) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)!.push(entry);
    bytes += size;
  }
  return shards;
}
