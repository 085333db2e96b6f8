/** Holes filled by what stands behind them, by a model that is trained here in seconds. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { complete } from "../../src/sample/complete.ts";
import type { InferenceModel } from "../../src/sample/inference.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { PAIRS, start, tail, trainFiller } from "./filler.ts";

let model: InferenceModel;
let release: () => Promise<void>;
const greedy = { sampling: { temperature: 0 }, maxNewTokens: 20 };
const fill = async (by: InferenceModel, prefix: string, suffix?: string): Promise<string> =>
  (await complete(by, { ...greedy, prefix, suffix })).text;

beforeAll(async () => {
  const began = performance.now();
  const trained = await trainFiller(async (by) => {
    for (const [word, what] of PAIRS) {
      const hole = await fill(by, `${start}${word[0]}`, tail(what));
      const rest = await fill(by, `${start}${word}`);
      if (word[0] + hole !== word || rest !== tail(what)) return false;
    }
    return true;
  });
  ({ model, release } = trained);
  console.log(`fills holes after ${trained.steps} steps, ${Math.round(performance.now() - began) / 1000} s`);
}, 400_000);
afterAll(() => release());

describe("complete", () => {
  it("fills a hole with what the suffix alone tells", async () => {
    for (const [word, what] of PAIRS) expect(await fill(model, start, tail(what))).toBe(word);
  });

  it("ends a hole that begins and ends within words", async () => {
    expect(await fill(model, "a=9", ";//sun\n")).toBe("3");
    expect(await fill(model, "a=4", "ky\n")).toBe("2;//s");
  });

  it("goes on with a text without a suffix, to its end", async () => {
    const said: string[] = [];
    const { text, finish, tokens, dropped } = await complete(model, {
      ...{ ...greedy, prefix: `${start}42`, maxNewTokens: 60 },
      onText: (piece) => said.push(piece),
    });
    expect(text).toBe(tail("sky"));
    // A byte a token, and EOS.
    expect([finish, tokens]).toEqual(["stop", text.length + 1]);
    expect(said).toEqual([...text]);
    expect(dropped).toEqual({ prefix: 0, suffix: 0 });
  });

  it("is cut off by the limit", async () => {
    const cut = await complete(model, {
      ...greedy,
      prefix: `${start}42`,
      maxNewTokens: 3,
    });
    expect(cut).toMatchObject({ text: ";//", finish: "length", tokens: 3 });
  });

  it("reads what is near the hole of a text that is too long", async () => {
    const prefix = `${"// filler\n".repeat(30)}${start}`;
    const suffix = `${tail("fox")}${"// more\n".repeat(30)}`;
    const { dropped } = await complete(model, { ...greedy, prefix, suffix });
    // 128 positions less 20 new ones, BOS and three tokens: 104, of which the suffix gets a quarter.
    expect(dropped).toEqual({ prefix: prefix.length - 78, suffix: suffix.length - 26 });
  });

  it("says that a vocabulary has no tokens for holes", async () => {
    const compact = { ...model, tokenizer: new CompactTokenizer() };
    await expect(complete(compact, { ...greedy, prefix: "1", suffix: "2" })).rejects.toThrow(
      expect.objectContaining({ kind: "tokenizer" }),
    );
  });
});
