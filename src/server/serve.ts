/** Listens on a port. */
import { randomBytes } from "node:crypto";
import type { Server } from "node:http";
import { type AddressInfo, isIPv4, isIPv6 } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import type { Hono } from "hono";
import { UserError } from "../lib/errors.ts";
import { readText } from "../runtime/cgroup.ts";
import { type AppOptions, createApp, MOST_READERS } from "./app.ts";

export interface ServeOptions extends AppOptions {
  /** `undefined`: 4848, or the next that is free. 0: any free one. */
  port?: number | undefined;
  /** Few connections until `widen`, since threads that load their modules have hundreds of files open. */
  narrow?: boolean;
}

export interface RunningServer {
  url: string;
  port: number;
  /** Allows as many connections as the process has file descriptors for. */
  widen(): void;
  /** Ends open streams too. */
  close(): Promise<void>;
}

const DEFAULT_PORT = 4848;
/** Connections before and after `widen`: later each open page may have a second one for its other requests. */
const FEW_CONNECTIONS = 4;
const MOST_CONNECTIONS = 2 * MOST_READERS;
/** This many ports from the default one are tried. */
const PORTS_TRIED = 20;

/** The server cannot listen on this port. */
const portError = (port: number, why: string, remedy: string, cause: unknown): UserError =>
  new UserError({ kind: "port", what: `Port ${port} ${why}`, remedy, data: { port }, cause });

/** @throws UserError "port" when the port is taken or not allowed. */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const host = options.host ?? "127.0.0.1";
  // Other machines can reach this address, so requests need a token.
  const token = options.token ?? (isLoopback(host) ? undefined : newToken());
  const app = createApp({ ...options, host, token });
  const most = mostConnections(MOST_CONNECTIONS);
  const { server, port } = await listenTo(app.fetch, {
    ...{ host, port: options.port },
    connections: options.narrow ? FEW_CONNECTIONS : most,
  });
  return describe(server, port, host, token);
}

export interface Listening {
  server: Server;
  port: number;
}

/**
 * Listens on the port, or on the first free one from the default on where none is given.
 * @throws UserError "port" when the port is taken or not allowed
 */
export async function listenTo(
  fetch: Hono["fetch"],
  { host, port: wanted, connections }: { host: string; port: number | undefined; connections: number },
): Promise<Listening> {
  const first = wanted ?? DEFAULT_PORT;
  const last = wanted === undefined ? first + PORTS_TRIED - 1 : first;
  for (let port = first; ; port++) {
    const server = createAdaptorServer({ fetch }) as Server;
    server.maxConnections = connections;
    try {
      return { server, port: await listen(server, port, host) };
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
    return portError(port, why, "Choose a free one with --port, or --port 0 for any.", error);
  }
  if (code === "EACCES") {
    return portError(port, "may not be opened by this user", "Choose one above 1023 with --port.", error);
  }
  if (typeof code !== "string" || !(error instanceof Error)) return error;
  const why = `cannot be opened (${error.message})`;
  return portError(port, why, "Is this process allowed to listen on this machine's own address?", error);
}

function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      // A failed connection must not end the process, which may train.
      server.on("error", () => {});
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** A quarter of the process's file descriptors, one a connection, and at most `most`: the run needs the others. */
export function mostConnections(most: number): number {
  const limit = /^Max open files\s+(\d+)/m.exec(readText("/proc/self/limits") ?? "")?.[1];
  return limit === undefined ? most : Math.max(8, Math.min(most, Number(limit) >> 2));
}

export const newToken = (): string => randomBytes(16).toString("hex");

export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));

/** How a person opens the server, by a name that browsers take. */
export function addressOf(host: string, port: number): string {
  const shown = isIPv6(host) ? `[${host}]` : host === "127.0.0.1" || host === "0.0.0.0" ? "localhost" : host;
  return `http://${shown}:${port}`;
}

/** Ends open connections too. */
export const closeServer = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });

function describe(server: Server, port: number, host: string, token?: string): RunningServer {
  return {
    url: `${addressOf(host, port)}/${token === undefined ? "" : `?token=${token}`}`,
    port,
    widen: () => {
      server.maxConnections = mostConnections(MOST_CONNECTIONS);
    },
    close: () => closeServer(server),
  };
}
