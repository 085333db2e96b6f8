/** `sputnik eval`: an evaluation on problems that no training saw, its completions verified again, or two of them compared. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { dirname, join } from "node:path";
import color from "picocolors";
import type { Precision } from "../checkpoint/quantise.ts";
import { completionKey, longestPrompt, sampleCompletions } from "../eval/completions.ts";
import { chooseProblems } from "../eval/problems.ts";
import {
  type EvaluationHeader,
  header,
  type OpenStore,
  openStore,
  readStored,
  verifyStored,
} from "../eval/stored.ts";
import { isUserError, usageError } from "../lib/errors.ts";
import {
  type EvaluationSettings,
  type EvaluationWishes,
  evaluationSettings,
  taskName as nameOf,
} from "../run/evaluation-settings.ts";
import { type FoundModel, findModel } from "../run/find-model.ts";
import { Engine, type EngineOptions } from "../runtime/engine.ts";

import { openForInference, shapeForInference } from "../sample/inference.ts";
import { isModuleFile } from "../tasks/module-task.ts";
import { probeTask } from "../tasks/probe.ts";
import { taskFrom, verifierFrom } from "../tasks/registry.ts";
import { compare } from "./eval-compare.ts";
import { EvaluationProgress } from "./eval-progress.ts";
import { show } from "./eval-table.ts";
import { printNotes } from "./notes.ts";
import { printable } from "./printable.ts";
import { INTERRUPTED } from "./supervise.ts";
import { onInterrupt } from "./terminal.ts";
import { showLoading } from "./waiting.ts";

export interface EvalOptions extends EvaluationWishes {
  precision?: Precision;
  engine?: EngineOptions;
  /** Where completions are stored, to be verified again with `from`. */
  out?: string;
  from?: string;
  compare?: string[];
  json?: boolean;
}

/** Prints a sentence for people to standard error: standard output holds nothing but the result. */
const note = (text: string): void => console.error(color.dim(printable(text)));

export async function evaluate(model: string | undefined, options: EvalOptions): Promise<void> {
  const { from, compare: compared, json, ...others } = options;
  const modes = {
    "--from": from !== undefined,
    "--compare": compared !== undefined,
    "a model": model !== undefined,
  };
  const named = Object.entries(modes).flatMap(([name, there]) => (there ? [name] : []));
  if (named.length > 1)
    throw usageError(
      `${named.join(" and ")} cannot go together: --from and --compare take stored evaluations and run no model.`,
      "Leave one of them out.",
    );
  if (compared !== undefined) {
    refuseOthers(others);
    return compare(compared, json);
  }
  if (from !== undefined) {
    const { task, ...further } = others;
    refuseOthers(task !== undefined && isModuleFile(task) ? further : others);
    return verifyAgain(from, task, json);
  }
  await evaluateModel(model, options);
}

