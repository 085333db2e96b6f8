/** Reads a recipe file. What is wrong with it is shown all at once, on one screen, with its lines. */
import { readFileSync } from "node:fs";
import { type Document, LineCounter, parseDocument } from "yaml";
import { locate, type Place } from "./locate.ts";
import { expandPresets } from "./presets.ts";
import { explain } from "./problems.ts";
import { type Recipe, recipeSchema } from "./schema.ts";

export interface RecipeProblem {
  /** From 1; 0 where the whole file is meant. */
  line: number;
  column: number;
  /** Dotted, from the top of the recipe; empty for syntax errors. */
  path: string;
  message: string;
  /** The nearest valid key, for an unknown one. */
  suggestion: string | null;
}

/** Problems shown in full, at three lines each; a terminal has 24 lines. */
const SHOWN = 6;
const LONGEST_LINE = 100;

/** A recipe that cannot be run. The message is ready for the terminal; the fields are its data. */
export class RecipeError extends Error {
  readonly file: string;
  readonly problems: RecipeProblem[];

  constructor(file: string, problems: RecipeProblem[], text = "") {
    super(screen(file, problems, text));
    this.name = "RecipeError";
    this.file = file;
    this.problems = problems;
  }
}

/** Reads and checks a recipe. Throws a `RecipeError`, for a missing file too. */
export function loadRecipe(path: string): Recipe {
  return parseRecipe(readRecipe(path), path);
}

/** The text of a recipe file. Throws a `RecipeError` where there is none. */
export function readRecipe(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === "ENOENT"
        ? "There is no such file. The recipes that come with Sputnik are in recipes/."
        : code === "EISDIR"
          ? "This is a folder. Give the recipe's YAML file in it."
          : `The file cannot be read: ${(error as Error).message}.`;
    throw new RecipeError(path, [{ line: 0, column: 0, path: "", message: why, suggestion: null }]);
  }
}

/** Checks a recipe's text; `file` is its name in messages. Throws a `RecipeError`. */
export function parseRecipe(text: string, file: string): Recipe {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    const problems = document.errors.map((error) => {
      const { line, col } = lines.linePos(error.pos[0]);
      return { line, column: col, path: "", message: `${error.message}.`, suggestion: null };
    });
    throw new RecipeError(file, problems, text);
  }
  const input = toValue(document, file, text);
  const parsed = recipeSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  const problems = explain(recipeSchema, expandPresets(input), parsed.error.issues).map((finding) => {
    const place: Place = locate(document, lines, finding.path, finding.at);
    return {
      line: place.line,
      column: place.column,
      path: finding.path.map(String).join("."),
      message: finding.message,
      suggestion: finding.suggestion,
    };
  });
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  throw new RecipeError(file, problems, text);
}

/** Aliases may be undefined or explode; the library throws for both. */
function toValue(document: Document, file: string, text: string): unknown {
  try {
    return document.toJS();
  } catch (error) {
    const message = `${(error as Error).message}.`;
    throw new RecipeError(file, [{ line: 1, column: 1, path: "", message, suggestion: null }], text);
  }
}

function screen(file: string, problems: RecipeProblem[], text: string): string {
  if (problems.length === 1 && problems[0]!.line === 0) return `${file}: ${problems[0]!.message}`;
  const source = text.split(/\r?\n/);
  const head = `${file} is not a valid recipe: ${problems.length === 1 ? "1 problem" : `${problems.length} problems`}.`;
  const blocks = problems.slice(0, SHOWN).map((problem) => {
    const number = String(problem.line);
    const line = (source[problem.line - 1] ?? "").slice(0, LONGEST_LINE);
    const caret = `${" ".repeat(number.length)} | ${" ".repeat(Math.min(problem.column - 1, line.length))}^`;
    return `${file}:${problem.line}:${problem.column}: ${problem.message}\n  ${number} | ${line}\n  ${caret}`;
  });
  const hidden = problems.slice(SHOWN).map(({ line }) => line);
  const more =
    hidden.length === 0 ? [] : [`And ${hidden.length} more, on line ${hidden.slice(0, 20).join(", ")}.`];
  return [head, ...blocks, ...more].join("\n");
}
