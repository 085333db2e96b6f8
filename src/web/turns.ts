/** The conversation of this tab, kept over a reload. */
import type { ChatEvent, Message } from "../server/chat.ts";
import { MAX_CONVERSATION_BYTES } from "../server/limits.ts";
import { newestMessages } from "./newest.ts";
import { askServer } from "./sse.ts";
import { storedList } from "./stored.ts";

export interface Turn {
  question: string;
  thought: string;
  answer: string;
  state: "thinking" | "done" | "stopped" | "interrupted" | "failed";
  tokens: number;
  seconds: number;
  /** The completion reached the model's last position. */
  cut: boolean;
  /** Oldest messages that the model did not read. */
  dropped: number;
  /** What failed and what to do. */
  error: string | null;
}

export interface TurnSettings {
  model: string;
  system: string;
  temperature: number | null;
  seed: number | null;
}

const REPAINT_MS = 40;
/** Bytes of a request for everything except its messages. */
const ENVELOPE_BYTES = 1024;

const stored = storedList<Turn>("sputnik-turns", (turn) =>
  turn.state === "thinking" ? { ...turn, state: "interrupted" } : turn,
);
export const turns = stored.shown;
let running: AbortController | null = null;
let repaint: ReturnType<typeof setTimeout> | undefined;

export const isAnswering = (): boolean => turns.value.at(-1)?.state === "thinking";

/** Asks the next question, and shows the answer as it comes. */
export async function ask(question: string, settings: TurnSettings): Promise<void> {
  const { model, system, temperature, seed } = settings;
  const first: Message[] = system === "" ? [] : [{ role: "system", content: system }];
  const before = turns.value.map(asMessages);
  const bytes = MAX_CONVERSATION_BYTES - ENVELOPE_BYTES;
  const messages = newestMessages(first, before, { role: "user", content: question }, bytes);
  const left = first.length + before.flat().length + 1 - messages.length;
  const turn = { ...newTurn(question), dropped: left };
  stored.publish([...turns.value, turn]);
  const stopping = new AbortController();
  running = stopping;
  const body = {
    ...{ messages, model },
    ...(temperature === null ? {} : { temperature }),
    ...(seed === null ? {} : { seed }),
  };
  try {
    for await (const event of askServer("api/conversation", body, stopping.signal)) take(turn, event);
    if (turn.state === "thinking") turn.state = "interrupted";
  } catch {
    if (stopping.signal.aborted) turn.state = "stopped";
    else if (turn.tokens > 0) turn.state = "interrupted";
    else Object.assign(turn, { state: "failed", error: "The server does not answer. Is it still running?" });
  }
  // A new conversation may have begun meanwhile.
  if (running === stopping) show(turn, 0);
}

export const stop = (): void => running?.abort();

export function begin(): void {
  stop();
  running = null;
  clearTimeout(repaint);
  repaint = undefined;
  stored.publish([]);
}

/** A question without an answer is left out, since templates require alternating roles. */
function asMessages({ question, answer }: Turn): Message[] {
  const content = answer.trim();
  if (content === "") return [];
  return [
    { role: "user", content: question },
    { role: "assistant", content },
  ];
}

function newTurn(question: string): Turn {
  const nothing = { thought: "", answer: "", tokens: 0, seconds: 0, cut: false, dropped: 0, error: null };
  return { question, state: "thinking", ...nothing };
}

function take(turn: Turn, event: ChatEvent): void {
  if (event.type === "turn") turn.dropped += event.dropped;
  else if (event.type === "token") {
    turn.tokens++;
    if (event.thought) turn.thought += event.text;
    else turn.answer += event.text;
  } else if (event.type === "done") {
    const { tokens, seconds, finish } = event;
    Object.assign(turn, { state: "done", tokens, seconds, cut: finish === "length" });
  } else if (event.type === "error") {
    const error = event.remedy === null ? event.message : `${event.message} ${event.remedy}`;
    Object.assign(turn, { state: "failed", error });
  }
  show(turn);
}

/** Tokens come faster than anyone reads: repaint and store now and then. */
function show(turn: Turn, after = REPAINT_MS): void {
  if (turn.state !== "thinking" || after === 0) {
    clearTimeout(repaint);
    repaint = undefined;
    stored.publish([...turns.value.slice(0, -1), turn]);
  } else
    repaint ??= setTimeout(() => {
      repaint = undefined;
      stored.publish([...turns.value.slice(0, -1), turn]);
    }, REPAINT_MS);
}
