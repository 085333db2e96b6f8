/** The problems of this tab with their completions, kept over a reload. */
import type { ChatEvent } from "../server/chat.ts";
import type { Verdict } from "../tasks/problem.ts";
import { askServer } from "./sse.ts";
import { storedList } from "./stored.ts";

export interface Try {
  state: "waiting" | "thinking" | "done" | "stopped" | "interrupted" | "failed";
  text: string;
  tokens: number;
  seconds: number;
  /** The completion reached the largest length. */
  cut?: boolean;
  verdict: Verdict | null;
  /** What failed, and what to do. */
  error: string | null;
}

export interface Question {
  id: string;
  problem: string;
  temperature: number;
  seed: number | null;
  model: string;
  modelLabel: string;
  tries: Try[];
}

const KEPT = 20;
/** Completions of one problem that are sampled at once; the others wait. */
const AT_ONCE = 4;
const REPAINT_MS = 40;

/** Changed in place as tokens arrive; `publish` shows a copy, so that components see the change. */
const stored = storedList<Question>("sputnik-questions", ({ tries, ...question }) => ({
  ...question,
  tries: tries.map((attempt) => (isUnfinished(attempt) ? { ...attempt, state: "interrupted" } : attempt)),
}));
export const questions = stored.shown;
let drafts = questions.value;
const stops = new Map<string, AbortController>();
let repaint: ReturnType<typeof setTimeout> | undefined;

export function ask(question: Omit<Question, "id" | "tries">, count: number): void {
  const tries = Array.from({ length: count }, newTry);
  const asked: Question = { ...question, id: `${Date.now()}-${Math.random()}`, tries };
  drafts = [asked, ...drafts].slice(0, KEPT);
  // Shown and stored before the first token: a reload must not lose the question.
  publish();
  const stop = new AbortController();
  stops.set(asked.id, stop);
  const queue = tries.entries();
  const work = async (): Promise<void> => {
    for (const [index, attempt] of queue) await think(asked, index, attempt, stop.signal);
  };
  void Promise.all(Array.from({ length: AT_ONCE }, work)).finally(() => stops.delete(asked.id));
}

export function stop(question: Question): void {
  stops.get(question.id)?.abort();
}

export function isBusy(question: Question): boolean {
  return question.tries.some(isUnfinished);
}

function isUnfinished({ state }: Try): boolean {
  return state === "waiting" || state === "thinking";
}

function newTry(): Try {
  return { state: "waiting", text: "", tokens: 0, seconds: 0, verdict: null, error: null };
}

async function think(question: Question, index: number, attempt: Try, signal: AbortSignal): Promise<void> {
  const { problem, temperature, seed, model } = question;
  try {
    signal.throwIfAborted();
    const body = { problem, temperature, model, ...(seed === null ? {} : { seed: seed + index }) };
    let began = performance.now();
    for await (const event of askServer("api/chat", body, signal)) {
      if (event.type === "prompt") began = performance.now();
      take(attempt, event, began);
    }
    if (isUnfinished(attempt)) attempt.state = "interrupted";
  } catch {
    if (signal.aborted) attempt.state = "stopped";
    else if (attempt.tokens > 0) attempt.state = "interrupted";
    else fail(attempt, "The server does not answer.", "Is it still running?");
  }
  show();
}

function take(attempt: Try, event: ChatEvent, began: number): void {
  if (event.type === "prompt") attempt.state = "thinking";
  else if (event.type === "token") {
    attempt.state = "thinking";
    attempt.text += event.text;
    attempt.tokens++;
    attempt.seconds = (performance.now() - began) / 1000;
  } else if (event.type === "verdict") attempt.verdict = event.verdict;
  else if (event.type === "done")
    Object.assign(attempt, {
      ...{ state: "done", tokens: event.tokens, seconds: event.seconds, cut: event.finish === "length" },
    });
  else if (event.type === "error") fail(attempt, event.message, event.remedy);
  show();
}

function fail(attempt: Try, message: string, remedy: string | null): void {
  attempt.state = "failed";
  attempt.error = remedy === null ? message : `${message} ${remedy}`;
}

/** Tokens arrive faster than anyone reads: repaint and store now and then. */
function show(): void {
  if (repaint !== undefined) return;
  repaint = setTimeout(() => {
    repaint = undefined;
    publish();
  }, REPAINT_MS);
}

const publish = (): void => stored.publish(drafts);
