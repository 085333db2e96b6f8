/** The chat's thread with a model of random weights: what it answers is nonsense, how it answers is not. */

import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { saveModel } from "../../src/checkpoint/folder.ts";
import { allParameters } from "../../src/models/architectures.ts";
import { initialise } from "../../src/models/layers.ts";
import type { FoundModel } from "../../src/run/find-model.ts";
import type { ChatEvent, ChatRequest } from "../../src/server/chat.ts";
import { ThreadChat } from "../../src/server/chat-service.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { asParameters } from "../support/parameters.ts";

const root = fs.mkdtempSync(join(os.tmpdir(), "sputnik-chat-"));
const model: FoundModel = { folder: join(root, "model"), run: null, step: null };
let chat: ThreadChat;

function save(folder: string, maxPositions: number): void {
  const tokenizer = new CompactTokenizer();
  const size = {
    layers: 1,
    hiddenSize: 16,
    heads: 2,
    kvHeads: 2,
    headDim: 8,
    intermediateSize: 32,
    maxPositions,
  };
  const config = {
    ...size,
    vocabSize: tokenizer.vocabSize,
    ropeTheta: 10000,
    normEps: 1e-6,
    tieEmbeddings: false,
  };
  saveModel(folder, {
    config,
    tokenizer,
    parameters: asParameters(initialise(allParameters(config), 1)),
  });
}

beforeAll(() => {
  save(model.folder, 4000);
  chat = new ThreadChat({ model });
});
afterAll(() => chat.close());

async function events(request: ChatRequest, signal = new AbortController().signal): Promise<ChatEvent[]> {
  const all: ChatEvent[] = [];
  for await (const event of chat.ask(request, signal)) all.push(event);
  return all;
}

const REQUEST = { problem: "5 7 = 12", temperature: 1, seed: 4 };
const text = (all: ChatEvent[]): string =>
  all.map((event) => (event.type === "token" ? event.text : "")).join("");

test("an answer: prompt, tokens one by one, verdict, done; the seed repeats it", async () => {
  const all = await events(REQUEST);
  expect(all[0]).toEqual({ type: "prompt", text: "5, 7 make 12\n<think>\n" });
  const tokens = all.filter(({ type }) => type === "token");
  expect(all.at(-1)).toMatchObject({ type: "done", tokens: tokens.length });
  expect(all.at(-2)).toMatchObject({ type: "verdict", verdict: { value: 0 } });
  expect(text(await events(REQUEST))).toBe(text(all));
  expect(text(await events({ ...REQUEST, seed: 5 }))).not.toBe(text(all));
});

test("questions at the same time keep apart", async () => {
  const [first, second] = await Promise.all([events(REQUEST), events({ ...REQUEST, problem: "8 9 = 17" })]);
  expect(first[0]).toMatchObject({ text: "5, 7 make 12\n<think>\n" });
  expect(second[0]).toMatchObject({ text: "8, 9 make 17\n<think>\n" });
  expect(text(first)).toBe(text(await events(REQUEST)));
});

test("what cannot be read is explained", async () => {
  const all = await events({ ...REQUEST, problem: "five" });
  expect(all).toHaveLength(1);
  expect(all[0]).toMatchObject({ type: "error", message: expect.stringContaining("82 27 11 = 44") });
});

test("a problem that the model has no room for is refused in words", async () => {
  const small = { folder: join(root, "small"), run: null, step: null };
  save(small.folder, 4);
  const service = new ThreadChat({ model: small });
  try {
    const all: ChatEvent[] = [];
    for await (const event of service.ask(REQUEST, new AbortController().signal)) all.push(event);
    expect(all).toEqual([
      {
        ...{ type: "error", remedy: "Ask a shorter one." },
        message: expect.stringMatching(/^The problem takes \d+ tokens, and the model takes at most 4 with/),
      },
    ]);
  } finally {
    await service.close();
  }
});

test("a run whose checkpoints cannot be listed is told of by a question, and warming up ends nothing", () => {
  const run = join(root, "broken-run");
  fs.mkdirSync(run);
  fs.writeFileSync(join(run, "checkpoints"), "no folder");
  const service = new ThreadChat({ run });
  expect(() => service.warm()).not.toThrow();
  expect(() => service.models()).toThrow(/ENOTDIR/);
});

