/**
 * Renders a small conversation of every kind before anyone talks to the model: a template that lacks a filter often
 * fails only once a tool's result is in the history.
 */
import { type Chat, type ChatMessage, type ChatOptions, renderChat } from "./chat.ts";
import { ChatTemplateError } from "./chat-template.ts";

const system: ChatMessage = { role: "system", content: "Be kind." };
const user: ChatMessage = { role: "user", content: "How warm is it?" };
const answer: ChatMessage = { role: "assistant", content: "<think>\nwarm?\n</think>\n\nIt is warm." };
const result: ChatMessage = {
  role: "tool",
  name: "warmth",
  tool_call_id: "call00001",
  content: '{"warm": 1}',
};
const tools = [
  {
    type: "function",
    function: {
      name: "warmth",
      description: "Says how warm it is.",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];
/** Templates take arguments as an object or as its JSON, and an absent content as null or as an empty text. */
const calls = [{ city: "Paris" }, '{"city": "Paris"}'].flatMap((args) =>
  [null, ""].map((content): ChatMessage => {
    const call = { id: "call00001", type: "function", function: { name: "warmth", arguments: args } };
    return { role: "assistant", content, tool_calls: [call] };
  }),
);

/** Each kind in the forms of which one has to work. */
const KINDS: Record<string, { messages: ChatMessage[]; tools?: unknown[] }[]> = {
  "a question": [{ messages: [user] }],
  "a system message": [{ messages: [system, user] }],
  "a second question": [{ messages: [user, answer, user] }],
  tools: [{ messages: [user], tools }],
  "a tool's call": calls.map((call) => ({ messages: [user, call], tools })),
  "a tool's result": calls.map((call) => ({ messages: [user, call, result], tools })),
  "an answer after a tool's result": calls.map((call) => ({ messages: [user, call, result, answer], tools })),
};

/**
 * The kinds of conversation that the template refuses by its own words.
 * @throws ChatTemplateError if one of the others fails, or a plain question is refused
 */
export function checkChat(chat: Chat): string[] {
  const refused: string[] = [];
  for (const [kind, forms] of Object.entries(KINDS))
    for (const addGenerationPrompt of [false, true]) {
      const errors = forms.map((form) => failure(chat, { ...form, addGenerationPrompt }));
      if (errors.includes(null)) continue;
      const error = errors.find((one) => one?.refused) ?? errors[0]!;
      if (!error.refused || kind === "a question")
        throw new ChatTemplateError({ ...error, found: `${error.found} (with ${kind})` });
      if (!refused.includes(kind)) refused.push(kind);
    }
  return refused;
}

function failure(
  chat: Chat,
  { messages, ...options }: ChatOptions & { messages: ChatMessage[] },
): ChatTemplateError | null {
  try {
    renderChat(chat, messages, options);
    return null;
  } catch (error) {
    if (error instanceof ChatTemplateError) return error;
    throw error;
  }
}
