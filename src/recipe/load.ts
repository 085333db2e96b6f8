/** Reads a recipe file. One screen shows every mistake with its line. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  visit,
} from "yaml";
import { UserError } from "../lib/errors.ts";
import { readText, textFault } from "../lib/text-file.ts";
import { explain, type Path } from "./problems.ts";
import { type Recipe, translateKeys } from "./schema.ts";
import { expandPresets, recipeSchema } from "./validate.ts";

export interface RecipeProblem {
  /** From 1; 0 for a problem of the file itself. */
  line: number;
  column: number;
  /** Dotted, from the top of the recipe; empty for syntax errors. */
  path: string;
  message: string;
  /** The nearest valid key, for an unknown one. */
  suggestion: string | null;
}

/** A recipe's text and, for messages, its file. */
export interface RecipeSource {
  text: string;
  file: string;
}

/** Problems shown in full, at three lines each; a terminal has 24 lines. */
const SHOWN = 6;
const LONGEST_LINE = 100;

/** A recipe that cannot be run: the message is ready for the terminal, `data` holds the file and the problems. */
const recipeError = (file: string, problems: RecipeProblem[], text = ""): UserError =>
  new UserError({ kind: "recipe", what: screen(file, problems, text), data: { file, problems } });

/** The problems of an error of kind "recipe". */
export const problemsOf = (error: UserError): RecipeProblem[] => error.data.problems as RecipeProblem[];

const NOWHERE = { line: 0, column: 0, path: "", suggestion: null };

/** Reads and checks a recipe. @throws UserError, for a missing file too. */
export function loadRecipe(path: string): Recipe {
  return parseRecipe(readRecipe(path), path);
}

/** The text of a recipe file. @throws UserError where there is none. */
export function readRecipe(path: string): string {
  try {
    return readText(path);
  } catch (error) {
    const fault = textFault(error);
    if (fault === null) throw error;
    const why =
      fault.found === "there is no such file"
        ? "There is no such file. The recipes that come with Sputnik are in recipes/."
        : fault.found.startsWith("a folder")
          ? "This is a folder. Give the recipe's YAML file in it."
          : `${fault.line === null ? "" : `Line ${fault.line}: `}Expected a recipe in YAML, found ${fault.found}. ${fault.remedy}`;
    throw recipeError(path, [{ ...NOWHERE, message: why }]);
  }
}

/** Checks a recipe's text. @param file its path, also for messages. @throws UserError */
export function parseRecipe(text: string, file: string): Recipe {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true });
  // A tag that nobody knows is a warning of the library, after which the value means something else.
  const all = [...document.errors, ...document.warnings];
  // Whatever follows a tab is misread because of it.
  const tabs = all.filter(({ code }) => code === "TAB_AS_INDENT");
  const faults = tabs.length > 0 ? tabs : all;
  if (faults.length > 0) {
    const problems = faults.map((error) => {
      const { line, col } = lines.linePos(error.pos[0]);
      return { ...NOWHERE, line, column: col, message: inWords(error) };
    });
    throw recipeError(file, problems, text);
  }
  const written = withoutExtensions(toValue(document, lines, file, text));
  const input = isOfStoredRun(file) ? translateKeys(written) : written;
  const parsed = recipeSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  const problems = explain(expandPresets(input), parsed.error.issues).map((finding) => {
    const place: Place = locate(document, lines, finding.path, finding.at);
    return {
      line: place.line,
      column: place.column,
      path: finding.path.map(String).join("."),
      message: finding.message + (finding.at === "key" ? partHint(document, finding.path) : ""),
      suggestion: finding.suggestion,
    };
  });
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  throw recipeError(file, problems, text);
}

/** Whether a recipe's file is the copy in a run's folder, which an older version may have written. */
const isOfStoredRun = (file: string): boolean => existsSync(join(dirname(file), "run.json"));

/** A problem that only the model's files or the data show, at its place in the recipe. */
export function problemAt({ text, file }: RecipeSource, path: PropertyKey[], message: string): UserError {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true });
  const { line, column } = locate(document, lines, path, "value");
  return recipeError(
    file,
    [{ line, column, path: path.map(String).join("."), message, suggestion: null }],
    text,
  );
}

/** What the library says in a programmer's words. */
function inWords({ code, message }: { code: string; message: string }): string {
  switch (code) {
    case "MULTIPLE_DOCS":
      return "A second document begins here (---), and a file holds one recipe: put the other into a file of its own.";
    case "DUPLICATE_KEY":
      return "This key is twice in one block (Map keys must be unique): leave one out.";
    case "TAB_AS_INDENT":
      return "YAML does not allow tabs here: indent with blanks.";
    default:
      return `${message.replace(/\.$/, "")}.`;
  }
}

/** A block at the top that is there for its name (&name) alone. */
function partHint(document: Document, path: PropertyKey[]): string {
  const value = path.length === 1 ? findPair(document, document.contents, path[0])?.value : undefined;
  return isMap(value) && value.anchor !== undefined
    ? ` For a block that holds parts for other places: "x-${String(path[0])}".`
    : "";
}

