/** JSON files: read with errors for people, written without loss. */
import fs from "node:fs";
import { readText, textFault, visible } from "../lib/text-file.ts";
import { mismatch } from "./errors.ts";

/** Parsed content; `undefined` if the file is `optional` and absent. @throws UserError with file and cause */
export function readJson(file: string, { optional = false }: { optional?: boolean } = {}): unknown {
  if (optional && !fs.existsSync(file)) return undefined;
  const remedy = "Give a complete model folder or checkpoint, or copy this file again.";
  const fail = (found: string, cause?: unknown, first = ""): Error =>
    mismatch(file, "a JSON file", found, `${first} ${remedy}`.trim(), cause);
  let text: string;
  try {
    text = readText(file);
  } catch (error) {
    const fault = textFault(error);
    if (fault === null) throw error;
    if (fault.found === "there is no such file") throw fail("no such file", error);
    throw fail(fault.found, error, fault.remedy);
  }
  if (text.trim() === "") throw fail("nothing: the file is empty");
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw fail(visible((error as Error).message, 200), error);
  }
}

/**
 * JSON from which `JSON.parse` restores every number bit for bit: finite doubles print in their shortest exact
 * form, and -0 keeps its sign (JSON.stringify loses it). Keys with the value `undefined` are left out.
 * @param path of the value, for messages
 * @throws UserError naming the path of a value that JSON would silently change: NaN, an infinity,
 *   a hole or `undefined` in a list, a bigint, a function, a typed array, a Map
 */
export function exactJson(file: string, value: unknown, path = "state"): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number" && Number.isFinite(value)) return Object.is(value, -0) ? "-0" : String(value);
  if (Array.isArray(value))
    return `[${Array.from(value, (item, i) => exactJson(file, item, `${path}[${i}]`)).join(",")}]`;
  if (isPlain(value)) {
    const fields = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .map(([key, field]) => `${JSON.stringify(key)}:${exactJson(file, field, `${path}.${key}`)}`);
    return `{${fields.join(",")}}`;
  }
  throw mismatch(
    file,
    `plain JSON with finite numbers at ${path}`,
    typeof value === "object"
      ? `a ${value.constructor.name ?? "object"}`
      : `${typeof value} ${String(value as number)}`,
    typeof value === "number"
      ? "A state that is not a number cannot be resumed: stop at the step that made it."
      : "Convert it first, e.g. Array.from(typedArray) or String(bigint).",
  );
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
