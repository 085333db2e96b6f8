/**
 * Reads GGUF files tensor by tensor, so that memory never holds a file. A model may have several files, as
 * `llama-gguf-split` cuts it: PREFIX-00001-of-00003.gguf and so on, the metadata in the first, `split.no` (from 0),
 * `split.count` and `split.tensors.count` in each. Any part opens all of them.
 */

import fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { sizeOf } from "../../graph/shape.ts";
import { listed, mismatch } from "../errors.ts";
import { TensorFile } from "../tensor-file.ts";
import { holdersOf } from "../weights.ts";
import { BLOCKS, decodeBlocks } from "./blocks.ts";
import { type GgufHeader, type GgufTensorInfo, parseGguf } from "./header.ts";

/** Whether a path names a GGUF file. */
export const isGguf = (path: string): boolean => /\.gguf$/i.test(path);

/** An open file whose layout has been checked. Close it when done. */
export class GgufFile extends TensorFile<GgufTensorInfo, GgufHeader> {
  /** @throws UserError if the file is missing, damaged, or not a GGUF file */
  constructor(file: string) {
    super(file, "a GGUF file", parseGguf);
  }

  /** Row-major shape. @throws UserError if there is no such tensor */
  shape(tensor: string): readonly number[] {
    return this.info(tensor).shape;
  }

  /**
   * A tensor as f32, all its elements or `count` of them from `start` on; the part starts and ends with a row.
   * @throws UserError if there is no such tensor
   */
  read(tensor: string, start = 0, count?: number, target?: Float32Array): Float32Array {
    const { type, shape, begin } = this.info(tensor);
    const { elements, bytes } = BLOCKS[type];
    const length = count ?? sizeOf(shape);
    const out = target?.subarray(0, length) ?? new Float32Array(length);
    const position = begin + (start / elements) * bytes;
    this.convert(position, { elements, bytes }, out, (raw, part) => decodeBlocks(type, raw, part));
    return out;
  }
}

/** The name of a part: prefix, its number from 1 on, and the number of parts. */
export const PART = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;

/** The name of another part; the ending keeps its spelling, `.gguf` or `.GGUF`. */
export function partName(name: string, number: number): string {
  return name.replace(/-\d{5}(-of-\d{5}\.gguf)$/i, `-${String(number).padStart(5, "0")}$1`);
}

/**
 * Opens all files of a model, the one with the metadata first. Close them when done.
 * @throws UserError naming the parts that are missing, renamed, or of another model
 */
export function openParts(file: string): GgufFile[] {
  const opened = [new GgufFile(file)];
  try {
    const { metadata } = opened[0]!.header;
    const count = metadata.count("split.count", 1);
    if (count <= 1) return opened;
    const name = basename(file);
    const [, , number, of] = PART.exec(name) ?? [];
    if (Number(of) !== count || Number(number) !== metadata.count("split.no", -1) + 1) {
      const example = partName(
        `model-00001-of-${String(count).padStart(5, "0")}.gguf`,
        metadata.count("split.no", 0) + 1,
      );
      throw mismatch(
        `${file}, key split.count`,
        `a name such as ${example}: it is one part of ${count}`,
        name,
        "Give the parts the names that they were published under, in one folder.",
      );
    }
    const paths = Array.from({ length: count }, (_, i) => join(dirname(file), partName(name, i + 1)));
    const missing = paths.filter((path) => !fs.existsSync(path)).map((path) => basename(path));
    if (missing.length > 0)
      throw mismatch(
        file,
        `all ${count} parts of the model beside it`,
        `${count - missing.length}; missing: ${listed(missing)}`,
        "Download the missing parts into the same folder, under these names.",
      );
    const parts = paths.map((path, i) => {
      if (i + 1 === Number(number)) return opened[0]!;
      const part = new GgufFile(path);
      opened.push(part);
      checkPart(part, i, count);
      return part;
    });
    checkTensors(parts);
    return parts;
  } catch (error) {
    for (const part of opened) part.close();
    throw error;
  }
}

function checkPart({ file, header: { metadata } }: GgufFile, index: number, count: number): void {
  for (const [key, expected] of Object.entries({ "split.no": index, "split.count": count }))
    if (metadata.count(key, -1) !== expected)
      throw metadata.wrong(key, `${expected}, by its name`, anotherModel(file));
}

const anotherModel = (file: string): string =>
  `${basename(file)} is a part of another model, or was renamed: download all parts again.`;

/** Checks that each tensor is there once, and that there are as many as the splitter counted. */
function checkTensors(parts: readonly GgufFile[]): void {
  const holders = holdersOf(parts, anotherModel);
  for (const { file, header } of parts) {
    const key = "split.tensors.count";
    if (header.metadata.count(key, holders.size) !== holders.size)
      throw header.metadata.wrong(key, `${holders.size}, the tensors of all parts`, anotherModel(file));
  }
}
