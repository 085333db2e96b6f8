/** From the messages of a conversation to what the model reads, cut to what it has room for. */
import type { ModelShape } from "../checkpoint/folder.ts";
import { UsageError } from "../recipe/find-model.ts";
import { chatOf, encodeChat, opensThought, renderChat } from "../tokenizer/chat.ts";
import { checkChat } from "../tokenizer/chat-check.ts";
import { ChatTemplateError } from "../tokenizer/chat-template.ts";
import type { ConversationRequest, Message } from "./chat.ts";

export interface Turn {
  prompt: number[];
  /** The prompt leaves a thought open. */
  thoughtOpen: boolean;
  /** Messages left out, the oldest. */
  dropped: number;
  maxNewTokens: number;
}

/** Share of the positions that is kept free for the answer, if the request does not ask for less. */
const ANSWER_SHARE = 0.25;

/**
 * A turn is a question with what was said until the next one; whole turns are left out, the oldest first, and never
 * the system's message.
 * @throws ChatTemplateError without a template, with a broken one, or where it refuses such messages
 * @throws UsageError where the last question alone is too long
 */
export function readConversation(
  { config, tokenizer, tokenizerConfig = {} }: ModelShape,
  { messages, maxTokens = Number.POSITIVE_INFINITY }: ConversationRequest,
): Turn {
  const chat = chatOf(tokenizerConfig);
  if (chat === null)
    throw new ChatTemplateError({
      line: null,
      found: "the model has none, so it can't hold a conversation",
      remedy: "Take an instruct model, or one whose tokenizer_config.json has a chat_template.",
    });
  checkChat(chat);
  const { maxPositions } = config;
  const reserve = Math.min(maxTokens, Math.floor(maxPositions * ANSWER_SHARE));
  const options = { addGenerationPrompt: true };
  const thoughtOpen = opensThought(renderChat(chat, [{ role: "user", content: "" }], options));
  for (let kept: readonly Message[] = messages; ; ) {
    const prompt = encodeChat(
      tokenizer,
      chat,
      kept.map((message) => ({ ...message })),
      options,
    );
    const shorter = withoutOldestTurn(kept);
    const fits = prompt.length + (shorter === null ? 1 : reserve) <= maxPositions;
    if (fits) {
      const maxNewTokens = Math.min(maxTokens, maxPositions - prompt.length);
      return { prompt, thoughtOpen, dropped: messages.length - kept.length, maxNewTokens };
    }
    if (shorter === null)
      throw new UsageError(
        `The message takes ${prompt.length} tokens with its frame, and the model has room for ${maxPositions}.`,
        "Send a shorter one.",
      );
    kept = shorter;
  }
}

/** `null` where one turn alone is left. */
function withoutOldestTurn(messages: readonly Message[]): readonly Message[] | null {
  const isUser = ({ role }: Message): boolean => role === "user";
  const first = messages.findIndex(isUser);
  const second = messages.findIndex((message, i) => i > first && isUser(message));
  if (second < 0) return null;
  return [...messages.slice(0, first).filter(({ role }) => role === "system"), ...messages.slice(second)];
}