/** `x-...` at the top holds parts that anchors name, as in Compose files: the recipe says where they are used. */
function withoutExtensions(input: unknown): unknown {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return input;
  return Object.fromEntries(Object.entries(input).filter(([key]) => !key.startsWith("x-")));
}

/** Aliases may be undefined or explode, and merge keys hold no block; the library throws for all of them. */
function toValue(document: Document, lines: LineCounter, file: string, text: string): unknown {
  try {
    return document.toJS();
  } catch (error) {
    let [start, message] = [0, `${(error as Error).message.replace(/\.$/, "")}.`];
    if (message.startsWith("Merge sources")) {
      message = "What << merges must be a block of keys, or the name of one (*name of a block marked &name).";
      visit(document, {
        Pair(_, { key, value }) {
          if (!isScalar(key) || typeof key.value !== "symbol") return undefined;
          const sources = isSeq(value) ? value.items : [value];
          const wrong = sources.find((one) => !isMap(isAlias(one) ? one.resolve(document) : one));
          if (wrong === undefined) return undefined;
          start = (wrong as { range?: [number] } | null)?.range?.[0] ?? key.range?.[0] ?? 0;
          return visit.BREAK;
        },
      });
    } else if (message.startsWith("Excessive alias"))
      message =
        "A name (*name) leads to itself, or names within names multiply without end: write the parts out.";
    const { line, col } = lines.linePos(start);
    throw recipeError(
      file,
      [{ ...NOWHERE, line: Math.max(1, line), column: Math.max(1, col), message }],
      text,
    );
  }
}

function screen(file: string, problems: RecipeProblem[], text: string): string {
  if (problems.length === 1 && problems[0]!.line === 0) return `${file}: ${problems[0]!.message}`;
  const source = text.split(/\r?\n/);
  const head = `${file} is not a valid recipe: ${problems.length === 1 ? "1 problem" : `${problems.length} problems`}.`;
  const blocks = problems.slice(0, SHOWN).map((problem) => {
    const number = String(problem.line);
    const full = (source[problem.line - 1] ?? "").replace(/\p{Cc}/gu, " ");
    // Of a long line, the part that holds the column.
    const from = full.length <= LONGEST_LINE ? 0 : Math.max(0, problem.column - LONGEST_LINE / 2);
    const line = full.slice(from, from + LONGEST_LINE);
    const caret = `${" ".repeat(number.length)} | ${" ".repeat(Math.min(problem.column - 1 - from, line.length))}^`;
    return `${file}:${problem.line}:${problem.column}: ${problem.message}\n  ${number} | ${line}\n  ${caret}`;
  });
  const hidden = problems.slice(SHOWN).map(({ line }) => line);
  const more =
    hidden.length === 0 ? [] : [`And ${hidden.length} more, on line ${hidden.slice(0, 20).join(", ")}.`];
  return [head, ...blocks, ...more].join("\n");
}

/** Where a value or a key is in the file. */
interface Place {
  /** From 1. */
  line: number;
  /** From 1. */
  column: number;
  /** Characters to underline on that line. */
  length: number;
}

type Range = readonly [start: number, valueEnd: number, nodeEnd: number];

/**
 * The place of the value at `path`, or of its key. A path that the file does not hold (a missing key, a
 * value filled in by a preset) gives the nearest ancestor's place.
 */
function locate(document: Document, lines: LineCounter, path: Path, what: "key" | "value"): Place {
  let node: unknown = document.contents;
  let key: unknown = null;
  let deepest = true;
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(document);
    const pair = findPair(document, node, part);
    const next = pair?.value ?? (isSeq(node) && typeof part === "number" ? node.items[part] : undefined);
    if (pair === undefined && next === undefined) {
      deepest = false;
      break;
    }
    key = pair?.key ?? null;
    node = next;
  }
  // The key names a block better than the first line in it does.
  const useKey = key !== null && (what === "key" || !deepest || !isScalar(node));
  return place(document, lines, rangeOf(useKey ? key : node) ?? rangeOf(key));
}

/** In the map itself, else in what `<<` merges into it. */
function findPair(document: Document, node: unknown, part: PropertyKey): Pair | undefined {
  const map = isAlias(node) ? node.resolve(document) : node;
  if (!isMap(map)) return undefined;
  // The library's merge key is a symbol.
  const text = (value: unknown) => (typeof value === "symbol" ? value.description : String(value));
  const named = (name: string) => map.items.find(({ key }) => isScalar(key) && text(key.value) === name);
  const own = named(String(part));
  const merged = named("<<")?.value;
  if (own !== undefined || merged === undefined) return own;
  const sources = isSeq(merged) ? merged.items : [merged];
  return sources.map((source) => findPair(document, source, part)).find((found) => found !== undefined);
}

function rangeOf(node: unknown): Range | null {
  if (typeof node !== "object" || node === null || !("range" in node)) return null;
  return (node.range as Range | null | undefined) ?? null;
}

function place(document: Document, lines: LineCounter, range: Range | null): Place {
  const [start, end] = range ?? document.range ?? [0, 0];
  const from = lines.linePos(start);
  const to = lines.linePos(end);
  const length = to.line === from.line ? Math.max(1, to.col - from.col) : 1;
  return { line: Math.max(1, from.line), column: Math.max(1, from.col), length };
}
