/** `sputnik chat [RUN]`: a person types numbers and a target, and watches the model think. */
import * as readline from "node:readline/promises";
import color from "picocolors";
import { findModel } from "../recipe/find-model.ts";
import type { Precision } from "../sample/quantise.ts";
import type { ChatService } from "../server/chat.ts";
import { ThreadChat } from "../server/chat-service.ts";
import { type AskOptions, answer, tries } from "./answer.ts";

export interface ChatOptions {
  temperature: number;
  seed?: number;
  precision?: Precision;
}

const HELP = `Type numbers and a target, such as ${color.bold("82 27 11 = 44")}; the model looks for an expression of all of them.
  /tries 8         the same problem eight times, side by side
  /temperature 0.6 how freely it thinks; 0 is always the likeliest token
  /help            this page
  /exit            ends (Ctrl-D too); Ctrl-C stops a thought`;

export async function chat(run: string | undefined, options: ChatOptions): Promise<void> {
  const service = new ThreadChat({ model: findModel(run), precision: options.precision });
  service.warm();
  try {
    if (process.stdin.isTTY && process.stdout.isTTY) {
      const [model] = service.models();
      console.log(`${color.bold("Sputnik")}  ${model.description}\n${HELP}\n`);
      await converse(service, options);
    } else await answerLines(service, options);
  } finally {
    await service.close();
  }
}

/** Until the person leaves. `model` is an id of the service's. */
export async function converse(service: ChatService, options: ChatOptions, model?: string): Promise<void> {
  const terminal = readline.createInterface({ input: process.stdin, output: process.stdout });
  const state: AskOptions = { ...options, model };
  let thought: AbortController | null = null;
  let open = true;
  terminal.on("close", () => {
    open = false;
    thought?.abort();
  });
  terminal.on("SIGINT", () => (thought === null ? terminal.close() : thought.abort()));
  let last = "";
  while (open) {
    const line = await terminal.question(color.cyan("numbers = target > ")).catch(() => null);
    if (line === null) break;
    const [word, value = ""] = line.trim().split(/\s+/);
    if (word === "/exit" || word === "/quit" || word === "exit" || word === "quit") break;
    if (word === "/help") console.log(HELP);
    else if (word === "/temperature") setTemperature(state, value);
    else if (word === "/tries" && last === "") console.log("Ask something first.");
    else if (word.startsWith("/") && word !== "/tries")
      console.log(`There is no ${word}. /help shows what there is.`);
    else if (word !== "") {
      thought = new AbortController();
      if (word === "/tries") await tries(service, last, clamp(Number(value) || 8), state, thought.signal);
      else {
        last = line.trim();
        await answer(service, last, state, thought.signal);
      }
      thought = null;
    }
  }
  terminal.close();
}

const clamp = (count: number): number => Math.min(64, Math.max(1, Math.round(count)));

function setTemperature(state: AskOptions, text: string): void {
  const value = Number(text);
  if (text === "" || !(value >= 0 && value <= 2))
    console.log(`The temperature is ${state.temperature}; it may be 0 to 2.`);
  else state.temperature = value;
}

/** A problem a line, without a terminal. A line that is none is told of at the end by the exit code. */
async function answerLines(service: ChatService, options: ChatOptions): Promise<void> {
  const never = new AbortController().signal;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line.trim() === "") continue;
    const understood = await answer(service, line.trim(), options, never);
    if (!understood) process.exitCode = 1;
  }
}
