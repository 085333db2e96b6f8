/** The HTTP interface: the page, the run's events, its state, and the chat. */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { serveStatic } from "@hono/node-server/serve-static";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { streamSSE } from "hono/streaming";
import type { z } from "zod";
import type { RunBus } from "./bus.ts";
import {
  type ChatEvent,
  type ChatRequest,
  type ChatService,
  conversationRequestSchema,
  problemRequestSchema,
} from "./chat.ts";
import { guard } from "./guard.ts";
import { MAX_CONVERSATION_BYTES, MAX_PROBLEM_BYTES } from "./limits.ts";

export interface AppOptions {
  events: RunBus;
  chat: ChatService;
  /** The built page (dist/web). */
  staticDir: string;
  /** The name or address that the server is bound to. */
  host?: string;
  /** Asked for with every request, where it is given. */
  token?: string;
}

/** Milliseconds after which the page's EventSource reconnects. */
const RETRY_MS = 1000;
/** Pages that may follow the run at once. */
export const MOST_READERS = 32;

export function createApp({ events, chat, staticDir, host = "127.0.0.1", token }: AppOptions): Hono {
  const app = new Hono();
  app.use(guard({ host, token }));
  const readers = { open: 0 };
  app.get("/events", (c) => streamEvents(c, events, readers));
  app.get("/api/state", (c) => c.json({ id: events.lastId, ...events.state, models: chat.models() }));
  app.get("/api/models", (c) => c.json({ models: chat.models() }));
  app.post("/api/chat", limited(MAX_PROBLEM_BYTES), (c) => answer(c, chat, problemRequestSchema));
  app.post("/api/conversation", limited(MAX_CONVERSATION_BYTES), (c) =>
    answer(c, chat, conversationRequestSchema),
  );
  app.all("/api/*", (c) =>
    c.json({ message: `There is no ${c.req.method} ${c.req.path} here.`, remedy: null }, 404),
  );
  app.get("/", (c) => sendPage(c, staticDir));
  app.get("/assets/*", (c, next) => serveStatic({ root: staticDir, onFound: keepForEver })(c, next));
  app.notFound((c) => c.json({ message: `There is no ${c.req.path} here.`, remedy: "Open /" }, 404));
  app.onError((error, c) => c.json({ message: error.message, remedy: null }, 500));
  return app;
}

/** Server-Sent Events: a `state` frame replaces the reader's state, a `run` frame adds to it; writes wait for the reader. */
function streamEvents(c: Context, events: RunBus, readers: { open: number }): Response {
  // Each takes a file descriptor that a run may need.
  if (readers.open >= MOST_READERS) {
    const message = `${MOST_READERS} pages of this server are open already.`;
    return c.json({ message, remedy: "Close one of them." }, 503);
  }
  readers.open++;
  const lastId = c.req.header("last-event-id") ?? c.req.query("after") ?? null;
  return streamSSE(c, async (stream) => {
    const gone = new AbortController();
    stream.onAbort(() => gone.abort());
    try {
      await stream.write(`retry: ${RETRY_MS}\n\n`);
      for await (const frame of events.subscribe(lastId, gone.signal)) {
        if (frame.kind === "heartbeat") await stream.write(":\n\n");
        else await stream.writeSSE({ event: frame.kind, id: frame.id, data: frame.data });
      }
    } finally {
      readers.open--;
    }
  });
}

const limited = (maxSize: number): MiddlewareHandler =>
  bodyLimit({
    maxSize,
    onError: (c) => refuse(c, `The request is longer than ${maxSize} bytes.`, "Ask something shorter."),
  });

async function answer(c: Context, chat: ChatService, schema: z.ZodType<ChatRequest>): Promise<Response> {
  const body: unknown = await c.req.json().catch(() => undefined);
  if (body === undefined) return refuse(c, "The request is not JSON.", 'Send {"problem": "82 27 11 = 44"}.');
  const parsed = schema.safeParse(body);
  if (!parsed.success) {
    return refuse(c, parsed.error.issues.map((issue) => issue.message).join("; "), null);
  }
  const ids = chat.models().map((model) => model.id);
  if (ids.length === 0) return refuse(c, "No model is ready yet.", "Wait for the run's first checkpoint.");
  const { model } = parsed.data;
  if (model !== undefined && !ids.includes(model)) {
    return refuse(c, `There is no model "${model}".`, `Choose one of: ${ids.join(", ")}.`);
  }
  return streamAnswer(c, chat, parsed.data);
}

/** Streams tokens as they are sampled; sampling ends when the person leaves or presses stop. */
function streamAnswer(c: Context, chat: ChatService, request: ChatRequest): Response {
  return streamSSE(c, async (stream) => {
    const gone = new AbortController();
    stream.onAbort(() => gone.abort());
    const send = (event: ChatEvent): Promise<void> => stream.writeSSE({ data: JSON.stringify(event) });
    try {
      for await (const event of chat.ask(request, gone.signal)) {
        if (gone.signal.aborted) return;
        await send(event);
      }
    } catch (error) {
      if (gone.signal.aborted) return;
      await send({ type: "error", ...explain(error) });
    }
  });
}

function explain(error: unknown): { message: string; remedy: string | null } {
  const message = error instanceof Error ? error.message : String(error);
  const remedy =
    error instanceof Error && "remedy" in error && typeof error.remedy === "string" ? error.remedy : null;
  return { message, remedy };
}

function refuse(c: Context, message: string, remedy: string | null): Response {
  return c.json({ message, remedy }, 400);
}

/** Names of assets contain a hash of their content. */
function keepForEver(_: string, c: Context): void {
  c.header("Cache-Control", "max-age=31536000, immutable");
}

/** Reads the file for each request, since a rebuild changes the names of assets. */
function sendPage(c: Context, staticDir: string): Response {
  const file = path.join(staticDir, "index.html");
  c.header("Cache-Control", "no-cache");
  if (existsSync(file)) return c.html(readFileSync(file, "utf8"));
  return c.text(`The page has not been built: ${file} is missing. Run npm run build, then reload.\n`, 503);
}
