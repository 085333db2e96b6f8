/** An environment's reply as ids: what comes between two completions of the model. */
import type { ModelShape } from "../checkpoint/folder.ts";
import type { Problem, ReplyMessage } from "../tasks/problem.ts";
import {
  type Chat,
  type ChatMessage,
  type ChatPart,
  chatOf,
  chatParts,
  encodePart,
} from "../tokenizer/chat.ts";
import { chatTemplateError } from "../tokenizer/chat-template.ts";
import { noChatTemplate } from "./prompt.ts";

/**
 * What comes between a completion and the next one: an environment's reply. For a chat it is what the model's template puts
 * there, from the end of the assistant's turn to the beginning of the next, and without a chat the text as it is. What a
 * reply spells is text, never a control token.
 * @param last the completion's last id; where the template ends the assistant's turn with it, it is not said again
 * @throws UserError "chat-template" where the template does not show such a reply; "input" for a text without tokens
 */
export function encodeReply(
  model: Chatting,
  { messages, tools }: Problem,
  reply: readonly ReplyMessage[],
  last: number,
): number[] {
  const { tokenizer } = model;
  if (messages === undefined) {
    const text = reply.map(({ content }) => content).join("\n");
    return tokenizer.encode(text, { after: tokenizer.stopIds.has(last) ? "control" : "text" });
  }
  const chat = chatOf(model.tokenizerConfig ?? {});
  if (chat === null) throw noChatTemplate();
  const after = (said: readonly ReplyMessage[]): ChatPart[] =>
    partsAfter(model, chat, { messages, tools }, said);
  for (const { role } of reply) checkShown(chat, role, after);
  const parts = after(reply).map((part) => ({ ...part, ids: encodePart(tokenizer, part) }));
  const first = parts.findIndex(({ control, text }) => control || text.trim() !== "");
  const ended = parts[first]?.control === true && parts[first].ids[0] === last;
  return parts.slice(ended ? first + 1 : 0).flatMap(({ ids }) => ids);
}

type Chatting = Pick<ModelShape, "tokenizer" | "tokenizerConfig">;

/** Stands for the completion when the conversation is rendered. It has letters alone, which no template changes. */
const MARK = "COMPLETION";

/**
 * What the template puts after the last completion. It need not render a longer conversation as a prolongation of a shorter
 * one: only what follows the completion is taken, and before it stays what the model has read and sampled.
 */
function partsAfter(
  { tokenizer }: Chatting,
  chat: Chat,
  { messages = [], tools }: Pick<Problem, "messages" | "tools">,
  reply: readonly ReplyMessage[],
): ChatPart[] {
  let mark = MARK;
  for (const taken = JSON.stringify([messages, tools, reply]); taken.includes(mark); ) mark += "X";
  const said = reply.map(
    (message): ChatMessage =>
      message.role === "tool" ? { tool_call_id: CALL_ID, ...message } : { ...message },
  );
  const conversation: ChatMessage[] = [...messages, { role: "assistant", content: mark }, ...said];
  const parts = chatParts(tokenizer, chat, conversation, { addGenerationPrompt: true, tools });
  const at = parts.findIndex(({ control, text }) => !control && text.includes(mark));
  if (at === -1) throw unusable("it leaves out what the assistant said before");
  const [first, ...others] = parts.slice(at);
  const rest = first!.text.slice(first!.text.indexOf(mark) + mark.length);
  return [...(rest === "" ? [] : [{ ...first!, text: rest, after: undefined }]), ...others];
}

/** Mistral's templates want nine letters or digits. */
const CALL_ID = "call00001";

const shown = new WeakMap<Chat, Set<ReplyMessage["role"]>>();

/** @throws UserError where the template leaves out the messages of this role, once for each template */
function checkShown(
  chat: Chat,
  role: ReplyMessage["role"],
  after: (reply: readonly ReplyMessage[]) => ChatPart[],
): void {
  const known = shown.get(chat) ?? new Set();
  shown.set(chat, known);
  if (known.has(role)) return;
  const content = "REPLY";
  if (!after([{ role, content }]).some(({ text }) => text.includes(content)))
    throw unusable(role === "tool" ? "it leaves out the result of a tool" : "it leaves out a user's message");
  known.add(role);
}

const unusable = (found: string) =>
  chatTemplateError({
    line: null,
    found,
    remedy: 'Take a model whose template shows it, or reply with a text: { reply: "..." }.',
  });
