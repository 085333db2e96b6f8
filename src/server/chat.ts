/** The contract between the page's chat and whatever samples from a model. */
import { z } from "zod";
import type { Verdict } from "../tasks/problem.ts";

export interface ChatModel {
  /** What a request names, e.g. "shipped" or "run". */
  id: string;
  /** A few words for a menu. */
  label: string;
  /** One sentence: parameters, how it was trained, how good it is. */
  description: string;
}

/** What one person asked; every try is one request. */
export interface ChatRequest {
  /** As typed, e.g. "82 27 11 = 44". The service parses it, and explains what it cannot read. */
  problem: string;
  temperature: number;
  /** `undefined`: the service draws one. */
  seed?: number | undefined;
  /** An id of `models()`; `undefined` is the first of them. */
  model?: string | undefined;
}

export type ChatEvent =
  /** What the model reads. The completion begins inside the thought that it opened. */
  | { type: "prompt"; text: string }
  | { type: "token"; text: string; id: number }
  | { type: "verdict"; verdict: Verdict }
  | { type: "done"; tokens: number; seconds: number }
  | { type: "error"; message: string; remedy: string | null };

export interface ChatService {
  /** May grow while a run goes on, when its first checkpoint appears. */
  models(): ChatModel[];
  /** Stops sampling soon after `signal` aborts. Errors may be thrown or told as an event. */
  ask(request: ChatRequest, signal: AbortSignal): AsyncIterable<ChatEvent>;
}

/** A body above this is refused unread. */
export const MAX_BODY_BYTES = 4096;

export const chatRequestSchema = z.strictObject(
  {
    problem: z
      .string("problem: type some numbers and a target, such as 82 27 11 = 44")
      .trim()
      .min(1, "problem: type some numbers and a target, such as 82 27 11 = 44")
      .max(200, "problem: at most 200 characters"),
    temperature: z
      .number("temperature: a number from 0 to 2")
      .min(0, "temperature: a number from 0 to 2")
      .max(2, "temperature: a number from 0 to 2")
      .default(0.6),
    seed: z
      .int("seed: a whole number from 0 to 4294967295")
      .min(0, "seed: a whole number from 0 to 4294967295")
      .max(2 ** 32 - 1, "seed: a whole number from 0 to 4294967295")
      .optional(),
    model: z.string("model: the id of a model").max(100, "model: the id of a model").optional(),
  },
  {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? `unknown field ${issue.keys?.join(", ")}`
        : "the body is not an object",
  },
);
