/** The thread that answers chats: a model a folder, one question after another, token by token. */
import { parentPort, workerData } from "node:worker_threads";
import { toFailure } from "../recipe/failure.ts";
import { openSampler } from "../recipe/options.ts";
import type { TaskOptions } from "../recipe/schema.ts";
import type { Sampler } from "../sample/engine.ts";
import type { Precision } from "../sample/quantise.ts";
import { encodePrompt } from "../train/rollout.ts";
import type { Model } from "../train/stage.ts";
import type { ChatEvent, ChatRequest } from "./chat.ts";
import { readQuestion } from "./question.ts";

export interface ChatOrder {
  type: "ask";
  id: number;
  request: ChatRequest;
  /** A Hugging Face folder. */
  folder: string;
  task: TaskOptions;
  seed: number;
}

export type ChatMessage =
  | ChatOrder
  | { type: "abort"; id: number }
  | { type: "close" }
  | { type: "load"; folder: string };
/** `event: null` ends an answer. */
export type ChatReply = { id: number; event: ChatEvent | null };

export interface ChatWorkerData {
  precision?: Precision;
}

/** A chat decodes one row: in a small model, a second thread costs more than it brings. */
const THREADS = 1;

interface Loaded {
  folder: string;
  model: Model;
  sampler: Sampler;
}

/** The shipped model and the run's newest: an older checkpoint makes room for the next one. */
const KEPT = 2;
const loaded: Loaded[] = [];
const aborts = new Map<number, AbortController>();
let queue: Promise<void> = Promise.resolve();

async function load(folder: string): Promise<Loaded> {
  const known = loaded.find((entry) => entry.folder === folder);
  if (known !== undefined) return known;
  const { precision } = (workerData ?? {}) as ChatWorkerData;
  const threads = precision === undefined || precision === "f32" ? THREADS : undefined;
  const { model, sampler } = await openSampler(folder, { precision, threads });
  while (loaded.length >= KEPT) await loaded.shift()?.sampler.release();
  loaded.push({ folder, model, sampler });
  return loaded[loaded.length - 1];
}

async function answer({ id, request, folder, task, seed }: ChatOrder, signal: AbortSignal): Promise<void> {
  const send = (event: ChatEvent): void => parentPort?.postMessage({ id, event } satisfies ChatReply);
  const { model, sampler } = await load(folder);
  const question = readQuestion(request.problem, task);
  const prompt = encodePrompt(model, question.prompt);
  send({ type: "prompt", text: question.prompt });
  const started = performance.now();
  const { generations } = await sampler.generate(
    model.parameters,
    [{ prompt, maxNewTokens: model.config.maxPositions - prompt.length, key: [seed, "chat"] }],
    {
      temperature: request.temperature,
      stopIds: model.tokenizer.stopIds,
      signal,
      onToken: (_, token) =>
        send({ type: "token", text: model.tokenizer.decode([token], { skipSpecials: true }), id: token }),
    },
  );
  const { ids } = generations[0];
  send({ type: "verdict", verdict: question.verify(model.tokenizer.decode(ids, { skipSpecials: true })) });
  send({ type: "done", tokens: ids.length, seconds: (performance.now() - started) / 1000 });
}

async function serve(order: ChatOrder): Promise<void> {
  const abort = aborts.get(order.id) as AbortController;
  try {
    if (!abort.signal.aborted) await answer(order, abort.signal);
  } catch (error) {
    const { message, remedy } = toFailure(error);
    const event: ChatEvent = { type: "error", message, remedy };
    if (!abort.signal.aborted) parentPort?.postMessage({ id: order.id, event } satisfies ChatReply);
  }
  aborts.delete(order.id);
  parentPort?.postMessage({ id: order.id, event: null } satisfies ChatReply);
}

/** Sessions are released before the thread ends, as ONNX Runtime wants it. */
async function close(): Promise<void> {
  for (const { sampler } of loaded) await sampler.release();
  parentPort?.close();
}

parentPort?.on("message", (message: ChatMessage) => {
  if (message.type === "abort") aborts.get(message.id)?.abort();
  else if (message.type === "close") {
    for (const abort of aborts.values()) abort.abort();
    queue = queue.then(close);
  } else if (message.type === "load") queue = queue.then(() => void load(message.folder).catch(() => {}));
  else {
    aborts.set(message.id, new AbortController());
    queue = queue.then(() => serve(message));
  }
});
