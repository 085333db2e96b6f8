/**
 * The tensors of a model folder: which files hold them, whether they are all there, and the tied pair.
 */
import fs from "node:fs";
import { basename, join } from "node:path";
import { CheckpointError } from "./errors.ts";
import { readJson } from "./json.ts";
import { type Parameter, SafetensorsFile } from "./safetensors.ts";

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
  return withOpenWeights(folder, (tensors, files) => {
    if (expected !== undefined) compare(tensors, tied, expected, files.join(", "));
    const found = new Map(
      [...tensors].map(([name, { shape, read }]): [string, Parameter] => [name, { shape, data: read() }]),
    );
    return tied ? withoutTiedHead(files[0]!, found) : found;
  });
}

/** The tensors of a folder by name; each is read, as f32, when it is asked for. Opens, hands over and closes. */
export function withOpenWeights<T>(
  folder: string,
  use: (
    tensors: ReadonlyMap<string, { shape: readonly number[]; read(): Float32Array }>,
    files: readonly string[],
  ) => T,
): T {
  const files: SafetensorsFile[] = [];
  try {
    for (const file of weightFiles(folder)) files.push(new SafetensorsFile(file));
    const holders = new Map<string, SafetensorsFile>();
    for (const file of files)
      for (const name of file.header.tensors.keys()) {
        if (holders.has(name)) throw twice(name, holders.get(name)!, file);
        if (!DERIVED.test(name)) holders.set(name, file);
      }
    const tensors = new Map(
      [...holders].map(([name, file]) => {
        const { shape } = file.header.tensors.get(name)!;
        return [name, { shape, read: () => file.readFloat32(name).data }];
      }),
    );
    return use(
      tensors,
      files.map(({ file }) => file),
    );
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

/** @throws CheckpointError naming tensors that are missing, left over or mis-shaped. */
export function compare(
  tensors: ReadonlyMap<string, { shape: readonly number[] }>,
  tied: boolean,
  expected: Shapes,
  searched: string,
): void {
  const wanted = new Map(expected);
  const found = new Map([...tensors].map(([name, { shape }]) => [name, shape]));
  if (tied) {
    const head = found.get(HEAD);
    wanted.delete(HEAD);
    found.delete(HEAD);
    if (head !== undefined && !found.has(EMBEDDING)) found.set(EMBEDDING, head);
  }
  const remedy = "The config does not describe these weights: take both from the same model, whole.";
  const missing = [...wanted.keys()].filter((name) => !found.has(name));
  if (missing.length > 0)
    throw new CheckpointError({
      file: searched,
      tensor: names(missing),
      expected: "it to be stored",
      found: `${found.size} others`,
      remedy: missing.includes(HEAD)
        ? "Set tie_word_embeddings to true in config.json if the output matrix is the embedding, or store the matrix."
        : remedy,
    });
  const extra = [...found.keys()].filter((name) => !wanted.has(name));
  if (extra.length > 0)
    throw new CheckpointError({
      file: searched,
      tensor: names(extra),
      expected: `only the ${wanted.size} tensors of the config`,
      found: `${extra.length} more`,
      remedy,
    });
  for (const [name, shape] of found) {
    const want = wanted.get(name)!;
    if (String(shape) !== String(want))
      throw new CheckpointError({
        file: searched,
        tensor: name,
        expected: `shape [${want.join(", ")}]`,
        found: `[${shape.join(", ")}]`,
        remedy,
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
