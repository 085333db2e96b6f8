/** `ChatService` by a thread, which answers while another one trains. */
import { randomInt } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { readShape } from "../checkpoint/model.ts";
import type { Precision } from "../checkpoint/quantise.ts";
import { checkpointName } from "../checkpoint/resume.ts";
import { allParameters } from "../models/architectures.ts";
import { countParameters } from "../models/layers.ts";
import { type FoundModel, findModel, lastEvaluation, SHIPPED, trainedTask } from "../run/find-model.ts";
import { runPaths } from "../run/folder.ts";
import { startThread } from "../runtime/thread.ts";
import type { ChatEvent, ChatModel, ChatRequest, ChatService } from "./chat.ts";
import type { ChatMessage, ChatReply, ChatWorkerData } from "./chat-worker.ts";

export interface ThreadChatOptions {
  /** A run whose newest checkpoint answers as "run", as soon as there is one. */
  run?: string;
  /** One model alone instead of the shipped one and the run. */
  model?: FoundModel;
  /** Precision of the weights in memory; default f32. */
  precision?: Precision;
}

interface ModelShape {
  parameters: number;
  kind: ChatModel["kind"];
}

interface Answer {
  events: ChatEvent[];
  ended: boolean;
  wake: () => void;
}

/** Tries to load the newest checkpoint, which may be removed meanwhile. */
const ATTEMPTS = 5;

export class ThreadChat implements ChatService {
  readonly #options: ThreadChatOptions;
  readonly #answers = new Map<number, Answer>();
  #worker: Worker | null = null;
  #next = 0;
  /** By folder, whose content never changes; a page asks often. */
  readonly #shapes = new Map<string, ModelShape>();

  constructor(options: ThreadChatOptions) {
    this.#options = options;
  }

  /** Loads the first model now, so that the first answer does not wait for it. */
  warm(): void {
    try {
      const first = this.#found().values().next().value;
      if (first !== undefined) this.#post({ type: "load", folder: first.folder });
    } catch {
      // A question reports the error; a run in this process continues.
    }
  }

  models(): ChatModel[] {
    return [...this.#found()].map(([id, found]) => describe(id, found, this.#shape(found.folder)));
  }

  async *ask(request: ChatRequest, signal: AbortSignal): AsyncGenerator<ChatEvent, void> {
    for (let attempt = 1; ; attempt++) {
      const models = this.#found();
      const found = request.model === undefined ? models.values().next().value : models.get(request.model);
      if (found === undefined) {
        yield {
          type: "error",
          message: "No model is ready yet.",
          remedy: "Wait for the run's first checkpoint.",
        };
        return;
      }
      const answer = this.#answer(request, found, signal);
      const first = await answer.next();
      if (first.done) return;
      // The run has removed this checkpoint since it was chosen as the newest.
      const removed = first.value.type === "error" && !fs.existsSync(found.folder);
      if (removed && attempt < ATTEMPTS) continue;
      yield first.value;
      yield* answer;
      return;
    }
  }

  async *#answer(
    request: ChatRequest,
    found: FoundModel,
    signal: AbortSignal,
  ): AsyncGenerator<ChatEvent, void> {
    const id = this.#next++;
    const answer: Answer = { events: [], ended: false, wake: () => {} };
    this.#answers.set(id, answer);
    const abort = (): void => this.#post({ type: "abort", id });
    signal.addEventListener("abort", abort);
    const seed = request.seed ?? randomInt(2 ** 32);
    this.#post({ type: "ask", id, request, folder: found.folder, task: trainedTask(found), seed });
    try {
      while (true) {
        const event = answer.events.shift();
        if (event !== undefined) yield event;
        else if (answer.ended || signal.aborted) return;
        else
          await new Promise<void>((resolve) => {
            answer.wake = resolve;
          });
      }
    } finally {
      signal.removeEventListener("abort", abort);
      if (!answer.ended) abort();
      this.#answers.delete(id);
    }
  }

