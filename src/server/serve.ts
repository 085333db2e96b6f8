/** Binds the page to a port of this machine. */
import type { Server } from "node:http";
import { type AddressInfo, isIPv6 } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { type AppOptions, createApp } from "./app.ts";

export interface ServeOptions extends AppOptions {
  /** `undefined`: 4848, or the next that is free. 0: any free one. */
  port?: number | undefined;
}

export interface RunningServer {
  url: string;
  port: number;
  /** Ends open streams too. */
  close(): Promise<void>;
}

export const DEFAULT_PORT = 4848;
/** This many ports from the default one are tried. */
const PORTS_TRIED = 20;

/** The server cannot listen there: what was tried, and what to do. */
export class PortError extends Error {
  readonly port: number;
  readonly remedy: string;

  constructor(port: number, why: string, remedy: string, cause: unknown) {
    super(`Port ${port} ${why}. ${remedy}`, { cause });
    this.name = "PortError";
    this.port = port;
    this.remedy = remedy;
  }
}

/** @throws PortError when the port is taken or not allowed. */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const host = options.host ?? "127.0.0.1";
  const app = createApp({ ...options, host });
  const first = options.port ?? DEFAULT_PORT;
  const last = options.port === undefined ? first + PORTS_TRIED - 1 : first;
  for (let port = first; ; port++) {
    const server = createAdaptorServer({ fetch: app.fetch }) as Server;
    try {
      return describe(server, await listen(server, port, host), host);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code === "EADDRINUSE" && port < last) continue;
      throw toPortError(error, code, port, first);
    }
  }
}

function toPortError(error: unknown, code: unknown, port: number, first: number): unknown {
  if (code === "EADDRINUSE") {
    const why = port === first ? "is in use by another program" : `and the ones from ${first} on are in use`;
    return new PortError(port, why, "Choose a free one with --port, or --port 0 for any.", error);
  }
  if (code === "EACCES") {
    return new PortError(port, "may not be opened by this user", "Choose one above 1023 with --port.", error);
  }
  return error;
}

function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function describe(server: Server, port: number, host: string): RunningServer {
  const shown = isIPv6(host) ? `[${host}]` : host === "127.0.0.1" || host === "0.0.0.0" ? "localhost" : host;
  return {
    url: `http://${shown}:${port}/`,
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
