/** `sputnik chat [MODEL]`: a person talks to a model, or gives it problems and watches it think. */
import color from "picocolors";
import type { Precision } from "../checkpoint/quantise.ts";
import { usageError } from "../lib/errors.ts";
import { findModel } from "../run/find-model.ts";
import { RunBus } from "../server/bus.ts";
import type { ChatService } from "../server/chat.ts";
import { ThreadChat } from "../server/chat-service.ts";
import { type AskOptions, answer, tries } from "./answer.ts";
import { printNotes } from "./notes.ts";
import { servePage } from "./page.ts";
import { printable } from "./printable.ts";
import { atPrompt, isTerminal, pipedLines, setting } from "./prompt.ts";
import { talk, talkLines } from "./talk.ts";

export interface ChatOptions {
  temperature?: number;
  topP?: number;
  maxTokens?: number;
  system?: string;
  seed?: number;
  serve?: boolean;
  port?: number;
  precision?: Precision;
}

const HELP = `Type numbers and a target, such as ${color.bold("82 27 11 = 44")}; the model looks for an expression of all of them.
  /tries 8         the same problem eight times, side by side
  /temperature 0.6 how freely it thinks; 0 is always the likeliest token
  /help            this page
  /exit            ends (Ctrl-D too); Ctrl-C stops a thought`;

export async function chat(name: string | undefined, options: ChatOptions): Promise<void> {
  const found = findModel(name);
  printNotes(found.folder);
  const service = new ThreadChat({ model: found, precision: options.precision });
  const [model] = service.models();
  const talks = model.kind === "conversation";
  const { system, topP, maxTokens, temperature, seed } = options;
  if (!talks && [system, topP, maxTokens].some((value) => value !== undefined))
    throw usageError(
      "This model has no chat template: it answers problems of its task.",
      "Leave --system, --top-p and --max-tokens out.",
    );
  service.warm();
  try {
    if (options.serve) await showPage(service, options.port);
    else if (isTerminal()) {
      console.log(`${color.bold("Sputnik")}  ${printable(model.description)}`);
      if (talks) await talk(service, options);
      else {
        console.log(`${HELP}\n`);
        await converse(service, { temperature, seed });
      }
    } else if (talks) await talkLines(service, options);
    else await pipedLines((line, signal) => answer(service, line, { temperature, seed }, signal));
  } finally {
    await service.close();
  }
}

async function showPage(service: ThreadChat, port?: number): Promise<void> {
  const page = await servePage(new RunBus(), service, { port });
  console.log(`Talk to it at ${color.cyan(page.url)} (Ctrl-C ends).`);
  await new Promise((resolve) => process.once("SIGINT", resolve));
  await page.close();
}

/** Answers problems until the person leaves. `model` is an id of the service. */
export async function converse(service: ChatService, options: AskOptions, model?: string): Promise<void> {
  const state: AskOptions = { ...options, model };
  let last = "";
  await atPrompt(color.cyan("numbers = target > "), async (line, signal) => {
    const [word, value = ""] = line.split(/\s+/);
    if (word === "/help") console.log(HELP);
    else if (word === "/temperature")
      state.temperature = setting("temperature", value, state.temperature) ?? state.temperature;
    else if (word === "/tries" && last === "") console.log("Ask something first.");
    else if (word === "/tries") await tries(service, last, clamp(Number(value) || 8), state, signal);
    else if (word.startsWith("/")) console.log(`There is no ${word}. /help shows what there is.`);
    else {
      // A problem that could not be read or answered is not repeated by an empty line.
      if (await answer(service, line, state, signal)) last = line;
    }
  });
}

const clamp = (count: number): number => Math.min(64, Math.max(1, Math.round(count)));
