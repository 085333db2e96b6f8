/** The prompt of a conversation, without the oldest turns if the model's positions are too few. */
import { setImmediate } from "node:timers/promises";
import type { ModelShape } from "../checkpoint/folder.ts";
import { usageError } from "../lib/errors.ts";
import {
  type Chat,
  type ChatPart,
  chatOf,
  chatParts,
  encodePart,
  opensThought,
  renderChat,
} from "../tokenizer/chat.ts";
import { checkChat } from "../tokenizer/chat-check.ts";
import { chatTemplateError } from "../tokenizer/chat-template.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { ConversationRequest, Message } from "./chat.ts";

export interface Turn {
  prompt: number[];
  /** Whether the prompt opens the thought. */
  thoughtOpen: boolean;
  /** Messages left out, the oldest. */
  dropped: number;
  maxNewTokens: number;
}

/** Fraction of the positions reserved for the completion, unless the request asks for less. */
const COMPLETION_SHARE = 0.25;

/** A conversation with at most this many characters a position is encoded complete first. */
const CHARACTERS_A_POSITION = 16;
/** Milliseconds of encoding after which other events are handled. */
const BREATH_MS = 20;

/**
 * A turn is a question with all messages until the next one. The oldest turns are left out, never the system message.
 * The newest turns are encoded first, twice as many each time, so that the work depends on the model's positions and not
 * on the request; each message is encoded once.
 * @throws UserError without a template, with a broken one, or where it refuses such messages
 * @throws UserError where the last question alone is too long
 * @throws what `signal` aborts with, between two messages
 */
export async function readConversation(
  { config, tokenizer, tokenizerConfig = {} }: ModelShape,
  { messages, maxTokens = Number.POSITIVE_INFINITY }: ConversationRequest,
  signal: AbortSignal = new AbortController().signal,
): Promise<Turn> {
  const chat = checkedChat(tokenizerConfig);
  const { maxPositions } = config;
  const reserve = Math.min(maxTokens, Math.floor(maxPositions * COMPLETION_SHARE));
  const options = { addGenerationPrompt: true };
  const thoughtOpen = opensThought(renderChat(chat, [{ role: "user", content: "" }], options));
  const encode = rememberingEncoder(tokenizer, signal);
  const variants = withoutOldestTurns(messages);
  const last = variants.length - 1;

  const read = new Map<number, number[]>();
  const fits = async (variant: number): Promise<boolean> => {
    const kept = variants[variant]().map((message) => ({ ...message }));
    const prompt = await encode(chatParts(tokenizer, chat, kept, options));
    read.set(variant, prompt);
    return prompt.length + (variant === last ? 1 : reserve) <= maxPositions;
  };
  const characters = messages.reduce((sum, { content }) => sum + content.length, 0);
  const found =
    characters <= CHARACTERS_A_POSITION * maxPositions && (await fits(0))
      ? 0
      : await firstThatFits(last, fits);
  const prompt = read.get(found ?? last) as number[];
  if (found === null)
    throw usageError(
      `The message takes ${prompt.length} tokens with its template, and the model takes at most ${maxPositions}.`,
      "Send a shorter one.",
    );
  const dropped = messages.length - variants[found]().length;
  return { prompt, thoughtOpen, dropped, maxNewTokens: Math.min(maxTokens, maxPositions - prompt.length) };
}

const chats = new WeakMap<Record<string, unknown>, Chat>();

/** The chat of a model, checked once. */
function checkedChat(tokenizerConfig: Record<string, unknown>): Chat {
  const known = chats.get(tokenizerConfig);
  if (known !== undefined) return known;
  const chat = chatOf(tokenizerConfig);
  if (chat === null)
    throw chatTemplateError({
      line: null,
      found: "the model has none, so it can't hold a conversation",
      remedy: "Take an instruct model, or one whose tokenizer_config.json has a chat_template.",
    });
  checkChat(chat);
  chats.set(tokenizerConfig, chat);
  return chat;
}

/** The smallest number up to `last` that fits, if all larger ones fit too; `null` if `last` does not. */
async function firstThatFits(
  last: number,
  fits: (variant: number) => Promise<boolean>,
): Promise<number | null> {
  if (!(await fits(last))) return null;
  let [good, bad] = [last, -1];
  for (let step = 1; good > 0 && bad < 0; step *= 2) {
    const next = Math.max(0, good - step);
    if (await fits(next)) good = next;
    else bad = next;
  }
  while (good - bad > 1) {
    const middle = (good + bad) >> 1;
    if (await fits(middle)) good = middle;
    else bad = middle;
  }
  return good;
}

/** Ids of the last conversation's parts, most of which the next request repeats. */
const encoded = new WeakMap<Tokenizer, Map<string, number[]>>();

function rememberingEncoder(
  tokenizer: Tokenizer,
  signal: AbortSignal,
): (parts: readonly ChatPart[]) => Promise<number[]> {
  const before = encoded.get(tokenizer);
  const known = new Map<string, number[]>();
  encoded.set(tokenizer, known);
  let breath = performance.now();
  return async (parts) => {
    const all: number[][] = [];
    for (const part of parts) {
      const key = `${part.control ? 1 : 0}${part.after ? 1 : 0}${part.text}`;
      const ids = known.get(key) ?? before?.get(key) ?? encodePart(tokenizer, part);
      known.set(key, ids);
      all.push(ids);
      if (performance.now() - breath < BREATH_MS) continue;
      await setImmediate();
      signal.throwIfAborted();
      breath = performance.now();
    }
    return all.flat();
  };
}

/** All messages, then those without the oldest turn, without the two oldest, ..., and the last turn alone. */
function withoutOldestTurns(messages: readonly Message[]): (() => readonly Message[])[] {
  const [first = 0, ...later] = messages.flatMap(({ role }, i) => (role === "user" ? [i] : []));
  const system = messages.slice(0, first).filter(({ role }) => role === "system");
  return [() => messages, ...later.map((start) => () => [...system, ...messages.slice(start)])];
}
