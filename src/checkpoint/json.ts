/** JSON files: read with errors for people, written without loss. */
import fs from "node:fs";
import { CheckpointError } from "./errors.ts";
import { readText, TextFileError, visible } from "./text-file.ts";

/** Parsed content; `undefined` if the file is `optional` and absent. @throws CheckpointError with file and cause. */
export function readJson(file: string, { optional = false }: { optional?: boolean } = {}): unknown {
  if (optional && !fs.existsSync(file)) return undefined;
  let remedy = "Point at a whole model folder or checkpoint, or copy this file again.";
  let [found, cause]: [string, unknown] = ["", null];
  try {
    const text = readText(file);
    if (text.trim() === "") throw new TextFileError(file, null, "nothing: the file is empty", "");
    return JSON.parse(text) as unknown;
  } catch (error) {
    cause = error;
    if (error instanceof TextFileError) {
      const missing = error.found === "there is no such file";
      found = missing ? "no such file" : error.found;
      if (!missing) remedy = `${error.remedy} ${remedy}`.trim();
    } else found = visible(error instanceof Error ? error.message : String(error), 200);
  }
  throw new CheckpointError({ file, expected: "a JSON file", found, remedy, cause });
}

/**
 * JSON from which `JSON.parse` restores every number bit for bit: finite doubles print in their shortest exact
 * form, and -0 keeps its sign (JSON.stringify loses it). Keys with the value `undefined` are left out.
 * @throws CheckpointError naming the path of a value that JSON would silently change: NaN, an infinity,
 *   a hole or `undefined` in a list, a bigint, a function, a typed array, a Map.
 */
export function exactJson(file: string, value: unknown): string {
  return write(file, "state", value);
}

function write(file: string, path: string, value: unknown): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number" && Number.isFinite(value)) return Object.is(value, -0) ? "-0" : String(value);
  if (Array.isArray(value))
    return `[${Array.from(value, (item, i) => write(file, `${path}[${i}]`, item)).join(",")}]`;
  if (isPlain(value)) {
    const fields = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .map(([key, field]) => `${JSON.stringify(key)}:${write(file, `${path}.${key}`, field)}`);
    return `{${fields.join(",")}}`;
  }
  const kind =
    typeof value === "object"
      ? `a ${value?.constructor.name ?? "object"}`
      : `${typeof value} ${String(value)}`;
  throw new CheckpointError({
    file,
    expected: `plain JSON with finite numbers at ${path}`,
    found: kind,
    remedy:
      typeof value === "number"
        ? "A state that is not a number cannot be resumed: stop at the step that made it."
        : "Convert it first, e.g. Array.from(typedArray) or String(bigint).",
  });
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
