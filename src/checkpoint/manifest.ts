/**
 * The list of a checkpoint's files with sizes and hashes, written last:
 * a folder without it, or at odds with it, is not a checkpoint.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import { type FileSystem, writeFileDurably } from "./disk.ts";

export const MANIFEST = "manifest.json";

interface Manifest {
  format: 1;
  step: number;
  files: { path: string; bytes: number; sha256: string }[];
}

/** Writes the manifest of the given files, paths relative to `folder`. */
export function writeManifest(
  folder: string,
  step: number,
  paths: readonly string[],
  disk: FileSystem,
): void {
  const files = paths.map((path) => {
    const file = join(folder, path);
    return { path, bytes: fs.statSync(file).size, sha256: hashFile(file) };
  });
  const manifest: Manifest = { format: 1, step, files };
  writeFileDurably(join(folder, MANIFEST), [Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)], disk);
}

/**
 * What is wrong with a checkpoint folder, in words, or `null` if it is whole.
 * `quick` compares sizes but not content.
 */
export function checkManifest(folder: string, { quick = false }: { quick?: boolean } = {}): string | null {
  const manifest = readManifest(join(folder, MANIFEST));
  if (manifest === null) return `no readable ${MANIFEST}`;
  for (const { path, bytes, sha256 } of manifest.files) {
    const file = join(folder, path);
    const found = fs.statSync(file, { throwIfNoEntry: false })?.size;
    if (found === undefined) return `${path} is missing`;
    if (found !== bytes) return `${path}: expected ${bytes} bytes, found ${found}`;
    if (!quick && hashFile(file) !== sha256) return `${path}: its content has changed`;
  }
  return null;
}

function readManifest(file: string): Manifest | null {
  try {
    const value = JSON.parse(fs.readFileSync(file, "utf8")) as Partial<Manifest>;
    return value.format === 1 && Array.isArray(value.files) ? (value as Manifest) : null;
  } catch {
    return null;
  }
}

function hashFile(file: string): string {
  const hash = createHash("sha256");
  const buffer = Buffer.alloc(4 * 1024 * 1024);
  const handle = fs.openSync(file, "r");
  try {
    for (;;) {
      const read = fs.readSync(handle, buffer);
      if (read === 0) return hash.digest("hex");
      hash.update(buffer.subarray(0, read));
    }
  } finally {
    fs.closeSync(handle);
  }
}
