/**
 * The weight files of a folder: `model.safetensors`, or shards and an index above a size, as transformers names them.
 */
import fs from "node:fs";
import { basename, join } from "node:path";
import { onDisk, replaceFile } from "../lib/disk.ts";
import { DTYPES } from "./dtypes.ts";
import { CheckpointError } from "./errors.ts";
import { readJson } from "./json.ts";
import { type Parameter, writeSafetensors } from "./safetensors.ts";

export const WEIGHTS = "model.safetensors";
export const INDEX = "model.safetensors.index.json";
/** DeepSeek counts in six digits: model-00001-of-000163.safetensors. */
export const SHARD = /^model-\d{5,}-of-\d{5,}\.safetensors$/;

/** Types that we write weights in. */
export type StoredType = "F32" | "BF16" | "F16";

/**
 * The files that the content of an index names, sorted; `null` where it is none, or names anything but safetensors files
 * of its own folder.
 */
export function indexedFiles(index: unknown): string[] | null {
  const map = (index as { weight_map?: unknown } | null)?.weight_map;
  const names = typeof map === "object" && map !== null ? [...new Set<unknown>(Object.values(map))] : [];
  const inside = (name: unknown): name is string =>
    typeof name === "string" && name === basename(name) && name.endsWith(".safetensors");
  return names.length > 0 && names.every(inside) ? names.sort() : null;
}

/** Of a folder; a file, and what is not there, has none. */
const namesIn = (folder: string): string[] =>
  fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory() ? fs.readdirSync(folder).sort() : [];

/** Names of the safetensors files of a folder, a LoRA adapter's left out. */
const presentFiles = (folder: string): string[] =>
  namesIn(folder).filter((name) => name.endsWith(".safetensors") && !name.startsWith("adapter_"));

/**
 * Paths of the one file, or of the shards that the index names.
 * @throws CheckpointError where these are not there, naming those that are
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
    throw new CheckpointError({
      file: folder,
      expected: `${WEIGHTS}, or shards with their ${INDEX}`,
      found: `no index, and ${listed(present)}`,
      remedy: present.some((name) => SHARD.test(name))
        ? `Download ${INDEX} of the same model into the folder.`
        : `Rename the file to ${WEIGHTS}, if it is the whole model.`,
    });
  const names = indexedFiles(index);
  if (names === null)
    throw new CheckpointError({
      file,
      expected: "a weight_map from tensors to safetensors files of this folder",
      found: JSON.stringify((index as { weight_map?: unknown } | null)?.weight_map ?? null).slice(0, 100),
      remedy: "Download the folder again.",
    });
  const missing = names.filter((name) => !present.includes(name));
  if (missing.length > 0)
    throw new CheckpointError({
      file: join(folder, missing[0]!),
      expected: "a safetensors file",
      found: `no such file: the index names ${listed(names)}, the files are ${listed(present)}; missing: ${listed(missing)}`,
      remedy: "Download the missing ones, or the index that belongs to the files that are there.",
    });
  return names.map((name) => join(folder, name));
}

/** @throws CheckpointError where weights lie in the folder as PyTorch saves them, and not as `expected` */
export function refusePickles(folder: string, expected: string): void {
  const names = namesIn(folder);
  const found = names.filter((name) => /\.(bin|pt|pth|ckpt)$/.test(name));
  if (names.includes(expected) || found.length === 0) return;
  throw new CheckpointError({
    file: folder,
    expected,
    found: listed(found),
    remedy:
      "PyTorch's files are not read, since opening them runs code. Load the model with transformers or PEFT and save it again: save_pretrained writes safetensors.",
  });
}

/** Weights in a folder that are not read, in sentences; of a file none. */
export function strayWeights(folder: string): string[] {
  const present = presentFiles(folder);
  const read = weightFiles(folder).map((path) => basename(path));
  const strays = present.filter((name) => !read.includes(name));
  if (strays.length === 0) return [];
  return [`${folder}: read: ${listed(read)}; not read, though it is there: ${listed(strays)}.`];
}

/** Where tensors are that no file of the index holds: in words, for an error. `null` where the index is not to blame. */
export function lostTensors(
  folder: string,
  tensors: readonly string[],
): { found: string; remedy?: string } | null {
  const index = readJson(join(folder, INDEX), { optional: true });
  const map = (index as { weight_map?: Record<string, unknown> } | undefined)?.weight_map;
  const read = weightFiles(folder).map((path) => basename(path));
  if (typeof map !== "object" || map === null || read.includes(WEIGHTS)) return null;
  const strays = presentFiles(folder).filter((name) => !read.includes(name));
  const unlisted = tensors.filter((name) => !Object.hasOwn(map, name));
  const listedWrong = tensors.find((name) => Object.hasOwn(map, name));
  const where =
    listedWrong === undefined
      ? `the index names ${unlisted.length === tensors.length ? "none" : "not all"} of them`
      : `the index names ${String(map[listedWrong])} for ${listedWrong}, which does not hold it`;
  const found = `${where}; the index names ${listed(read)}, and beside them the files are ${listed(strays)}`;
  // Without any other file the config may as well be of another model.
  if (strays.length === 0 && listedWrong === undefined) return { found };
  return {
    found,
    remedy:
      "The index and the shards are of different models, or not all of one: download the folder again, whole.",
  };
}

const listed = (names: readonly string[]): string => {
  if (names.length === 0) return "none";
  return names.length <= 8
    ? names.join(", ")
    : `${names.slice(0, 8).join(", ")} and ${names.length - 8} more`;
};

/**
 * Writes the parameters in as few files as `shardBytes` allows; files of an earlier save go afterwards.
 * @returns the names of the files
 */
export function writeWeights(
  folder: string,
  parameters: ReadonlyMap<string, Parameter>,
  { dtype, shardBytes }: { dtype: StoredType; shardBytes: number },
): string[] {
  const shards = split(parameters, DTYPES[dtype].bytes, shardBytes);
  const number = (value: number) => String(value).padStart(5, "0");
  const names = shards.map((_, i) =>
    shards.length === 1 ? WEIGHTS : `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`,
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
    const total_size = [...parameters.values()].reduce(
      (total, { data }) => total + data.length * DTYPES[dtype].bytes,
      0,
    );
    const weight_map = Object.fromEntries(
      shards.flatMap((shard, i) => shard.map(([name]) => [name, names[i]!])).sort(),
    );
    const index = JSON.stringify({ metadata: { total_size }, weight_map }, null, 2);
    replaceFile(join(folder, INDEX), `${index}\n`);
  }
  // A reader would prefer an older single file to our shards, and an older index to nothing.
  const ours = new Set(shards.length > 1 ? [...names, INDEX] : names);
  for (const name of fs.readdirSync(folder))
    if ((name === WEIGHTS || name === INDEX || SHARD.test(name)) && !ours.has(name))
      fs.rmSync(join(folder, name), { force: true });
  return [...ours];
}

/** In the given order; a tensor above the limit has a shard of its own. */
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
