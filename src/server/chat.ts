/** The interface between the page's chat and the service that samples from a model. */
import { z } from "zod";
import type { Verdict } from "../tasks/problem.ts";

export interface ChatModel {
  /** What a request names, e.g. "shipped" or "run". */
  id: string;
  /** A few words for a menu. */
  label: string;
  /** One sentence: parameters, how it was trained, how good it is. */
  description: string;
  /** What it takes: a problem of its task, or the messages of a conversation. */
  kind: "problem" | "conversation";
}

interface Asked {
  /** `undefined`: the model's recommendation. */
  temperature?: number | undefined;
  /** `undefined`: the service draws one. */
  seed?: number | undefined;
  /** An id of `models()`; `undefined` is the first of them. */
  model?: string | undefined;
}

/** A person's problem; each completion is one request. */
export interface ProblemRequest extends Asked {
  /** As typed, e.g. "82 27 11 = 44". The service parses it, or says what is missing. */
  problem: string;
}

export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

/** A conversation; the last message is the user's. Messages of the assistant have no thoughts. */
export interface ConversationRequest extends Asked {
  messages: Message[];
  topP?: number | undefined;
  /** Of the completion, thought included. */
  maxTokens?: number | undefined;
}

export type ChatRequest = ProblemRequest | ConversationRequest;

export type ChatEvent =
  /** The prompt of a problem. It opens the thought, in which the completion begins. */
  | { type: "prompt"; text: string }
  /** Tokens of a conversation's prompt, and how many of the oldest messages were left out. */
  | { type: "turn"; tokens: number; dropped: number }
  /** `thought`, in a conversation: whether the text belongs to the thought, whose tags are removed, or to the answer. */
  | { type: "token"; text: string; id: number; thought?: boolean }
  | { type: "verdict"; verdict: Verdict }
  /** "stop": the model ended it; "length": it was cut off. */
  | { type: "done"; tokens: number; seconds: number; finish: "stop" | "length" }
  | { type: "error"; message: string; remedy: string | null };

export interface ChatService {
  /** Grows when the first checkpoint of a run appears. */
  models(): ChatModel[];
  /** Stops sampling soon after `signal` aborts. An error is thrown or is an event. */
  ask(request: ChatRequest, signal: AbortSignal): AsyncIterable<ChatEvent>;
}

const real = (name: string, low: number, high: number) => {
  const words = `${name}: a number from ${low} to ${high}`;
  return z.number(words).min(low, words).max(high, words);
};
const whole = (name: string, low: number, high: number) => {
  const words = `${name}: a whole number from ${low} to ${high}`;
  return z.int(words).min(low, words).max(high, words);
};

const asked = {
  seed: whole("seed", 0, 2 ** 32 - 1).optional(),
  model: z.string("model: the id of a model").max(100, "model: the id of a model").optional(),
};
const PROBLEM = "problem: type some numbers and a target, such as 82 27 11 = 44";
const MESSAGE = 'messages: a list such as [{"role": "user", "content": "Hello"}]';

const strict = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? `unknown field ${issue.keys?.join(", ")}`
        : "the body is not an object",
  });

export const problemRequestSchema = strict({
  problem: z.string(PROBLEM).trim().min(1, PROBLEM).max(200, "problem: at most 200 characters"),
  temperature: real("temperature", 0, 2).default(0.6),
  ...asked,
});

const message = z.strictObject(
  { role: z.enum(["system", "user", "assistant"], MESSAGE), content: z.string(MESSAGE) },
  MESSAGE,
);
export const conversationRequestSchema = strict({
  messages: z
    .array(message, MESSAGE)
    .refine((list) => list.at(-1)?.role === "user", "messages: the last one is the user's"),
  temperature: real("temperature", 0, 2).optional(),
  topP: real("topP", 0, 1).optional(),
  maxTokens: whole("maxTokens", 1, 2 ** 31 - 1).optional(),
  ...asked,
});
