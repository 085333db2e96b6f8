/** The live page of one run, with its chat. */
import fs from "node:fs";
import { fileURLToPath } from "node:url";
import type { RunEvent } from "../events.ts";
import { runPaths } from "../run/folder.ts";
import { readRun } from "../run/reader.ts";
import { replay } from "../run/replay.ts";
import { RunBus } from "../server/bus.ts";
import { ThreadChat } from "../server/chat-service.ts";
import { newToken, type RunningServer, startServer } from "../server/serve.ts";
import { isSharedMachine } from "../server/shared.ts";

export interface Page extends RunningServer {
  chat: ThreadChat;
  /** Loads the chat's model and takes more connections; a run's first event does so too. */
  begin(): void;
  publish(event: RunEvent): void;
}

/** The same folder from dist/cli and from src/cli. */
const STATIC = fileURLToPath(new URL("../../dist/web", import.meta.url));

/** Serves the page with the events of a run, if there is one, and a chat. @throws UserError */
export function servePage(
  events: RunBus,
  chat: ThreadChat,
  { port, narrow }: { port?: number; narrow?: boolean } = {},
): Promise<RunningServer> {
  const token = isSharedMachine() ? newToken() : undefined;
  return startServer({ events, chat, staticDir: STATIC, port, narrow, token });
}

/** Opens the page of a run. With `fresh` it does not show the curves of an earlier run. @throws UserError */
export async function openPage({
  run,
  port,
  fresh = false,
}: {
  run: string;
  port?: number;
  fresh?: boolean;
}): Promise<Page> {
  const events = new RunBus();
  const chat = new ThreadChat({ run });
  const server = await servePage(events, chat, { port, narrow: true });
  if (!fresh && fs.existsSync(runPaths(run).info))
    for (const event of replay(readRun(run))) events.publish(event);
  let alive = false;
  const begin = (): void => {
    if (alive) return;
    alive = true;
    server.widen();
    chat.warm();
  };
  return {
    ...server,
    chat,
    begin,
    publish: (event) => {
      // The run's thread has loaded: its files come first.
      begin();
      events.publish(event);
    },
    close: async () => {
      await server.close();
      await chat.close();
    },
  };
}
