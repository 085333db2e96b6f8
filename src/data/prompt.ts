/** Prompts as ids, with the tokens that a model expects before and around them. */
import type { ModelShape } from "../checkpoint/folder.ts";
import type { UserError } from "../lib/errors.ts";
import type { Problem } from "../tasks/problem.ts";
import { beginIds } from "../tokenizer/around.ts";
import { chatOf, encodeChat } from "../tokenizer/chat.ts";
import { chatTemplateError } from "../tokenizer/chat-template.ts";

/** The prompt's ids: the tokens with which the model's tokenizer begins a text, then the template's text with its control tokens. */
export function encodePrompt(model: Pick<ModelShape, "tokenizer">, prompt: string): number[] {
  return [...beginIds(model.tokenizer), ...model.tokenizer.encode(prompt, { specials: true })];
}

/** A problem's prompt, for a chat model through its template. @throws UserError where it has none */
export function encodeProblem(
  model: Pick<ModelShape, "tokenizer" | "tokenizerConfig">,
  { prompt, messages, tools }: Problem,
): number[] {
  if (messages === undefined) return encodePrompt(model, prompt);
  const chat = chatOf(model.tokenizerConfig ?? {});
  if (chat === null) throw noChatTemplate();
  return encodeChat(model.tokenizer, chat, messages, { addGenerationPrompt: true, tools });
}

/** A task whose problems are chats, for a model that has none. */
export const noChatTemplate = (): UserError =>
  chatTemplateError({
    line: null,
    found: "the task asks for a chat, and the model has no chat template",
    remedy: "Set the task's template to plain or r1.",
  });
