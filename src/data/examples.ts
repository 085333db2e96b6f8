/** Rows of a person's training file as documents: conversations, prompts with completions, or plain texts. */
import type { ModelShape } from "../checkpoint/folder.ts";
import { isUserError } from "../lib/errors.ts";
import { visible } from "../lib/text-file.ts";
import { kindOf, type Row, readRows } from "../tasks/rows.ts";
import { beginIds, endIds } from "../tokenizer/around.ts";
import { type Chat, type ChatMessage, chatOf } from "../tokenizer/chat.ts";
import { chatDocuments } from "./chat-example.ts";
import type { Document } from "./packing.ts";
import { encodePrompt } from "./prompt.ts";

export type TextModel = Pick<ModelShape, "tokenizer" | "tokenizerConfig">;

export interface Example {
  document: Document;
  /** Where in its file, e.g. "line 3". */
  place: string;
}

/** "chat": through the model's chat template; "plain": the text unchanged. */
export type ExampleTemplate = "chat" | "plain";

const ROW =
  'a JSON object such as {"prompt": "2 + 2 =", "completion": "4"}, {"messages": [{"role": "user", "content": "2 + 2 ="}, {"role": "assistant", "content": "4"}]} or {"text": "2 + 2 = 4"}';
const ROLES: readonly unknown[] = ["system", "user", "assistant"];

/** The template that a stage's rows take where its recipe does not say. */
export const usualTemplate = (model: TextModel, stage: "pretrain" | "sft"): ExampleTemplate =>
  stage === "sft" && chatOf(model.tokenizerConfig ?? {}) !== null ? "chat" : "plain";

/**
 * All rows of the file, in its order; a conversation may be several documents.
 * @throws UserError with the file, the line, and what is wrong there
 */
export function readExamples(file: string, model: TextModel, template: ExampleTemplate): Example[] {
  const chat = chatOf(model.tokenizerConfig ?? {});
  const examples: Example[] = [];
  for (const row of readRows(file, ROW))
    for (const document of documentsOf(row, model, { chat, template })) {
      if (document.ids.length <= document.trainFrom) throw row.refuse("nothing in it can be trained");
      examples.push({ document, place: row.place });
    }
  return examples;
}

function documentsOf(
  row: Row,
  model: TextModel,
  { chat, template }: { chat: Chat | null; template: ExampleTemplate },
): Document[] {
  const { fields, refuse } = row;
  const talk = conversation(row);
  try {
    if (talk !== null) {
      if (chat === null)
        throw refuse(
          "a conversation, and the model has no chat template to put it into",
          "Begin from an instruct model (model.from), or give rows of prompt and completion.",
        );
      if (template === "plain" && talk.rows === "messages")
        throw refuse("a conversation, and the recipe says template: plain", "Leave template out.");
      if (template === "chat") return chatDocuments(model, chat, talk.messages, talk.from);
    }
    if (typeof fields.text === "string" && !("prompt" in fields)) {
      const begin = beginIds(model.tokenizer);
      const ids = [...begin, ...model.tokenizer.encode(fields.text), ...endIds(model.tokenizer)];
      return [{ ids, trainFrom: Math.max(1, begin.length) }];
    }
    const { prompt, completion } = promptAndCompletion(row);
    if (template === "chat") {
      if (chat === null)
        throw refuse("the recipe says template: chat, and the model has none", "Leave template out.");
      const messages: ChatMessage[] = [
        { role: "user", content: prompt },
        { role: "assistant", content: completion },
      ];
      return chatDocuments(model, chat, messages);
    }
    return [plainDocument(model, prompt, completion)];
  } catch (error) {
    if (isUserError(error, "chat-template"))
      throw refuse(
        `the model's chat template refuses this conversation (${visible(error.found ?? error.message, 200)})`,
        error.remedy,
      );
    if (isUserError(error, "input")) throw refuse(error.message.replace(/\.$/, ""));
    throw error;
  }
}

/** The prompt as `chat` feeds it, the completion, and the tokens that end a text; the latter two are trained. */
export function plainDocument(model: TextModel, prompt: string, completion: string): Document {
  const begin = encodePrompt(model, prompt);
  const answer = model.tokenizer.encode(completion, { specials: true, after: "text" });
  return { ids: [...begin, ...answer, ...endIds(model.tokenizer)], trainFrom: begin.length };
}

function promptAndCompletion({ fields, refuse }: Row): { prompt: string; completion: string } {
  const { prompt, completion } = fields;
  if (prompt === undefined && completion === undefined && "text" in fields)
    throw refuse(`field "text": ${kindOf(fields.text)}, not text`);
  if (prompt === undefined && completion === undefined)
    throw refuse(
      `the keys are ${visible(Object.keys(fields).join(", ")) || "none"}`,
      fields.conversations === undefined
        ? "Rename them."
        : "Write conversations as messages, with role (user, assistant) and content.",
    );
  for (const [name, value] of Object.entries({ prompt, completion }))
    if (typeof value !== "string") throw refuse(`field "${name}": ${kindOf(value)}, not text`);
  if ((completion as string).trim() === "") throw refuse('field "completion": an empty text');
  return { prompt: prompt as string, completion: completion as string };
}

/** `messages`, or `prompt` and `completion` as lists of messages; `null` for another row. */
function conversation({ fields, refuse }: Row): {
  messages: ChatMessage[];
  from: number;
  rows: "messages" | "prompt";
} | null {
  const { messages, prompt, completion } = fields;
  const asked = Array.isArray(prompt) && Array.isArray(completion);
  if (messages === undefined && !asked) return null;
  const list: unknown = asked && messages === undefined ? [...prompt, ...completion] : messages;
  if (!Array.isArray(list)) throw refuse(`field "messages": ${kindOf(list)}, not a list`);
  const checked = list.map((message, i) => checkMessage(message, i + 1, refuse));
  const from = asked && messages === undefined ? prompt.length : 0;
  if (checked.at(-1)?.role !== "assistant" || from >= checked.length)
    throw refuse(
      checked.length === 0 ? "a conversation without messages" : "the last message is not the assistant's",
      "A conversation ends with the answer that is to be learned.",
    );
  return { messages: checked, from, rows: messages === undefined ? "prompt" : "messages" };
}

function checkMessage(message: unknown, number: number, refuse: Row["refuse"]): ChatMessage {
  const { role, content, tool_calls: calls } = (message ?? {}) as Record<string, unknown>;
  if (role === "tool" || role === "function" || (Array.isArray(calls) && calls.length > 0))
    throw refuse(
      `message ${number} is ${role === "assistant" ? "a tool's call" : "a tool's result"}, and tools are not trained here`,
      "Leave these rows out, or write the call and its result into the messages' text.",
    );
  if (!ROLES.includes(role))
    throw refuse(
      `message ${number} has ${role === undefined ? "no role" : `the role ${kindOf(role)}`}`,
      "Roles are system, user and assistant.",
    );
  if (typeof content !== "string")
    throw refuse(
      `message ${number} has ${content === undefined ? "no content" : `${kindOf(content)} as its content, not text`}`,
    );
  if (role === "assistant" && content.trim() === "")
    throw refuse(`message ${number} is an answer without text`);
  return message as ChatMessage;
}