/** Refuses options that would have no effect, since the completions exist already. */
function refuseOthers(options: object): void {
  const [idle] = Object.entries(options).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  if (idle === undefined) return;
  const flag =
    idle === "engine" ? "--threads" : `--${idle.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw usageError(
    `${flag} changes nothing where stored evaluations are read: their settings are stored with them.`,
    `Leave ${flag} out, or evaluate again with it.`,
  );
}

/** @param module the file of the task, where it is one: a stored evaluation may be a stranger's, and never runs code by itself */
async function verifyAgain(file: string, module: string | undefined, json?: boolean): Promise<void> {
  const stored = readStored(file);
  const { task } = stored.header;
  if ((task.kind === "module") !== (module !== undefined))
    throw task.kind === "module"
      ? usageError(
          `The task of these completions is the file ${task.module}, and a file is code.`,
          `To run it, add --task ${task.module}.`,
        )
      : usageError(
          `The completions are of the task ${task.kind}, and --task names a file.`,
          "Leave --task out.",
        );
  const own = task.kind === "module" && module !== undefined ? { ...task, module } : task;
  note(`${stored.completions.size} completions of ${stored.header.model}, verified again from ${file}`);
  const verified = await verifyStored(stored, verifierFrom(own));
  const wanted = stored.problems.length;
  show({ ...verified, head: stored.header, wanted, file, seconds: null, flops: null, tokens: null }, json);
}

async function evaluateModel(name: string | undefined, options: EvalOptions): Promise<void> {
  const { precision = "f32", engine, json, out } = options;
  const found = findModel(name);
  printNotes(found.folder);
  // Impossible settings are refused before gigabytes are read.
  const shape = shapeForInference(found.folder);
  const settings = evaluationSettings(found, shape, options);
  const task = taskFrom(settings.task);
  const problems = chooseProblems(task, settings);
  fitLimit(settings, longestPrompt(shape, problems), shape.config.maxPositions);
  if (settings.task.kind === "module")
    for (const warning of probeTask(
      task,
      problems.map(({ problem }) => problem),
    ))
      note(warning);
  const head = headerOf(found, settings, task.name, problems.length, precision);
  announce(settings, head);
  const loaded = showLoading();
  const opening = openForInference(found.folder, {
    precision,
    engine: engine && new Engine(engine),
    batched: true,
  });
  const model = await opening.finally(loaded);
  try {
    const path = out ?? join("runs", "evaluations", `${digest(head)}.jsonl`);
    const store = keep(path, () => openStore(path, head, problems));
    const completions = new Map(store.known);
    const wanted = settings.samples * problems.reduce((sum, { copies }) => sum + copies, 0);
    const progress = new EvaluationProgress(wanted, settings.maxNewTokens, store.known);
    const interruption = new AbortController();
    const ignoreSignals = onInterrupt(() => interruption.abort());
    const start = performance.now();
    let flops: number | null = null;
    try {
      const hooks = {
        signal: interruption.signal,
        onToken: () => progress.token(),
        onCompletion: (completion: Parameters<OpenStore["append"]>[0]) => {
          completions.set(completionKey(completion.problem, completion.sample), completion);
          store.append(completion);
          progress.completion(completion);
        },
      };
      ({ flops } = await sampleCompletions(
        model,
        problems,
        { ...settings, sampling: settings, task },
        hooks,
        store.known,
      ));
    } catch (error) {
      if (!interruption.signal.aborted) throw error;
    } finally {
      ignoreSignals();
      progress.end();
      store.close();
    }
    const seconds = (performance.now() - start) / 1000;
    const verified = await verifyStored({ header: head, problems, completions }, task);
    // Without --out the file only serves to continue after an interruption.
    if (verified.whole && out === undefined) removeStore(store.file);
    const file = !store.holds() || (verified.whole && out === undefined) ? null : store.file;
    if (!verified.whole && file !== null)
      note(`interrupted: the same command continues with the completions in ${file}`);
    const result = {
      ...verified,
      head,
      wanted: problems.length,
      file,
      seconds,
      flops,
      tokens: progress.tokens,
    };
    show(result, json);
    if (!verified.whole) process.exitCode = INTERRUPTED;
  } finally {
    await model.release();
  }
}

/** Removes the file and the folders that were made for it, if they are empty. */
function removeStore(file: string): void {
  fs.rmSync(file, { force: true });
  for (const folder of [dirname(file), dirname(dirname(file))]) {
    try {
      fs.rmdirSync(folder);
    } catch {
      // The folder holds other files.
      return;
    }
  }
}

/** Lowers a default limit to the positions that the longest prompt leaves; a limit that was given must fit. */
function fitLimit(
  settings: EvaluationSettings,
  longest: { tokens: number; id: string },
  positions: number,
): void {
  const room = positions - longest.tokens;
  if (room < 1)
    throw usageError(
      `The problem ${longest.id} has ${longest.tokens} tokens, and the model only ${positions} positions.`,
      "Leave the problem out, ask with --template plain, or take a model with more positions.",
    );
  if (settings.maxNewTokens <= room) return;
  if (settings.limitGiven)
    throw usageError(
      `Completions of ${settings.maxNewTokens} tokens and the longest prompt of ${longest.tokens} (${longest.id}) exceed the model's ${positions} positions.`,
      `Add --max-tokens ${room}, or less.`,
    );
  settings.maxNewTokens = room;
}

function headerOf(
  { folder, step }: FoundModel,
  settings: EvaluationSettings,
  taskName: string,
  problems: number,
  precision: string,
): EvaluationHeader {
  const { task, prompt, seed, part, samples, temperature, topP, topK, maxNewTokens, effort } = settings;
  return header({
    ...{ model: folder, step, weights: weightsStamp(folder), precision },
    ...{ taskName, task, prompt, seed, part, problems, samples, temperature },
    ...{ topP: topP ?? null, topK: topK ?? null, maxNewTokens },
    ...(effort !== undefined && { effort }),
  });
}

/** Sizes and times of the weight files, which show whether the model has changed since. */
function weightsStamp(path: string): string {
  const files = fs.statSync(path).isDirectory()
    ? fs.readdirSync(path).filter((name) => name.endsWith(".safetensors"))
    : [""];
  const stamp = files.toSorted().map((name) => {
    const { size, mtimeMs } = fs.statSync(join(path, name));
    return `${name} ${size} ${Math.round(mtimeMs)}`;
  });
  return createHash("sha256").update(stamp.join("\n")).digest("hex").slice(0, 12);
}

const digest = (head: EvaluationHeader): string =>
  createHash("sha256").update(JSON.stringify(head)).digest("hex").slice(0, 12);

function announce(settings: EvaluationSettings, head: EvaluationHeader): void {
  const { notes, prompt, promptSource, samples, temperature, maxNewTokens } = settings;
  for (const text of notes) note(text);
  const form = prompt === "chat" ? "the model's chat template" : `the ${prompt} form`;
  note(`prompt: ${form} (${promptSource})`);
  note(
    `${nameOf(settings.task)}: ${head.problems} problems x ${samples} completions of at most ${maxNewTokens} tokens, temperature ${temperature}, ${head.model}`,
  );
}

/** Stores completions. On a full disk or in a read-only folder the evaluation continues without the file. */
function keep(file: string, open: () => OpenStore): OpenStore & { holds: () => boolean } {
  const lost = (error: unknown): void =>
    note(`completions are not stored: ${error instanceof Error ? error.message : String(error)}`);
  let store: OpenStore | null = null;
  try {
    store = open();
  } catch (error) {
    if (isUserError(error, "usage")) throw error;
    lost(error);
  }
  if (store !== null && store.known.size > 0)
    note(`${store.known.size} completions are in ${file} already: the others are sampled`);
  return {
    file,
    known: store?.known ?? new Map(),
    append(completion) {
      try {
        store?.append(completion);
      } catch (error) {
        store?.close();
        store = null;
        lost(error);
      }
    },
    close: () => store?.close(),
    holds: () => store !== null,
  };
}