  /** Ends the thread once it has let go of its sessions. */
  async close(): Promise<void> {
    const worker = this.#worker;
    if (worker === null) return;
    this.#worker = null;
    await new Promise<void>((resolve) => {
      worker.once("exit", () => resolve());
      worker.postMessage({ type: "close" } satisfies ChatMessage);
    });
  }

  #shape(folder: string): ModelShape {
    const known = this.#shapes.get(folder);
    if (known !== undefined) return known;
    const { config, tokenizerConfig } = readShape(folder);
    const parameters = countParameters(allParameters(config));
    const shape: ModelShape = {
      parameters,
      kind: "chat_template" in tokenizerConfig ? "conversation" : "problem",
    };
    this.#shapes.set(folder, shape);
    return shape;
  }

  /** Id -> model, the default one first. */
  #found(): Map<string, FoundModel> {
    const { run, model } = this.#options;
    const found = new Map<string, FoundModel>();
    if (model !== undefined) found.set("model", model);
    else if (fs.existsSync(join(SHIPPED, "config.json"))) found.set("shipped", findModel());
    const newest = run === undefined ? null : newestModel(run);
    if (newest !== null) found.set("run", newest);
    return found;
  }

  #post(message: ChatMessage): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage(message);
  }

  #start(): Worker {
    const worker = startThread("chat-worker", import.meta.url, {
      workerData: { precision: this.#options.precision } satisfies ChatWorkerData,
    });
    worker.on("message", ({ id, event }: ChatReply) => {
      const answer = this.#answers.get(id);
      if (answer === undefined) return;
      if (event === null) answer.ended = true;
      else answer.events.push(event);
      answer.wake();
    });
    const fail = (message: string): void => {
      if (this.#worker === worker) this.#worker = null;
      for (const answer of this.#answers.values()) {
        answer.events.push({ type: "error", message, remedy: "Ask again: a new thread answers." });
        answer.ended = true;
        answer.wake();
      }
    };
    worker.on("error", (error) => fail(`The chat's thread failed: ${error.message}`));
    worker.on("exit", () => fail("The chat's thread ended."));
    return worker;
  }
}

/** By the names of folders alone, since a page asks often; the thread checks the model that it loads. */
function newestModel(run: string): FoundModel | null {
  const { checkpoints } = runPaths(run);
  if (!fs.existsSync(checkpoints)) return null;
  // Names have six digits or more, so text does not sort them.
  const steps = fs.readdirSync(checkpoints).flatMap((name) => {
    const digits = /^step-(\d+)$/.exec(name)?.[1];
    return digits === undefined ? [] : [Number(digits)];
  });
  if (steps.length === 0) return null;
  const step = steps.reduce((a, b) => Math.max(a, b));
  return { folder: join(checkpoints, checkpointName(step), "model"), run, step };
}

/** Which problems the model was trained on, as a sentence. */
function knows(found: FoundModel, kind: ChatModel["kind"]): string {
  const task = trainedTask(found);
  if (kind !== "problem" || found.run === null || task.kind !== "countdown") return "";
  return `It was trained on problems of ${task.numbers.join(" or ")} numbers. `;
}

function describe(id: string, found: FoundModel, { parameters, kind }: ModelShape): ChatModel {
  const size = parameters.toLocaleString("en-US");
  const evaluation = lastEvaluation(found);
  const unmarked = kind === "conversation" ? "It has a chat template." : "It has not been evaluated yet.";
  const grade =
    evaluation === null
      ? unmarked
      : `It solved ${(100 * evaluation.passAt1).toFixed(0)} % of ${evaluation.problems} ${evaluation.task} problems in its last evaluation (${evaluation.label}; 95 % interval ${evaluation.interval.map((end) => (100 * end).toFixed(0)).join(" to ")} %).`;
  const label =
    id === "shipped"
      ? "shipped model"
      : found.step === null
        ? (found.name ?? found.folder)
        : `this run, after step ${found.step}`;
  return { id, label, kind, description: `${size} parameters. ${knows(found, kind)}${grade}` };
}
