/** U12: no silence while a model is loaded. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { whileLoading } from "../../src/cli/waiting.ts";

async function* after(ms: number): AsyncGenerator<string, void> {
  await sleep(ms);
  yield "first";
  await sleep(60);
  yield "second";
}

/** What the terminal is told, with the events between. */
async function shown(ms: number, isTTY: boolean): Promise<string[]> {
  const written: string[] = [];
  const out = { isTTY, write: (text: string) => written.push(text) };
  for await (const event of whileLoading(after(ms), out, 30)) written.push(event);
  return written;
}

test("a line while the first event takes long, taken away before it, and none later", async () => {
  expect(await shown(90, true)).toEqual([
    expect.stringContaining("loading the model"),
    "\r\u001b[K",
    "first",
    "second",
  ]);
});

test("none where it comes soon, and none in a file or a pipe", async () => {
  expect(await shown(0, true)).toEqual(["first", "second"]);
  expect(await shown(90, false)).toEqual(["first", "second"]);
});

test("taken away where nothing comes", async () => {
  const written: string[] = [];
  const stop = new AbortController();
  // biome-ignore lint/correctness/useYield: it fails before its first event
  const failing = (async function* (): AsyncGenerator<string, void> {
    await sleep(60);
    stop.abort();
    throw new Error("no model");
  })();
  const run = async (): Promise<void> => {
    const out = { isTTY: true, write: (text: string) => written.push(text) };
    for await (const event of whileLoading(failing, out, 20)) written.push(event);
  };
  await expect(run()).rejects.toThrow("no model");
  expect(written.at(-1)).toBe("\r\u001b[K");
});
