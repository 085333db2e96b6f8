import { CheckpointError } from "./errors.ts";

/** What survives JSON without loss. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json | undefined };

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
