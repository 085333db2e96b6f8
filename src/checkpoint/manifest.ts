/**
 * The list of a checkpoint's files with sizes and hashes, written last:
 * a folder without it, or at odds with it, is not a checkpoint.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { isAbsolute, join, sep } from "node:path";
import { z } from "zod";
import { writeDurably } from "../lib/disk.ts";
import { readText, visible } from "./text-file.ts";

export const MANIFEST = "manifest.json";

interface Manifest {
  format: 1;
  step: number;
  files: { path: string; bytes: number; sha256: string }[];
}

/** Writes the manifest of the given files, paths relative to `folder`. */
export function writeManifest(folder: string, step: number, paths: readonly string[]): void {
  const files = paths.map((path) => {
    const file = join(folder, path);
    return { path, bytes: fs.statSync(file).size, sha256: hashFile(file) };
  });
  const manifest: Manifest = { format: 1, step, files };
  writeDurably(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
}

/**
 * What is wrong with a checkpoint folder, in words, or `null` if it is whole.
 * `quick` compares sizes but not content.
 */
export function checkManifest(folder: string, { quick = false }: { quick?: boolean } = {}): string | null {
  const manifest = readManifest(join(folder, MANIFEST));
  if (manifest === null) return `no readable ${MANIFEST}`;
  for (const { path, bytes, sha256 } of manifest.files) {
    const shown = visible(path);
    const file = join(folder, path);
    if (!isInside(folder, path)) return `${MANIFEST} names a file outside of the checkpoint: ${shown}`;
    const found = fs.statSync(file, { throwIfNoEntry: false });
    if (found === undefined) return `${shown} is missing`;
    // A device has no end.
    if (!found.isFile()) return `${shown} is not a file`;
    if (found.size !== bytes) return `${shown}: expected ${bytes} bytes, found ${found.size}`;
    if (!quick && hashFile(file) !== sha256) return `${shown}: its content has changed`;
  }
  return null;
}

/** Whether a path of a manifest leads to a place in the folder, through links too. */
function isInside(folder: string, path: string): boolean {
  if (path.includes("\0") || isAbsolute(path) || path.split(/[\\/]/).includes("..")) return false;
  const file = join(folder, path);
  if (!fs.existsSync(file)) return true;
  return fs.realpathSync(file).startsWith(fs.realpathSync(folder) + sep);
}

const Content = z.looseObject({
  format: z.literal(1),
  step: z.number(),
  files: z.array(z.object({ path: z.string().min(1), bytes: z.int().nonnegative(), sha256: z.string() })),
});

function readManifest(file: string): Manifest | null {
  try {
    return Content.parse(JSON.parse(readText(file)));
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
