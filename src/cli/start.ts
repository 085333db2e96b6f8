/** `npm start`: trains the default recipe with its live page, then offers the chat. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import color from "picocolors";
import { isUserError } from "../lib/errors.ts";
import { parseRecipe, readRecipe } from "../recipe/load.ts";
import { SHIPPED } from "../run/find-model.ts";
import { ensureReport } from "../run/report/report.ts";
import type { EngineOptions } from "../runtime/engine.ts";
import { converse } from "./chat.ts";
import { openPage, type Page } from "./page.ts";
import { progressFor } from "./progress.ts";
import { fail, note } from "./screen.ts";
import { printSummary } from "./summary.ts";
import { INTERRUPTED, supervise } from "./supervise.ts";
import { terminalLost } from "./terminal.ts";
import { isFinished } from "./train.ts";

export interface StartOptions {
  fresh?: boolean;
  port?: number;
  engine?: EngineOptions;
}

const RECIPE = fileURLToPath(new URL("../../recipes/tiny-r1-zero.yaml", import.meta.url));
const TEMPERATURE = 0.6;

export async function start({ fresh = false, port, engine }: StartOptions): Promise<void> {
  const interactive = process.stdin.isTTY && process.stdout.isTTY && process.env.CI === undefined;
  const recipeText = readRecipe(RECIPE);
  const recipe = parseRecipe(recipeText, RECIPE);
  const { name } = recipe;
  const run = join("runs", name);
  const finished = !fresh && isFinished(run, recipe);
  const page = await openPage({ run, port, fresh }).catch(pageIsOptional(interactive || port !== undefined));
  try {
    if (page !== null) greet(page.url);
    if (finished) {
      ensureReport(run);
      page?.begin();
      printSummary(run);
      console.log(
        `\nThis run was finished before. To train it again: ${color.bold("npm start -- --fresh")}, which keeps this one too.`,
      );
    } else {
      const watchers = { progress: progressFor({}), publish: page?.publish, command: "npm start" };
      const outcome = await supervise({ recipeFile: RECIPE, recipeText, name, fresh, engine }, watchers);
      if (outcome === "stopped") {
        process.exitCode = INTERRUPTED;
        return;
      }
      printSummary(run);
    }
    if (interactive && page !== null && !terminalLost()) await talk(page);
  } catch (error) {
    process.exitCode = fail(error);
  } finally {
    await page?.close();
  }
}

function greet(url: string): void {
  const chat = existsSync(SHIPPED) ? ", where a finished model answers already" : "";
  console.log(
    `${color.bold("Sputnik")} trains a small R1-Zero from random weights.\nWatch it at ${color.cyan(url)}${chat}.\n`,
  );
}

/** If nobody asked for the page, a port that cannot be opened does not stop the training. */
function pageIsOptional(wanted: boolean): (error: unknown) => Page | null {
  return (error) => {
    if (wanted || !isUserError(error, "port")) throw error;
    note(`no page: ${error.message}`);
    return null;
  };
}

async function talk(page: Page): Promise<void> {
  console.log(
    `\nNow talk to it: type numbers and a target, such as ${color.bold("82 27 11 = 44")} (/help for more, /exit to end).`,
  );
  console.log(`The page stays at ${color.cyan(page.url)} until then.\n`);
  const model = page.chat.models().some(({ id }) => id === "run") ? "run" : undefined;
  await converse(page.chat, { temperature: TEMPERATURE }, model);
}
