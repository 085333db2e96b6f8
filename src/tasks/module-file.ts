/**
 * Loads the file of a task of one's own, in TypeScript or JavaScript, on every Node that we run on. `sputnik-r1` and its
 * sub-paths are those of this installation, whether or not the file's folder has one. Faults are told with file and line.
 */
import { readFileSync } from "node:fs";
import { basename, extname, isAbsolute, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { workerData } from "node:worker_threads";
import { UserError } from "../lib/errors.ts";
import type { TargetDifficulty } from "./curriculum.ts";
import { type Asked, type Blame, type Part, type TaskDefinition, taskError, taskOf } from "./define.ts";
import { environmentOf, isEnvironment } from "./environment.ts";
import type { Task } from "./problem.ts";
import type { ChatPromptTemplate } from "./prompt.ts";
import { kindOf } from "./rows.ts";
import type { ThreadData } from "./verifier-worker.ts";

export interface ModuleSettings {
  module: string;
  difficulty: number | TargetDifficulty;
  template?: ChatPromptTemplate;
  /** For a file whose default export is a function of them. */
  options?: Record<string, unknown>;
}

/** The task of a file. @throws UserError "task" naming the file and, where there is one, the line */
export async function taskOfModule({ module, options, difficulty, template }: ModuleSettings): Promise<Task> {
  const exported = await importFile(module);
  const made = typeof exported === "function" ? await callWith(module, exported, options) : exported;
  if (typeof exported !== "function" && options !== undefined)
    throw fileError(module, lineOf(module, /\bexport\s+default\b/), {
      what: "its default export takes no options, and the recipe gives some",
      remedy: "Export a function of them, (options) => defineTask({ ... }), or leave them out.",
    });
  if (!isDefinition(made) && !isEnvironment(made))
    throw fileError(module, lineOf(module, /\bexport\s+default\b/), {
      what: `its default export is ${kindOf(made)}, not a task`,
      remedy:
        "Write: export default defineTask({ generate, verify }), or defineEnvironment({ start, step }).",
    });
  const name = basename(module, extname(module));
  const settings = { name, difficulty, template, blame: blameIn(module), onSeed: noteSeed };
  return isEnvironment(made) ? environmentOf(made, settings) : taskOf(made, settings);
}

/** So that whoever waits for a problem can say which one never came. */
function noteSeed(seed: number): void {
  const { waiting } = (workerData ?? {}) as Partial<ThreadData>;
  if (waiting !== undefined) Atomics.store(waiting.answered, 1, seed);
}

const isDefinition = (value: unknown): value is TaskDefinition<Asked> =>
  typeof value === "object" &&
  value !== null &&
  ["generate", "verify"].every((part) => typeof Reflect.get(value, part) === "function");

/** The folder of our own modules. */
const OURS = fileURLToPath(new URL("..", import.meta.url));
const ENDING = extname(import.meta.url);

/** `sputnik-r1` and `sputnik-r1/tasks` as modules of this installation, loaded when they are imported. */
const library = new Proxy<Record<string, unknown>>(
  {},
  {
    has: (_, name) => /^sputnik-r1(\/[a-z]+)?$/.test(String(name)),
    get: (_, name) => {
      const [, part] = String(name).split("/");
      return import(
        new URL(`../${part === undefined ? "index" : `library/${part}`}${ENDING}`, import.meta.url).href
      );
    },
  },
);

async function importFile(file: string): Promise<unknown> {
  const { createJiti } = await import("jiti");
  const jiti = createJiti(import.meta.url, {
    ...{ fsCache: false, interopDefault: false, tryNative: false, virtualModules: library },
  });
  let loaded: unknown;
  try {
    loaded = await jiti.import(resolve(file));
  } catch (error) {
    throw importError(file, error);
  }
  const exported: unknown = Reflect.get(Object(loaded), "default");
  if (exported !== undefined) return exported;
  throw fileError(file, null, {
    what: "it has no default export",
    remedy: "Write: export default defineTask({ generate, verify }).",
  });
}

async function callWith(file: string, exported: unknown, options: unknown): Promise<unknown> {
  try {
    return await (exported as (options: unknown) => unknown)(options ?? {});
  } catch (error) {
    const { where, line } = placeOf(error) ?? { where: file, line: null };
    throw fileError(where, line, { what: `its default export threw: ${saidBy(error)}` });
  }
}

/** What a loader says, in words, with the place. */
function importError(file: string, error: unknown): UserError {
  const message = saidBy(error);
  const syntax = /ParseError: (.*?)\s*\n\s*(.+):(\d+):\d+/s.exec(message);
  if (syntax !== null)
    return fileError(shown(syntax[2]!), Number(syntax[3]), {
      what: `it does not compile: ${syntax[1]!.trim()}`,
    });
  const absent = /Cannot find (?:module|package) '([^']+)'/.exec(message)?.[1];
  if (absent !== undefined) {
    const place = placeOf(error) ?? { where: file, line: null };
    const isPath = /^[./]/.test(absent);
    return fileError(place.where, place.line, {
      what: `it imports ${absent}, which is ${isPath ? "not there" : "not installed"}`,
      remedy: isPath ? "Correct the path." : `Install it beside the file: npm install ${absent}`,
    });
  }
  const { where, line } = placeOf(error) ?? { where: file, line: null };
  return fileError(where, line, { what: `it threw while it was imported: ${message}`, cause: error });
}

const saidBy = (error: unknown): string =>
  error instanceof Error
    ? `${error.name === "Error" ? "" : `${error.name}: `}${error.message}`
    : String(error);

export function fileError(
  file: string,
  line: number | null,
  { what, remedy, cause }: { what: string; remedy?: string; cause?: unknown },
): UserError {
  const where = line === null ? file : `${file}, line ${line}`;
  return new UserError({ kind: "task", where, what, remedy, data: { file, line }, cause });
}

/** Names the line of the person's code in the error's stack, or else that of the part. */
export const blameIn =
  (file: string): Blame =>
  (part, did, cause) => {
    const place = placeOf(cause) ?? { where: file, line: lineOf(file, startOf(part)) };
    const { where, line } = place;
    return taskError(line === null ? where : `${where}, line ${line}`, part, did, cause);
  };

/** Where a property of this name begins: `verify(`, `verify:`, `async verify(`. */
const startOf = (part: Part): RegExp => new RegExp(`(^|[\\s{,])${part}\\s*[(:,]`);

/** The first line of the file that matches, from 1, or `null`. */
function lineOf(file: string, pattern: RegExp): number | null {
  const index = readFileSync(file, "utf8")
    .split("\n")
    .findIndex((line) => pattern.test(line));
  return index === -1 ? null : index + 1;
}

const FRAME = /(?:\(|at (?:async )?)((?:file:\/\/)?(?:\/|[A-Za-z]:[\\/]).+?):(\d+):\d+\)?$/;

/** The innermost line of an error's stack that is neither ours nor a package's. */
function placeOf(error: unknown): { where: string; line: number } | null {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  for (const text of stack.split("\n")) {
    const [, path, line] = FRAME.exec(text) ?? [];
    if (path === undefined) continue;
    const file = path.startsWith("file:") ? fileURLToPath(path) : path;
    if (!file.startsWith(OURS) && !file.includes(`${sep}node_modules${sep}`))
      return { where: shown(file), line: Number(line) };
  }
  return null;
}

/** A path as a person would type it here. */
function shown(file: string): string {
  const near = relative(process.cwd(), file);
  return near.startsWith("..") || isAbsolute(near) ? file : near;
}
