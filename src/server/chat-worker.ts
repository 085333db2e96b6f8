/** The thread of the chat: it loads models by folder, and answers one question after another, token by token. */
import { parentPort, workerData } from "node:worker_threads";
import { samplingFor } from "../checkpoint/generation-config.ts";
import type { Precision } from "../checkpoint/quantise.ts";
import { encodePrompt } from "../data/prompt.ts";
import { usageError } from "../lib/errors.ts";
import { toFailure } from "../lib/failure.ts";
import type { TaskOptions } from "../recipe/schema.ts";
import { openForInference } from "../sample/inference.ts";
import type { Generation } from "../sample/requests.ts";
import { completionText, TextStream } from "../tokenizer/stream.ts";
import { ThoughtSplitter } from "../tokenizer/thought.ts";
import type { ChatEvent, ChatRequest, ConversationRequest, ProblemRequest } from "./chat.ts";
import { readConversation } from "./conversation.ts";
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
/** `event: null` is the last reply to a question. */
export type ChatReply = { id: number; event: ChatEvent | null };

export interface ChatWorkerData {
  precision?: Precision;
}

type Loaded = Awaited<ReturnType<typeof openForInference>>;

/** Models in memory: the shipped one and the run's newest. An older checkpoint is released. */
const KEPT = 2;
const loaded = new Map<string, Loaded>();
const aborts = new Map<number, AbortController>();
/** Orders run one after another, loading included, so a model is opened once for all questions that wait. */
let queue: Promise<void> = Promise.resolve();

async function load(folder: string): Promise<Loaded> {
  const known = loaded.get(folder);
  if (known !== undefined) return known;
  const { precision } = (workerData ?? {}) as ChatWorkerData;
  const model = await openForInference(folder, { precision });
  for (const [oldest, { release }] of loaded) {
    if (loaded.size < KEPT) break;
    loaded.delete(oldest);
    await release();
  }
  loaded.set(folder, model);
  return model;
}

type Send = (event: ChatEvent) => void;

/** Samples one completion; `onText` gets each token with the text that is certain after it. */
async function sample(
  model: Loaded,
  request: ChatRequest,
  { prompt, maxNewTokens }: { prompt: number[]; maxNewTokens: number },
  { seed, signal, onText }: { seed: number; signal: AbortSignal; onText: (text: string, id: number) => void },
): Promise<Generation> {
  const { stopIds } = model.tokenizer;
  const stream = new TextStream(model.tokenizer, prompt);
  const { generations } = await model.generate([{ prompt, maxNewTokens, key: [seed, "chat"] }], {
    sampling: samplingFor(model.generation, request),
    ...{ stopIds, signal },
    onToken: (_, id) => onText(stopIds.has(id) ? "" : stream.push(id), id),
  });
  const [generation] = generations;
  const rest = stream.end();
  if (rest !== "") onText(rest, generation.ids[generation.ids.length - 1]);
  return generation;
}

async function solve(
  model: Loaded,
  request: ProblemRequest,
  { task, seed }: ChatOrder,
  { signal, send }: { signal: AbortSignal; send: Send },
): Promise<Generation> {
  const question = readQuestion(request.problem, task);
  const prompt = encodePrompt(model, question.prompt);
  const { maxPositions } = model.config;
  if (prompt.length >= maxPositions)
    throw usageError(
      `The problem takes ${prompt.length} tokens, and the model takes at most ${maxPositions} with its answer.`,
      "Ask a shorter one.",
    );
  send({ type: "prompt", text: question.prompt });
  const limits = { prompt, maxNewTokens: maxPositions - prompt.length };
  const onText = (text: string, id: number): void => send({ type: "token", text, id });
  const generation = await sample(model, request, limits, { seed, signal, onText });
  const { text } = completionText(model.tokenizer, prompt, generation.ids);
  send({ type: "verdict", verdict: question.verify(text) });
  return generation;
}

async function converse(
  model: Loaded,
  request: ConversationRequest,
  { seed }: ChatOrder,
  { signal, send }: { signal: AbortSignal; send: Send },
): Promise<Generation> {
  const turn = await readConversation(model, request, signal);
  send({ type: "turn", tokens: turn.prompt.length, dropped: turn.dropped });
  const splitter = new ThoughtSplitter(turn.thoughtOpen);
  const onText = (text: string, id: number): void => {
    for (const part of splitter.push(text)) send({ type: "token", id, ...part });
  };
  const generation = await sample(model, request, turn, { seed, signal, onText });
  const id = generation.ids[generation.ids.length - 1];
  for (const part of splitter.end()) send({ type: "token", id, ...part });
  return generation;
}

async function answer(order: ChatOrder, signal: AbortSignal): Promise<void> {
  const { id, request, folder } = order;
  const send: Send = (event) => parentPort?.postMessage({ id, event } satisfies ChatReply);
  const model = await load(folder);
  const started = performance.now();
  const { ids, finish } =
    "messages" in request
      ? await converse(model, request, order, { signal, send })
      : await solve(model, request, order, { signal, send });
  send({ type: "done", tokens: ids.length, seconds: (performance.now() - started) / 1000, finish });
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

/** ONNX Runtime requires that sessions are released before their thread ends. */
async function close(): Promise<void> {
  for (const { release } of loaded.values()) await release();
  parentPort?.close();
}

parentPort?.on("message", (message: ChatMessage) => {
  if (message.type === "abort") aborts.get(message.id)?.abort();
  else if (message.type === "close") {
    for (const abort of aborts.values()) abort.abort();
    queue = queue.then(close);
  } else if (message.type === "load")
    // A question to this model reports the failure.
    queue = queue
      .then(() => load(message.folder))
      .then(
        () => {},
        () => {},
      );
  else {
    aborts.set(message.id, new AbortController());
    queue = queue.then(() => serve(message));
  }
});
