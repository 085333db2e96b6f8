/** The live page of one run, with its chat. */
import fs from "node:fs";
import { fileURLToPath } from "node:url";
import type { RunEvent } from "../events.ts";
import { replay } from "../recipe/replay.ts";
import { runPaths } from "../recipe/run-folder.ts";
import { readRun } from "../recipe/run-reader.ts";
import { RunBus } from "../server/bus.ts";
import { ThreadChat } from "../server/chat-service.ts";
import { type RunningServer, startServer } from "../server/serve.ts";

export interface Page extends RunningServer {
  chat: ThreadChat;
  publish(event: RunEvent): void;
}

/** The same folder from dist/cli and from src/cli. */
const STATIC = fileURLToPath(new URL("../../dist/web", import.meta.url));

/** The page over a run's events, which may stay without one, and a chat. @throws PortError */
export function servePage(events: RunBus, chat: ThreadChat, port?: number): Promise<RunningServer> {
  return startServer({ events, chat, staticDir: STATIC, port });
}

/** `fresh`: an earlier run's curves are not shown. @throws PortError */
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
  const server = await servePage(events, chat, port);
  chat.warm();
  if (!fresh && fs.existsSync(runPaths(run).info))
    for (const event of replay(readRun(run))) events.publish(event);
  return {
    ...server,
    chat,
    publish: (event) => events.publish(event),
    close: async () => {
      await server.close();
      await chat.close();
    },
  };
}
