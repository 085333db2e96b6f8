/** A conversation with a chat model on the terminal. */
import color from "picocolors";
import type { ChatService, ConversationRequest, Message } from "../server/chat.ts";
import { showError } from "./answer.ts";
import { printable } from "./printable.ts";
import { atPrompt, isTerminal, pipedLines, setting } from "./prompt.ts";
import { note } from "./screen.ts";
import { whileLoading } from "./waiting.ts";

export interface TalkOptions extends Omit<ConversationRequest, "messages"> {
  system?: string;
}

const HELP = `  /new             begins again
  /system TEXT     begins again under this instruction; without a text, under none
  /temperature 0.6 how freely it answers; 0 is always the likeliest token
  /help            this page
  /exit            ends (Ctrl-D too); Ctrl-C stops an answer`;

/** Talks until the person leaves; each turn sees the earlier ones. */
export async function talk(service: ChatService, options: TalkOptions): Promise<void> {
  const { system, ...state } = options;
  let messages = opening(system);
  console.log(`${HELP}\n`);
  await atPrompt(color.cyan("> "), async (line, signal) => {
    const [, word, value] = /^(\S+)\s*(.*)$/s.exec(line) as unknown as [string, string, string];
    if (word === "/help") console.log(HELP);
    else if (word === "/new") messages = messages.filter(({ role }) => role === "system");
    else if (word === "/system") messages = opening(value);
    else if (word === "/temperature")
      state.temperature = setting("temperature", value, state.temperature) ?? state.temperature;
    else if (/^\/[a-z]+$/.test(word)) console.log(`There is no ${word}. /help shows what there is.`);
    else {
      const asked: Message[] = [...messages, { role: "user", content: line }];
      const content = await reply(service, { ...state, messages: asked }, signal);
      // A question without an answer is removed, because templates require questions and answers in turn.
      if (content) messages = [...asked, { role: "assistant", content }];
    }
  });
}

/** Limit of an answer in a pipe, where nobody would stop one that repeats itself. */
const PIPED_TOKENS = 1024;

/** Each line of a pipe begins a new conversation. */
export async function talkLines(service: ChatService, options: TalkOptions): Promise<void> {
  const { system, maxTokens = PIPED_TOKENS, ...rest } = options;
  await pipedLines(async (content, signal) => {
    const messages: Message[] = [...opening(system), { role: "user", content }];
    return (await reply(service, { ...rest, maxTokens, messages }, signal)) !== null;
  });
}

const opening = (system = ""): Message[] => (system === "" ? [] : [{ role: "system", content: system }]);

/** Streams the answer, its thought dim. Returns it without the thought, or `null` where the model failed. */
async function reply(
  service: ChatService,
  request: ConversationRequest,
  signal: AbortSignal,
): Promise<string | null> {
  const out = process.stdout;
  let place: "begin" | "thought" | "answer" = "begin";
  let answer = "";
  const think = (text: string): void => {
    out.write(color.dim(place === "begin" ? `<think>${text}` : text));
    place = "thought";
  };
  const say = (text: string): void => {
    const shown = answer === "" ? text.trimStart() : text;
    if (shown === "") return;
    if (place === "thought") out.write(color.dim("</think>\n\n"));
    place = "answer";
    answer += shown;
    out.write(shown);
  };
  for await (const event of whileLoading(service.ask(request, signal))) {
    if (event.type === "turn" && event.dropped > 0)
      note(
        `The conversation is longer than the model can read: its oldest ${event.dropped} messages are left out.`,
      );
    else if (event.type === "token") (event.thought ? think : say)(printable(event.text));
    else if (event.type === "done") {
      const cut = event.finish === "length" ? ", cut off" : "";
      const speed = `  ${event.tokens} tokens, ${event.seconds.toFixed(2)} s${cut}`;
      out.write(isTerminal() ? color.dim(`\n${speed}\n\n`) : "\n");
    } else if (event.type === "error") {
      showError(event);
      return null;
    }
  }
  if (signal.aborted) out.write(color.dim("\nstopped\n\n"));
  return answer.trimEnd();
}
