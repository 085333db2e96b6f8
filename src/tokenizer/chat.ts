/**
 * Encodes a conversation. Only the template emits control tokens: a message, a tool's result or a tool's description is
 * text, whatever it spells.
 *
 * Before rendering, every character that begins a control token ("<" of "<|im_end|>") is replaced in the messages by a
 * private-use character. So all control tokens of the rendered text come from the template; in the text between them the
 * characters are put back before it is encoded.
 */
import { ChatTemplate, chatTemplateError, namedTemplates, TOOL_USE } from "./chat-template.ts";
import { inTime } from "./hostile.ts";
import type { ControlToken, Tokenizer } from "./tokenizer.ts";

/** A message as OpenAI's API and transformers know it. */
export interface ChatMessage {
  role: "system" | "developer" | "user" | "assistant" | "tool" | "function";
  content?: string | null | { type: string; [field: string]: unknown }[];
  /** `tool_calls`, `tool_call_id`, `name`, `reasoning_content`, ... */
  [field: string]: unknown;
}

/** What a chat template is given beside the messages. */
export interface ChatOptions {
  /** End with what opens the assistant's turn. */
  addGenerationPrompt?: boolean;
  /** JSON schemas of functions. */
  tools?: unknown[] | null;
  /** Further variables of the template, such as `{ enable_thinking: false }`. */
  variables?: Record<string, unknown>;
}

/** Template and names of control tokens, from the content of `tokenizer_config.json`. */
export interface Chat {
  template: ChatTemplate;
  /** For conversations with tools, if the model has another template for them. */
  toolTemplate?: ChatTemplate;
  /** `bos_token`, `eos_token`, ... as templates spell them. */
  tokens: Record<string, string>;
}

const ROLES: readonly string[] = ["system", "developer", "user", "assistant", "tool", "function"];

/** In the assistant's turns these are control tokens: the model wrote them, and templates split at them. */
const THOUGHT_TAGS = ["<think>", "</think>"];

/** By tokenizer config: a training step asks once for every problem. */
const chats = new WeakMap<Record<string, unknown>, Chat>();

/** The chat of a model, or `null` where it has no template. @throws UserError if the template is broken */
export function chatOf(tokenizerConfig: Record<string, unknown>): Chat | null {
  const named = namedTemplates(tokenizerConfig.chat_template);
  const [usual, forTools] = [named.get("default"), named.get(TOOL_USE)];
  if (usual === undefined) return null;
  const known = chats.get(tokenizerConfig);
  if (known?.template.source === usual && known.toolTemplate?.source === forTools) return known;
  const tokens: Record<string, string> = {};
  for (const [name, value] of Object.entries(tokenizerConfig)) {
    const text = typeof value === "object" && value !== null && "content" in value ? value.content : value;
    if (name.endsWith("_token") && typeof text === "string") tokens[name] = text;
  }
  const chat: Chat = {
    ...{ template: new ChatTemplate(usual), tokens },
    ...(forTools !== undefined && { toolTemplate: new ChatTemplate(forTools) }),
  };
  chats.set(tokenizerConfig, chat);
  return chat;
}

/** The template that transformers takes. */
const chosen = ({ template, toolTemplate }: Chat, tools: unknown): ChatTemplate =>
  (tools === null ? undefined : toolTemplate) ?? template;

/** The conversation as text, as transformers' `apply_chat_template` renders it. */
export function renderChat(
  chat: Chat,
  messages: readonly ChatMessage[],
  { addGenerationPrompt = false, tools = null, variables = {} }: ChatOptions = {},
): string {
  // Some templates build a control token from the role.
  for (const { role } of messages)
    if (!ROLES.includes(role))
      throw chatTemplateError({
        line: null,
        found: `a message has the role ${JSON.stringify(role)}`,
        remedy: `Use one of ${ROLES.join(", ")}.`,
      });
  const fixed = { messages, tools, documents: null, add_generation_prompt: addGenerationPrompt };
  return chosen(chat, tools).render({ ...chat.tokens, ...variables, ...fixed });
}

/** A part of a rendered conversation: a control token of the template, or text without any. */
export interface ChatPart {
  text: string;
  control: boolean;
  /** Whether it follows a control token or begins the text. */
  after: "control" | undefined;
}

/** The conversation as ids. A message yields no control token, except thought tags of the assistant. */
export function encodeChat(
  tokenizer: Tokenizer,
  chat: Chat,
  messages: readonly ChatMessage[],
  options: ChatOptions = {},
): number[] {
  return chatParts(tokenizer, chat, messages, options).flatMap((part) => encodePart(tokenizer, part));
}

export const encodePart = (tokenizer: Tokenizer, { text, control, after }: ChatPart): number[] =>
  tokenizer.encode(text, { specials: control, after });

