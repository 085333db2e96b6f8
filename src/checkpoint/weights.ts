/**
 * The tensors of a model folder: which files hold them, whether they are all there, and the tied pair.
 */
import fs from "node:fs";
import { basename, join } from "node:path";
import { CheckpointError } from "./errors.ts";
import { type Parameter, readJson } from "./folder.ts";
import { SafetensorsFile } from "./safetensors.ts";

/** Wanted shape by Hugging Face tensor name. */
export type Shapes = ReadonlyMap<string, readonly number[]>;

/** The pair that a tied model shares. */
const EMBEDDING = "model.embed_tokens.weight";
const HEAD = "lm_head.weight";

/** Old Llama files hold these tables; they follow from the config. */
const DERIVED = /\.rotary_emb\.inv_freq$/;

/**
 * Every tensor as f32. Nothing is read before all names and shapes agree, and nothing is ever made up.
 * A tied model may store either or both of the pair; the result holds the embedding alone.
 */
export function readWeights(folder: string, tied: boolean, expected?: Shapes): Map<string, Parameter> {
  const files = weightFiles(folder).map((file) => new SafetensorsFile(file));
  try {
    const holders = new Map<string, SafetensorsFile>();
    for (const file of files)
      for (const name of file.header.tensors.keys()) {
        if (holders.has(name)) throw twice(name, holders.get(name)!, file);
        if (!DERIVED.test(name)) holders.set(name, file);
      }
    if (expected !== undefined) compare(files, holders, tied, expected);
    const found = new Map([...holders].map(([name, file]) => [name, file.readFloat32(name)]));
    return tied ? withoutTiedHead(files[0]!.file, found) : found;
  } finally {
    for (const file of files) file.close();
  }
}

/**
 * A tied model's parameters with one copy of the pair, under the embedding's name.
 * @throws CheckpointError if both are given and differ.
 */
export function withoutTiedHead(
  file: string,
  parameters: ReadonlyMap<string, Parameter>,
): Map<string, Parameter> {
  const result = new Map(parameters);
  const head = result.get(HEAD);
  const embedding = result.get(EMBEDDING);
  result.delete(HEAD);
  if (head === undefined) return result;
  if (embedding === undefined) return result.set(EMBEDDING, head);
  const different = head.data.findIndex((value, i) => !Object.is(value, embedding.data[i]));
  if (different < 0 && head.data.length === embedding.data.length) return result;
  throw new CheckpointError({
    file,
    tensor: HEAD,
    expected: `the values of ${EMBEDDING}, since the config ties the two`,
    found: `others${different < 0 ? "" : `, first at element ${different}`}`,
    remedy: "Set tie_word_embeddings to false to keep both, or delete the one that is not wanted.",
  });
}

/** One file, or the shards that the index names. */
function weightFiles(folder: string): string[] {
  const index = readJson(join(folder, "model.safetensors.index.json"), { optional: true });
  const single = join(folder, "model.safetensors");
  if (index === undefined || fs.existsSync(single)) return [single];
  const map = (index as { weight_map?: unknown } | null)?.weight_map;
  const names = typeof map === "object" && map !== null ? [...new Set<unknown>(Object.values(map))] : [];
  // A name with a path in it would read outside the folder.
  if (names.length > 0 && names.every((name) => typeof name === "string" && name === basename(name)))
    return (names as string[]).sort().map((name) => join(folder, name));
  throw new CheckpointError({
    file: join(folder, "model.safetensors.index.json"),
    expected: "a weight_map from tensors to files of this folder",
    found: JSON.stringify(map ?? null).slice(0, 100),
    remedy: "Download the folder again.",
  });
}

function compare(
  files: SafetensorsFile[],
  holders: Map<string, SafetensorsFile>,
  tied: boolean,
  expected: Shapes,
): void {
  const searched = files.map(({ file }) => file).join(", ");
  // Of a tied pair either name will do.
  const stored = (name: string) => {
    const other = name === EMBEDDING ? HEAD : EMBEDDING;
    return holders.has(name) || !tied || (name !== EMBEDDING && name !== HEAD) ? name : other;
  };
  const wanted = new Map([...expected].map(([name, shape]) => [stored(name), shape]));
  if (tied && wanted.has(EMBEDDING)) wanted.set(HEAD, wanted.get(EMBEDDING)!);

  const missing = [...wanted.keys()].filter((name) => !holders.has(name) && !(tied && name === HEAD));
  if (missing.length > 0)
    throw new CheckpointError({
      file: searched,
      tensor: names(missing),
      expected: "the tensor to be in the file",
      found: `${holders.size} others`,
      remedy: missing.includes(HEAD)
        ? "Set tie_word_embeddings to true in config.json if the output matrix is the embedding, or store the matrix."
        : "The folder belongs to another model, or a shard is missing: download it again.",
    });
  const extra = [...holders.keys()].filter((name) => !wanted.has(name));
  if (extra.length > 0)
    throw new CheckpointError({
      file: searched,
      tensor: names(extra),
      expected: `only the ${wanted.size} tensors of the config`,
      found: `${extra.length} more`,
      remedy: "The config does not describe these weights: take both from the same model.",
    });
  for (const [name, file] of holders) {
    const shape = file.header.tensors.get(name)!.shape;
    if (String(shape) !== String(wanted.get(name)))
      throw new CheckpointError({
        file: file.file,
        tensor: name,
        expected: `shape [${wanted.get(name)}]`,
        found: `[${shape}]`,
        remedy: "The config does not describe these weights: take both from the same model.",
      });
  }
}

/** The first few names, and how many more. */
function names(all: string[]): string {
  return all.length <= 5 ? all.join(", ") : `${all.slice(0, 5).join(", ")} and ${all.length - 5} more`;
}

function twice(tensor: string, first: SafetensorsFile, second: SafetensorsFile): CheckpointError {
  return new CheckpointError({
    file: second.file,
    tensor,
    expected: "each tensor once",
    found: `another copy in ${first.file}`,
    remedy: "Remove the shard that does not belong to this model.",
  });
}
