import http from "node:http";
import { afterEach, expect, test } from "vitest";
import { RunBus } from "../../src/server/bus.ts";
import { type RunningServer, type ServeOptions, startServer } from "../../src/server/serve.ts";
import { ScriptedChat } from "./replay.ts";

const running: RunningServer[] = [];

async function start(port: number | undefined, options: Partial<ServeOptions> = {}) {
  const events = new RunBus();
  const server = await startServer({
    events,
    chat: new ScriptedChat(),
    staticDir: "/nowhere",
    port,
    ...options,
  });
  running.push(server);
  return { server, events };
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
});

/** Reads a stream until it has what was asked for, then hangs up. */
async function readUntil(url: string, headers: Record<string, string>, wanted: string): Promise<string> {
  const stop = new AbortController();
  const response = await fetch(url, { headers, signal: stop.signal });
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body!) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes(wanted)) break;
  }
  stop.abort();
  return text;
}

test("a port in use is an error that names the port and the remedy", async () => {
  const { server } = await start(0);
  const second = start(server.port);
  await expect(second).rejects.toMatchObject({ kind: "port" });
  await expect(second).rejects.toMatchObject({ data: { port: server.port } });
  await expect(second).rejects.toThrow(new RegExp(`Port ${server.port} is in use.*--port`));
});

test("an address that is not this machine's is an error of the same kind", async () => {
  // TEST-NET-3 (RFC 5737) is nobody's.
  const elsewhere = start(0, { host: "203.0.113.1" });
  await expect(elsewhere).rejects.toMatchObject({ kind: "port" });
  await expect(elsewhere).rejects.toThrow(/cannot be opened \(.*EADDRNOTAVAIL/);
});

test("without a port, the next free one is taken", async () => {
  const [first, second] = [await start(undefined), await start(undefined)];
  expect(first.server.port).toBeGreaterThanOrEqual(4848);
  expect(second.server.port).toBeGreaterThan(first.server.port);
});

test("a stream that broke off resumes where it was, without duplicates", async () => {
  const { server, events } = await start(0);
  const publish = (message: string): void => events.publish({ type: "notice", level: "info", message });
  publish("one");
  const before = readUntil(`${server.url}events`, {}, '"two"');
  setTimeout(() => publish("two"), 50);
  const lastId = /id: (\S+)\n*$/.exec((await before).trimEnd())![1]!;
  publish("three");
  const after = await readUntil(`${server.url}events`, { "last-event-id": lastId }, '"three"');
  expect(after).not.toContain("event: state");
  expect(after.match(/^data: .*$/gm)).toEqual(['data: {"type":"notice","level":"info","message":"three"}']);
});

test("a rebound name in Host is refused on a real socket too", async () => {
  const { server } = await start(0);
  const status = await new Promise((resolve, reject) => {
    const options = {
      port: server.port,
      host: "127.0.0.1",
      path: "/api/state",
      headers: { host: "evil.example" },
    };
    http.get(options, (response) => resolve(response.statusCode)).on("error", reject);
  });
  expect(status).toBe(403);
});

test("closing ends open streams", async () => {
  const { server } = await start(0);
  const response = await fetch(`${server.url}events`);
  const reading = response.text().catch(() => "broken off");
  await server.close();
  expect(await reading).toContain("broken off");
});
