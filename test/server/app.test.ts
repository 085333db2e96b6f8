import { mkdtempSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { createApp } from "../../src/server/app.ts";
import { RunBus } from "../../src/server/bus.ts";
import type { ChatEvent } from "../../src/server/chat.ts";
import { RIGHT, replay, ScriptedChat } from "./replay.ts";

function setUp(staticDir = "/nowhere") {
  const events = new RunBus();
  const chat = new ScriptedChat();
  return { events, chat, app: createApp({ events, chat, staticDir }) };
}

const post = (body: unknown, headers: Record<string, string> = {}): RequestInit => ({
  method: "POST",
  headers: { "content-type": "application/json", ...headers },
  body: typeof body === "string" ? body : JSON.stringify(body),
});

async function chatEvents(response: Response): Promise<ChatEvent[]> {
  const frames = (await response.text()).split("\n\n").filter(Boolean);
  return frames.map((frame) => JSON.parse(frame.replace(/^data: /, "")));
}

describe("GET /api/state", () => {
  test("is the run and the models", async () => {
    const { app, events } = setUp();
    for (const event of replay(3)) events.publish(event);
    const state = await (await app.request("/api/state")).json();
    expect(state.id).toBe(events.lastId);
    expect(state.curves["r1-zero"].steps).toEqual([1, 2, 3]);
    expect(state.models.map((model: { id: string }) => model.id)).toEqual(["shipped", "run"]);
  });

  test("says so when no run is under way", async () => {
    const state = await (await setUp().app.request("/api/state")).json();
    expect(state).toMatchObject({ run: null, samples: [], bill: null });
  });
});

describe("POST /api/chat", () => {
  test("streams prompt, tokens, verdict and the end", async () => {
    const { app, chat } = setUp();
    const response = await app.request(
      "/api/chat",
      post({ problem: " 82 27 11 = 44 ", model: "run", seed: 3 }),
    );
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const events = await chatEvents(response);
    expect(chat.asked).toEqual([{ problem: "82 27 11 = 44", temperature: 0.6, seed: 3, model: "run" }]);
    expect(events[0]!.type).toBe("prompt");
    const text = events.flatMap((event) => (event.type === "token" ? [event.text] : [])).join("");
    expect(text).toContain("55 - 11 = 44, yes!\n</think>\n<answer>(82 - 27) - 11</answer>");
    expect(events.at(-2)).toEqual({ type: "verdict", verdict: RIGHT });
    expect(events.at(-1)!.type).toBe("done");
  });

  test("tells a failure of the model as an event", async () => {
    const response = await setUp().app.request("/api/chat", post({ problem: "boom" }));
    expect(await chatEvents(response)).toEqual([
      { type: "error", message: "The checkpoint is truncated.", remedy: null },
    ]);
  });

  test("ends the sampling when the person leaves", async () => {
    const { app, chat } = setUp();
    const response = await app.request("/api/chat", post({ problem: "82 27 11 = 44" }));
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
    await expect.poll(() => chat.aborted).toBe(1);
  });

  test.each([
    ["not JSON", "{oops", /not JSON/],
    ["an empty body", "", /not JSON/],
    ["no object", "[1]", /not an object/],
    ["no problem", {}, /numbers and a target/],
    ["a blank problem", { problem: "  " }, /numbers and a target/],
    ["a problem of another type", { problem: 5 }, /numbers and a target/],
    ["a long problem", { problem: "1 ".repeat(150) }, /200 characters/],
    ["a huge body", { problem: "1".repeat(9000) }, /4096 bytes/],
    ["a hot temperature", { problem: "1 = 1", temperature: 3 }, /from 0 to 2/],
    ["a temperature of null", { problem: "1 = 1", temperature: null }, /from 0 to 2/],
    ["a broken seed", { problem: "1 = 1", seed: 1.5 }, /whole number/],
    ["an unknown model", { problem: "1 = 1", model: "gpt" }, /no model "gpt"/],
    ["an unknown field", { problem: "1 = 1", prompt: "x" }, /unknown field prompt/],
  ])("refuses %s with words for people", async (_, body, words) => {
    const { app, chat } = setUp();
    const response = await app.request("/api/chat", post(body));
    expect(response.status).toBe(400);
    expect((await response.json()).message).toMatch(words);
    expect(chat.asked).toEqual([]);
  });
});

describe("POST /api/conversation", () => {
  const messages = [{ role: "user", content: "Hello" }];

  test("streams the turn, thought and answer, and the end", async () => {
    const { app, chat } = setUp();
    const body = { messages, model: "run", seed: 3, topP: 0.9, maxTokens: 50 };
    const events = await chatEvents(await app.request("/api/conversation", post(body)));
    // Without a temperature, so that the model's own counts.
    expect(chat.asked).toEqual([body]);
    expect(events[0]).toEqual({ type: "turn", tokens: 9, dropped: 0 });
    expect(events[1]).toMatchObject({ text: "You said Hello.", thought: true });
    expect(events.at(-1)!.type).toBe("done");
  });

  const long = [{ role: "user", content: "x".repeat(5000) }];
  test("a message may be longer than a problem", async () => {
    expect((await setUp().app.request("/api/conversation", post({ messages: long }))).status).toBe(200);
  });

  test.each([
    ["no messages", {}, /messages: a list/],
    ["none", { messages: [] }, /the last one is the user's/],
    ["an answer last", { messages: [...messages, { role: "assistant", content: "" }] }, /the last one/],
    ["a role of its own", { messages: [{ role: "root", content: "" }] }, /messages: a list/],
    ["a message without text", { messages: [{ role: "user" }] }, /messages: a list/],
    ["a field in a message", { messages: [{ ...messages[0], name: "x" }] }, /messages: a list/],
    ["a broken limit", { messages, maxTokens: 0 }, /maxTokens: a whole number/],
    ["a problem", { messages, problem: "1 = 1" }, /unknown field problem/],
    ["a huge body", { messages: [{ role: "user", content: "x".repeat(1 << 20) }] }, /1048576 bytes/],
  ])("refuses %s with words for people", async (_, body, words) => {
    const { app, chat } = setUp();
    const response = await app.request("/api/conversation", post(body));
    expect(response.status).toBe(400);
    expect((await response.json()).message).toMatch(words);
    expect(chat.asked).toEqual([]);
  });
});

describe("the guard", () => {
  const names = ["evil.example", "localhost.evil.example:4848", "127.0.0.1.evil.example"];
  test.each(names)("refuses a rebound name: %s", async (name) => {
    expect((await setUp().app.request(`http://${name}/api/state`)).status).toBe(403);
  });

  test.each(["http://localhost:1/", "http://127.0.0.1:1/", "http://[::1]:1/", "http://192.168.0.7:1/"])(
    "answers to %s",
    async (url) => {
      expect((await setUp().app.request(new URL("api/state", url).href)).status).toBe(200);
    },
  );

  test.each(["http://evil.example", "http://localhost:9999", "null"])("refuses origin %s", async (origin) => {
    const { app, chat } = setUp();
    const request = post({ problem: "82 27 11 = 44" }, { origin });
    expect((await app.request("http://localhost:4848/api/chat", request)).status).toBe(403);
    expect(chat.asked).toEqual([]);
  });

  test("lets the own page ask, and sends its headers with every answer", async () => {
    const request = post({ problem: "82 27 11 = 44" }, { origin: "http://localhost:4848" });
    const response = await setUp().app.request("http://localhost:4848/api/chat", request);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
  });
});

describe("the page", () => {
  test("is served from the built folder, and nothing outside it is", async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), "sputnik-page-"));
    writeFileSync(path.join(folder, "index.html"), "<title>built</title>");
    const { app } = setUp(folder);
    expect(await (await app.request("/")).text()).toContain("built");
    for (const address of [
      "/assets/../../../etc/passwd",
      "/assets/%2e%2e/index.html",
      "/assets/none.js",
      "/secret",
    ]) {
      expect((await app.request(address)).status).toBe(404);
    }
  });

  test("says what to do when it was not built", async () => {
    const response = await setUp().app.request("/");
    expect(response.status).toBe(503);
    expect(await response.text()).toContain("npm run build");
  });
});