/** The parts before they are encoded; a message has the same parts in every conversation, so they can be cached. */
export function chatParts(
  tokenizer: Tokenizer,
  chat: Chat,
  messages: readonly ChatMessage[],
  { tools = null, ...options }: ChatOptions = {},
): ChatPart[] {
  const { controls } = tokenizer;
  const shield = shieldFor(
    controls.map(({ content }) => content),
    chosen(chat, tools).source + JSON.stringify([messages, tools, options.variables]),
  );
  const shielded = messages.map(({ role, content, ...fields }) => ({
    role,
    content: shield.hide(content, role === "assistant" ? THOUGHT_TAGS : []),
    ...(shield.hide(fields) as Record<string, unknown>),
  })) as ChatMessage[];
  const variables = shield.hide(options.variables ?? {}) as Record<string, unknown>;
  const text = renderChat(chat, shielded, {
    ...options,
    variables,
    tools: shield.hide(tools) as unknown[] | null,
  });
  const parts = inTime(() => splitAtControls(text, controls), text.length);
  return parts
    .map((part, i) => ({
      text: part.control ? part.text : shield.show(part.text),
      control: part.control,
      after: i > 0 ? ("control" as const) : undefined,
    }))
    .filter((part) => part.text !== "");
}

/** Splits at the longest control token of each position; some tokens remove the blanks beside them. */
function splitAtControls(text: string, controls: readonly ControlToken[]): Omit<ChatPart, "after">[] {
  const byFirst = new Map<string, ControlToken[]>();
  for (const token of [...controls].sort((a, b) => b.content.length - a.content.length)) {
    const known = byFirst.get(token.content[0]);
    if (known === undefined) byFirst.set(token.content[0], [token]);
    else known.push(token);
  }
  const parts: Omit<ChatPart, "after">[] = [];
  let from = 0;
  let swallow = false;
  const addText = (to: number, lstrip: boolean): void => {
    const plain = text.slice(from, to);
    const left = swallow ? plain.replace(LEADING_BLANKS, "") : plain;
    parts.push({ text: lstrip ? withoutTrailingBlanks(left) : left, control: false });
  };
  for (let at = 0; at < text.length; ) {
    const token = byFirst.get(text[at])?.find(({ content }) => text.startsWith(content, at));
    if (token === undefined) at++;
    else {
      addText(at, token.lstrip);
      parts.push({ text: token.content, control: true });
      at += token.content.length;
      from = at;
      swallow = token.rstrip;
    }
  }
  addText(text.length, false);
  return parts;
}

const LEADING_BLANKS = /^\p{White_Space}+/u;

/** A regular expression would start again at every blank, in quadratic time. */
function withoutTrailingBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && /\p{White_Space}/u.test(text[end - 1])) end--;
  return text.slice(0, end);
}

/**
 * Whether the prompt ends with an opening thought tag, so that the completion begins inside the thought (DeepSeek-R1's
 * template). Earlier tags may come from a person's message.
 */
export function opensThought(prompt: string): boolean {
  return prompt.trimEnd().endsWith("<think>");
}

interface Shield {
  /** In every text inside `value`, but for the texts to `keep`. */
  hide(value: unknown, keep?: readonly string[]): unknown;
  show(text: string): string;
}

function shieldFor(controls: readonly string[], taken: string): Shield {
  const standIns = new Map<string, string>();
  let next = 0xe000;
  for (const first of new Set(controls.map((content) => String.fromCodePoint(content.codePointAt(0)!)))) {
    while (taken.includes(String.fromCharCode(next)) || taken.includes(`u${next.toString(16)}`)) next++;
    standIns.set(first, String.fromCharCode(next++));
  }
  const swap = (text: string, pairs: Iterable<[string, string]>): string => {
    let result = text;
    for (const [from, to] of pairs) result = result.replaceAll(from, to);
    return result;
  };
  const back = [...standIns].flatMap(([first, standIn]): [string, string][] => [
    [standIn, first],
    // As `tojson(ensure_ascii=True)` writes it.
    [`\\u${standIn.charCodeAt(0).toString(16)}`, first],
  ]);
  const hide = (value: unknown, keep: readonly string[] = []): unknown => {
    if (typeof value === "string") {
      if (keep.length === 0) return swap(value, standIns);
      const kept = new RegExp(`(${keep.map(escapeRegExp).join("|")})`);
      return value
        .split(kept)
        .map((part, i) => (i % 2 === 1 ? part : swap(part, standIns)))
        .join("");
    }
    if (Array.isArray(value)) return value.map((item) => hide(item, keep));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [swap(key, standIns), hide(item, keep)]),
    );
  };
  return { hide, show: (text) => swap(text, back) };
}

const escapeRegExp = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
