/** What a schema finds wrong with a recipe, in words for the person who wrote it. */
import { z } from "zod";
import { nearest } from "../lib/spelling.ts";
import { presetKeys } from "../train/presets.ts";
import { recipeObject, renamedKey } from "./schema.ts";

/** Keys and indices from the top of the recipe. */
export type Path = readonly PropertyKey[];

export interface Finding {
  /** Path of the value, or of the object that lacks a key. */
  path: PropertyKey[];
  at: "key" | "value";
  message: string;
  /** The nearest valid key, for an unknown one. */
  suggestion: string | null;
}

type Issue = z.core.$ZodIssue;

/** One finding per mistake: a misspelt key that is also missing counts once. */
export function explain(input: unknown, issues: readonly Issue[]): Finding[] {
  const flat = flatten(issues);
  const unknown = flat.flatMap((issue) => unknownKeys(input, issue));
  const meant = new Set(
    unknown.map(({ path, suggestion }) => JSON.stringify([...path.slice(0, -1), suggestion])),
  );
  // A misspelt key counts as absent, which may be the only reason for other findings in its block.
  const doubtful = new Set(unknown.map(({ path }) => block(path)));
  const rest = flat
    .filter((issue) => issue.code !== "unrecognized_keys" && !meant.has(JSON.stringify(issue.path)))
    .filter((issue) => !(presetKeys.includes(String(issue.path.at(-1))) && meantPreset(issue, input, meant)))
    .filter((issue) => issue.code !== "custom" || !doubtful.has(block(issue.path)))
    .map((issue) => describe(input, issue));
  return [...unknown, ...rest];
}

/** A key that is missing because the preset which would set it is misspelt. */
const meantPreset = ({ path }: Issue, input: unknown, meant: ReadonlySet<string>): boolean =>
  valueAt(input, path) === undefined && meant.has(JSON.stringify([...path.slice(0, -1), "preset"]));

/** The model, one stage, the checkpoints...: what a reader takes for one block. */
const block = (path: Path): string => path.slice(0, path[0] === "stages" ? 2 : 1).join(".");

/** A plain union reports every branch: keep the branch that fits best. */
function flatten(issues: readonly Issue[]): Issue[] {
  return issues.flatMap((issue) => {
    if (issue.code !== "invalid_union" || issue.errors.length === 0) return [issue];
    const branches = issue.errors.map((branch) =>
      flatten(branch.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }) as Issue)),
    );
    return branches.reduce((best, branch) => (mistakes(branch) < mistakes(best) ? branch : best));
  });
}

const mistakes = (issues: Issue[]): number =>
  issues.reduce((sum, issue) => sum + (issue.code === "unrecognized_keys" ? issue.keys.length : 1), 0);

function unknownKeys(input: unknown, issue: Issue): Finding[] {
  if (issue.code !== "unrecognized_keys") return [];
  const { valid, missing } = keysAt(input, issue.path);
  // Keys of another kind are unknown only because the key that says which kind it is was misspelt.
  const strays = issue.keys.filter((key) => !valid.includes(key));
  return (strays.length > 0 ? strays : issue.keys).map((key) =>
    unknownKey(issue.path, key, renamedKey(issue.path, key) ?? nearest(key, missing), missing),
  );
}

/**
 * A key that is missing because it is misspelt, where the schema could not say so: with `kind` misspelt no
 * branch of a union is chosen, and a loose object takes any key.
 */
function misspelt(input: unknown, path: Path): Finding | null {
  const owner = path.slice(0, -1);
  const { valid } = keysAt(input, owner);
  const key = String(path.at(-1));
  const stray = nearest(
    key,
    keysOf(valueAt(input, owner)).filter((name) => !valid.includes(name)),
  );
  return stray === null ? null : unknownKey(owner, stray, key, []);
}

function unknownKey(owner: Path, key: string, suggestion: string | null, missing: string[]): Finding {
  const help =
    suggestion !== null
      ? `Did you mean "${suggestion}"?`
      : missing.length > 0
        ? `Other keys that are allowed here: ${missing.join(", ")}.`
        : "No other key is allowed here.";
  return {
    path: [...owner, key],
    at: "key",
    message: `Unknown key "${key}"${where(owner)}. ${help}`,
    suggestion,
  };
}

