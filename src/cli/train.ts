/** `sputnik train RECIPE`: runs a recipe, or resumes an interrupted run of it. */
import { join } from "node:path";
import color from "picocolors";
import { usageError } from "../lib/errors.ts";
import { parseRecipe, readRecipe } from "../recipe/load.ts";
import { resolvePaths } from "../recipe/paths.ts";
import type { Recipe } from "../recipe/schema.ts";
import { differencesFromRun, readJson, runPaths } from "../run/folder.ts";
import type { RunInfo } from "../run/info.ts";
import type { RunOrder } from "../run/launch.ts";
import { ensureReport } from "../run/report/report.ts";
import type { EngineOptions } from "../runtime/engine.ts";
import { openPage, type Page } from "./page.ts";
import { printableJson } from "./printable.ts";
import { progressFor } from "./progress.ts";
import { commandLine, fail } from "./screen.ts";
import { printSummary, summarise } from "./summary.ts";
import { INTERRUPTED, supervise } from "./supervise.ts";
import { terminalLost } from "./terminal.ts";

export interface TrainOptions {
  name?: string;
  fresh?: boolean;
  /** Take over finished stages of other runs; `fresh` does not. */
  reuse: boolean;
  quiet?: boolean;
  json?: boolean;
  dryRun?: boolean;
  passRate?: number;
  answerTokens?: number;
  profile?: boolean;
  serve?: boolean;
  port?: number;
  engine?: EngineOptions;
}

export async function train(file: string, options: TrainOptions): Promise<void> {
  const recipeText = readRecipe(file);
  const recipe = parseRecipe(recipeText, file);
  if (options.dryRun)
    return (await import("./dry-run.ts")).dryRun(
      { ...resolvePaths(recipe, file), source: { text: recipeText, file } },
      options,
    );
  if (options.passRate !== undefined || options.answerTokens !== undefined)
    throw usageError(
      "--pass-rate and --answer-tokens are for a forecast, and this is a run.",
      "Add --dry-run, or leave them out.",
    );
  if (options.profile)
    return (await import("./profile.ts")).profile(resolvePaths(recipe, file).recipe, options);
  const { name = recipe.name, fresh = false, engine } = options;
  const run = join("runs", name);
  if (!fresh && isFinished(run, recipe)) return tellFinished(run, options);

  const page = options.serve ? await openPage({ run, port: options.port, fresh }) : null;
  const progress = progressFor(options);
  if (page !== null) progress.say(`page ${color.cyan(page.url)}`);
  const reuse = options.reuse && !fresh;
  const order: RunOrder = { recipeFile: file, recipeText, name, fresh, reuse, engine };
  const command = commandLine(`train ${file}${options.name === undefined ? "" : ` --name ${name}`}`);
  try {
    const outcome = await supervise(order, { progress, publish: page?.publish, command });
    if (options.json) console.log(printableJson(summarise(run, outcome)));
    else if (outcome === "finished") printSummary(run);
    if (outcome === "stopped") process.exitCode = INTERRUPTED;
    else if (page !== null) await linger(page);
  } catch (error) {
    process.exitCode = fail(error, options.json);
  } finally {
    await page?.close();
  }
}

/** Whether the folder holds a finished run of this recipe. */
export function isFinished(run: string, recipe: Recipe): boolean {
  const info = readJson<RunInfo>(runPaths(run).info);
  return info !== null && info.finishedAt !== null && differencesFromRun(run, info, recipe).length === 0;
}

function tellFinished(run: string, { json }: TrainOptions): void {
  ensureReport(run);
  if (json) console.log(printableJson(summarise(run, "finished")));
  else {
    printSummary(run);
    console.log(
      `\nThis run was finished before. To train it again: add ${color.bold("--fresh")}, which keeps this one too.`,
    );
  }
}

/** Keeps the page open until Ctrl-C, if there is a terminal on which a person can press it. */
async function linger(page: Page): Promise<void> {
  if (!process.stdin.isTTY || terminalLost()) return;
  console.error(`\nThe page stays at ${page.url} until Ctrl-C.`);
  await new Promise<void>((resolve) => process.once("SIGINT", () => resolve()));
}
