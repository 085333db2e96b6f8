/**
 * A model in several GGUF files, as `llama-gguf-split` cuts it: PREFIX-00001-of-00003.gguf and so on, the metadata in the
 * first, `split.no` (from 0), `split.count` and `split.tensors.count` in each. Any part opens all of them.
 */
import fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { mismatch, tensorIn } from "../errors.ts";
import { GgufFile } from "./file.ts";

/** The name of a part: prefix, its number from 1 on, and how many there are. */
export const PART = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;

/** What follows the number of parts is kept as it is spelled: `.gguf` or `.GGUF`. */
export function partName(name: string, number: number): string {
  return name.replace(/-\d{5}(-of-\d{5}\.gguf)$/i, `-${String(number).padStart(5, "0")}$1`);
}

/**
 * All files of a model, the one with the metadata first; a model in one file is that file. Close them when done.
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
    if (Number(of) !== count || Number(number) !== metadata.count("split.no", -1) + 1)
      throw mismatch(
        `${file}, key split.count`,
        `a name such as ${partName("model-00001-of-00001.gguf", metadata.count("split.no", 0) + 1).replace("of-00001", `of-${String(count).padStart(5, "0")}`)}: it is one part of ${count}`,
        name,
        "Give the parts the names that they were published under, in one folder.",
      );
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
  for (const [key, expected] of [
    ["split.no", index],
    ["split.count", count],
  ] as const)
    if (metadata.count(key, -1) !== expected)
      throw metadata.wrong(key, `${expected}, by its name`, OTHER(file));
}

const OTHER = (file: string): string =>
  `${basename(file)} is a part of another model, or was renamed: download all parts again.`;

/** Each tensor once, and as many as the splitter counted. */
function checkTensors(parts: readonly GgufFile[]): void {
  const holders = new Map<string, string>();
  for (const { file, header } of parts)
    for (const tensor of header.tensors.keys()) {
      const other = holders.get(tensor);
      holders.set(tensor, file);
      if (other !== undefined)
        throw mismatch(tensorIn(file, tensor), "each tensor once", `another copy in ${other}`, OTHER(file));
    }
  for (const { file, header } of parts) {
    const total = header.metadata.count("split.tensors.count", holders.size);
    if (total !== holders.size)
      throw header.metadata.wrong(
        "split.tensors.count",
        `${holders.size}, the tensors of all parts`,
        OTHER(file),
      );
  }
}

const listed = (names: readonly string[]): string =>
  names.length <= 8 ? names.join(", ") : `${names.slice(0, 8).join(", ")} and ${names.length - 8} more`;