function describe(input: unknown, issue: Issue): Finding {
  const { path } = issue;
  const value = valueAt(input, path);
  const name = path.length === 0 ? "The recipe" : `"${String(path.at(-1))}"`;
  const finding = (message: string): Finding => ({ path, at: "value", message, suggestion: null });
  if (!/^(Invalid|Too (small|big))/.test(issue.message)) return finding(issue.message);
  const expected = expectation(issue);
  if (value === undefined && path.length > 0) {
    const slip = misspelt(input, path);
    if (slip !== null) return slip;
    const presets = keysAt(input, path.slice(0, -1)).valid.includes("preset")
      ? ", or a preset that sets it"
      : "";
    return finding(`${name} is missing${where(path.slice(0, -1))}. Expected ${expected}${presets}.`);
  }
  return finding(
    `${name} is ${path.length === 0 && value === null ? "empty" : show(value)}. Expected ${expected}.`,
  );
}

const typeNames: Record<string, string> = {
  number: "a number",
  int: "a whole number",
  string: "text",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  object: "a block of keys",
};

function expectation(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return typeNames[issue.expected] ?? issue.expected;
    case "invalid_value":
      return oneOf(issue.values.map(String));
    case "invalid_union":
      return "options" in issue && Array.isArray(issue.options)
        ? oneOf(issue.options.map(String))
        : "another value";
    case "too_small": {
      const bound = issue.inclusive === false ? `above ${issue.minimum}` : `at least ${issue.minimum}`;
      return issue.origin === "array"
        ? `${bound} entries`
        : issue.origin === "string"
          ? "some text"
          : `a number ${bound}`;
    }
    case "too_big": {
      const bound = issue.inclusive === false ? `below ${issue.maximum}` : `at most ${issue.maximum}`;
      return issue.origin === "array" ? `${bound} entries` : `a number ${bound}`;
    }
    default:
      return `another value (${issue.message})`;
  }
}

const oneOf = (names: string[]): string =>
  names.length === 1 ? names[0]! : `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;

function show(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object" && value !== null) return "a block of keys";
  return typeof value === "string" ? `the text "${value.slice(0, 40)}"` : String(value);
}

function where(path: Path): string {
  if (path.length === 0) return "";
  const [first, index, ...rest] = path;
  if (first !== "stages" || typeof index !== "number") return ` in ${path.map(String).join(".")}`;
  return ` in ${[...rest.map(String), ""].join(" of ")}stage ${index + 1}`;
}

const keysOf = (value: unknown): string[] =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? Object.keys(value) : [];

const valueAt = (input: unknown, path: Path): unknown =>
  path.reduce<unknown>(
    (value, part) => (typeof value === "object" && value !== null ? Reflect.get(value, part) : undefined),
    input,
  );

/** A node of the recipe's JSON Schema, as far as keys are concerned. */
interface Node {
  properties?: Record<string, Node>;
  items?: Node;
  oneOf?: Node[];
  anyOf?: Node[];
  const?: unknown;
}

let schema: Node | null = null;

/** The keys that the block at `path` may have, and those of them that the input does not give. */
function keysAt(input: unknown, path: Path): { valid: string[]; missing: string[] } {
  schema ??= z.toJSONSchema(recipeObject, { io: "input" }) as Node;
  const valid = [...new Set(blocksAt(schema, input, path).flatMap((block) => Object.keys(block)))];
  const present = keysOf(valueAt(input, path));
  return { valid, missing: valid.filter((key) => !present.includes(key)) };
}

/** The properties of each block that the schema allows at `path`, narrowed by what the input says of its kind. */
function blocksAt(node: Node, input: unknown, path: Path): Record<string, Node>[] {
  const options = node.oneOf ?? node.anyOf;
  if (options !== undefined) {
    const chosen = options.filter(({ properties = {} }) =>
      Object.entries(properties).some(
        ([key, { const: tag }]) => tag !== undefined && tag === valueAt(input, [key]),
      ),
    );
    return (chosen.length > 0 ? chosen : options).flatMap((option) => blocksAt(option, input, path));
  }
  const [first, ...rest] = path;
  if (first === undefined) return node.properties === undefined ? [] : [node.properties];
  const next = node.items ?? node.properties?.[String(first)];
  return next === undefined ? [] : blocksAt(next, valueAt(input, [first]), rest);
}
