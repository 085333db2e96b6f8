/**
 * Renders a small conversation of every kind when a model is opened: a template that uses an unknown filter often fails
 * only once a tool's result is in the history.
 */
import { isUserError, UserError } from "../lib/errors.ts";
import { type Chat, type ChatMessage, type ChatOptions, renderChat } from "./chat.ts";

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

/** Each kind of conversation in several forms, of which one has to work. */
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
 * @throws UserError if one of the others fails, or a plain question is refused
 */
export function checkChat(chat: Chat): string[] {
  const refused: string[] = [];
  for (const [kind, forms] of Object.entries(KINDS))
    for (const addGenerationPrompt of [false, true]) {
      const errors = forms.map((form) => failure(chat, { ...form, addGenerationPrompt }));
      if (errors.includes(null)) continue;
      const error = errors.find((one) => one?.data.refused) ?? errors[0]!;
      if (!error.data.refused || kind === "a question") {
        const { where, remedy, data } = error;
        const found = `${error.found} (with ${kind})`;
        throw new UserError({
          ...{ kind: "chat-template", what: found, found, data },
          ...{ where: where ?? undefined, remedy: remedy ?? undefined },
        });
      }
      if (!refused.includes(kind)) refused.push(kind);
    }
  return refused;
}

function failure(
  chat: Chat,
  { messages, ...options }: ChatOptions & { messages: ChatMessage[] },
): UserError | null {
  try {
    renderChat(chat, messages, options);
    return null;
  } catch (error) {
    if (isUserError(error, "chat-template")) return error;
    throw error;
  }
}
