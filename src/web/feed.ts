/** The run's state as the server sends it: the page's only source. */
import { signal } from "@preact/signals";
import type { RunEvent } from "../events.ts";
import type { ChatModel } from "../server/chat.ts";
import { apply, emptyRun, type RunState } from "../server/run-state.ts";

export const run = signal<RunState>(emptyRun());
export const models = signal<ChatModel[]>([]);
export const connection = signal<"connecting" | "live" | "lost">("connecting");
/** False until the first state has arrived: before it, the page does not know whether there is a run. */
export const known = signal(false);

/** Milliseconds between repaints: pretraining sends several steps a second. */
const REPAINT_MS = 120;
const RETRY_MS = 2000;

let draft = emptyRun();
let repaint: ReturnType<typeof setTimeout> | undefined;

/** Opens the stream. The browser reconnects after a break; after a refusal, this function does. */
export function connect(): void {
  const source = new EventSource("events");
  source.addEventListener("open", () => {
    connection.value = "live";
  });
  source.addEventListener("error", () => {
    connection.value = "lost";
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS);
  });
  source.addEventListener("state", ({ data }: MessageEvent<string>) => {
    draft = JSON.parse(data) as RunState;
    show();
    void refreshModels();
  });
  source.addEventListener("run", ({ data }: MessageEvent<string>) => {
    const event = JSON.parse(data) as RunEvent;
    apply(draft, event);
    show();
    if (event.type === "stage" || event.type === "samples" || event.type === "done") void refreshModels();
  });
}

function show(): void {
  if (repaint !== undefined) return;
  repaint = setTimeout(() => {
    repaint = undefined;
    // Curves grow in place; a component does not draw the same object again, so it gets a copy.
    const curves = Object.entries(draft.curves).map(([stage, grown]) => [stage, { ...grown }]);
    run.value = { ...draft, curves: Object.fromEntries(curves) };
    known.value = true;
  }, REPAINT_MS);
}

/** The run's model appears with its first checkpoint. */
async function refreshModels(): Promise<void> {
  const response = await fetch("api/models").catch(() => null);
  if (!response?.ok) return;
  const answer = (await response.json()) as { models: ChatModel[] };
  if (JSON.stringify(answer.models) !== JSON.stringify(models.value)) models.value = answer.models;
}