test("a problem without a solution says so", async () => {
  const verdict = (await events({ ...REQUEST, problem: "2 2 = 99" })).find(({ type }) => type === "verdict");
  expect(verdict).toMatchObject({
    verdict: { reason: expect.stringContaining("no expression of these numbers makes 99") },
  });
});

test("stop ends the sampling, and the next question is answered", async () => {
  const gone = new AbortController();
  let tokens = 0;
  for await (const event of chat.ask({ ...REQUEST, temperature: 2 }, gone.signal)) {
    if (event.type === "token" && ++tokens === 2) gone.abort();
  }
  expect(tokens).toBeLessThan(200);
  expect((await events(REQUEST)).at(-1)).toMatchObject({ type: "done" });
});

describe("a run's models", () => {
  test("appear with its first checkpoint and follow the newest", async () => {
    const run = join(root, "run");
    const both = new ThreadChat({ run });
    const ids = (): string[] => both.models().map(({ id }) => id);
    expect(ids()).not.toContain("run");
    // What is being written is no checkpoint, also where it would be the first.
    fs.mkdirSync(join(run, "checkpoints", ".tmp-step-000010"), { recursive: true });
    expect(ids()).not.toContain("run");
    save(join(run, "checkpoints", "step-000010", "model"), 100);
    fs.mkdirSync(join(run, "checkpoints", ".tmp-step-000020"), { recursive: true });
    expect(both.models().find(({ id }) => id === "run")?.label).toBe("this run, after step 10");
    save(join(run, "checkpoints", "step-000020", "model"), 100);
    expect(both.models().find(({ id }) => id === "run")?.label).toBe("this run, after step 20");
    // Seven digits follow six, though "step-1000000" sorts before "step-999999".
    save(join(run, "checkpoints", "step-999999", "model"), 100);
    save(join(run, "checkpoints", "step-1000000", "model"), 100);
    expect(both.models().find(({ id }) => id === "run")?.label).toBe("this run, after step 1000000");
    const all: ChatEvent[] = [];
    for await (const event of both.ask({ ...REQUEST, model: "run" }, new AbortController().signal))
      all.push(event);
    expect(all.at(-1)?.type).toBe("done");
    await both.close();
  });
});

describe("however many wait", () => {
  /** Opened models keep a folder of their own in the temporary one; what was ever there is seen. */
  async function opened(
    run: (of: ThreadChat) => Promise<unknown>,
  ): Promise<{ opened: number; left: string[] }> {
    const temporary = fs.mkdtempSync(join(root, "tmp-"));
    const seen = new Set<string>();
    const ours = (name: string): boolean => name.startsWith("sputnik-");
    const watcher = fs.watch(temporary, (_, name) => {
      if (name !== null && ours(name)) seen.add(name);
    });
    const before = process.env.TMPDIR;
    process.env.TMPDIR = temporary;
    try {
      const of = new ThreadChat({ model });
      await run(of);
      await of.close();
      await new Promise((resolve) => setTimeout(resolve, 50));
      return { opened: seen.size, left: fs.readdirSync(temporary).filter(ours) };
    } finally {
      watcher.close();
      if (before === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = before;
    }
  }
  const ask = async (of: ThreadChat): Promise<string> => {
    const all: ChatEvent[] = [];
    for await (const event of of.ask(REQUEST, new AbortController().signal)) all.push(event);
    return all.at(-1)?.type ?? "nothing";
  };

  test.each([
    ["a question while the model loads", 1, 1],
    ["five of them, and three loads", 3, 5],
  ])("%s: it is opened once, and nothing stays", async (_, loads, questions) => {
    const ends: string[] = [];
    const result = await opened(async (of) => {
      for (let i = 0; i < loads; i++) of.warm();
      ends.push(...(await Promise.all(Array.from({ length: questions }, () => ask(of)))));
    });
    expect(ends).toEqual(Array(questions).fill("done"));
    expect(result).toEqual({ opened: 1, left: [] });
  });

  test("closed while it loads: nothing stays", async () => {
    const result = await opened(async (of) => of.warm());
    expect(result.left).toEqual([]);
  });
});
