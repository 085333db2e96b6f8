/**
 * A conversation as a training example: exactly what a chat feeds before each answer, then the answer and the token that
 * ends it. Only the answers are trained.
 */
import type { ModelShape } from "../checkpoint/folder.ts";
import { type Chat, type ChatMessage, encodeChat, opensThought } from "../tokenizer/chat.ts";
import type { Document } from "./packing.ts";

/**
 * One document, as long as each answer's prompt begins with the answer before it. Templates that show earlier answers in
 * another form (without their thoughts) give one document for each answer.
 * @param from index of the first message whose answer is trained
 * @throws UserError where the template refuses the conversation
 */
export function chatDocuments(
  { tokenizer }: Pick<ModelShape, "tokenizer">,
  chat: Chat,
  messages: readonly ChatMessage[],
  from = 0,
): Document[] {
  const turns = messages.flatMap((message, i) => {
    if (message.role !== "assistant" || i < from) return [];
    const prompt = encodeChat(tokenizer, chat, messages.slice(0, i), { addGenerationPrompt: true });
    const answer = answerIds(
      tokenizer,
      prompt,
      encodeChat(tokenizer, chat, messages.slice(0, i + 1)),
      message,
    );
    return [{ prompt: prompt.length, ids: [...prompt, ...answer] }];
  });
  const last = turns.at(-1);
  if (last === undefined) return [];
  const joined = turns.every(({ ids }) => startsWith(last.ids, ids));
  if (!joined) return turns.map(({ prompt, ids }) => ({ ids, trainFrom: prompt }));
  const untrained = turns.slice(1).map(({ prompt }, i) => [turns[i].ids.length, prompt] as const);
  return [{ ids: last.ids, trainFrom: turns[0].prompt, untrained }];
}

/** The tokens that the model is to write after `prompt`: the template's where its text begins with the prompt. */
function answerIds(
  tokenizer: ModelShape["tokenizer"],
  prompt: readonly number[],
  whole: readonly number[],
  message: ChatMessage,
): number[] {
  const { stopIds, eosId } = tokenizer;
  const stop = whole.findLast((id) => stopIds.has(id)) ?? eosId;
  const end = stop === null ? [] : [stop];
  if (!startsWith(whole, prompt)) return [...spoken(tokenizer, prompt, message), ...end];
  const answer = whole.slice(prompt.length);
  const stopped = answer.findIndex((id) => stopIds.has(id));
  return stopped < 0 ? [...answer, ...end] : answer.slice(0, stopped + 1);
}

/** The message's own text, with its thought, after a prompt that may have opened the thought already. */
function spoken(
  tokenizer: ModelShape["tokenizer"],
  prompt: readonly number[],
  { content, reasoning_content: reasoning }: ChatMessage,
): number[] {
  const answer = typeof content === "string" ? content : "";
  const thought = typeof reasoning === "string" ? `<think>\n${reasoning}\n</think>\n\n` : "";
  let text = `${thought}${answer}`;
  if (opensThought(tokenizer.decode(prompt))) {
    if (!text.includes("</think>")) text = `\n</think>\n\n${text}`;
    text = text.replace(/^\s*<think>\n?/, "");
  }
  // The thought's tags are the model's to write; whatever else a message spells is text.
  return text
    .split(/(<\/?think>)/)
    .flatMap((part, i) =>
      part === ""
        ? []
        : tokenizer.encode(part, { specials: i % 2 === 1, after: i === 0 ? "text" : "control" }),
    );
}

const startsWith = (ids: readonly number[], start: readonly number[]): boolean =>
  start.length <= ids.length && start.every((id, i) => id === ids[i]);
