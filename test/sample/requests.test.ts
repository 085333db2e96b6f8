/** What is no token id, no count or no option of sampling is refused by name, with its place. */
import { describe, expect, it } from "vitest";
import type { ModelConfig } from "../../src/models/architectures.ts";
import { commonPrefix } from "../../src/sample/prompts.ts";
import { checkRequests } from "../../src/sample/requests.ts";
import type { Sampling } from "../../src/sample/sampling.ts";

const config = { vocabSize: 29, maxPositions: 10 } as ModelConfig;
const check =
  (prompt: unknown, maxNewTokens: unknown = 2, sampling: object = { temperature: 1 }, maxBatch?: number) =>
  () =>
    checkRequests(
      config,
      [
        { prompt: [4], maxNewTokens: 1, key: [1] },
        { prompt: prompt as number[], maxNewTokens: maxNewTokens as number, key: [1] },
      ],
      { sampling: sampling as Sampling, maxBatch },
    );

describe("ids", () => {
  // biome-ignore lint/suspicious/noSparseArray: a hole is what is tried.
  const hole = [4, , 5];
  it.each<[string, unknown, string, number]>([
    ["undefined", [4, 5, undefined], "undefined", 2],
    ["a hole", hole, "undefined", 1],
    ["null", [null], "null", 0],
    ["a fraction", [4, 1.5], "1.5", 1],
    ["negative", [-1, 4], "-1", 0],
    ["beyond the vocabulary", [4, 29], "29", 1],
    ["far beyond it", [4, 2 ** 40], "1099511627776", 1],
    ["NaN", [Number.NaN], "NaN", 0],
    ["infinite", [Number.POSITIVE_INFINITY], "Infinity", 0],
    ["text", [4, "5"], '"5"', 1],
    ["a bigint", [4, 5n], "5n", 1],
    ["a truth value", [true], "true", 0],
    ["negative, in a typed array", Int32Array.of(4, -7), "-7", 1],
  ])("%s: position, value and vocabulary are named", (_name, prompt, value, position) => {
    expect(check(prompt)).toThrow(expect.objectContaining({ kind: "generation" }));
    expect(check(prompt)).toThrow(
      `request 1: id ${value} at position ${position} of the prompt is not one of the model's 29 tokens, 0 to 28; is this its tokenizer?`,
    );
  });

  it.each<[string, unknown]>([
    ["BigInt64Array", BigInt64Array.of(4n, 5n)],
    ["Float32Array", Float32Array.of(4, 5)],
    ["text", "45"],
    ["undefined", undefined],
    ["null", null],
    ["an object", { length: 2, 0: 4, 1: 5 }],
  ])("%s is no list of ids", (_name, prompt) => {
    expect(check(prompt)).toThrow(expect.objectContaining({ kind: "generation" }));
    expect(check(prompt)).toThrow("request 1: its prompt is not a list of token ids");
  });

  it("the first and the last of the vocabulary are ids, in an Int32Array too", () => {
    expect(check([0, 28])).not.toThrow();
    expect(check(Int32Array.of(0, 28))).not.toThrow();
  });

  it("an empty prompt is named", () => {
    expect(check([])).toThrow("request 1 has an empty prompt; begin it with the BOS token");
  });
});

describe("new tokens", () => {
  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, null, "3", undefined, 3n])("%s", (count) => {
    // `check` has a default.
    const asked = count === undefined ? check([4], {}) : check([4], count);
    expect(asked).toThrow(/^request 1 asks for .* new tokens; it needs a whole number, at least 1$/);
  });

  it("fit the positions to the last one", () => {
    expect(check([4, 5, 6], 7)).not.toThrow();
    expect(check([4, 5, 6], 8)).toThrow(
      "request 1: 3 prompt tokens and 8 new ones exceed the model's 10 positions",
    );
  });
});

describe("options", () => {
  it.each<[message: string, sampling: object, maxBatch?: number]>([
    ["temperature is -0.5; it needs a number, at least 0", { temperature: -0.5 }],
    ["temperature is NaN", { temperature: Number.NaN }],
    ["temperature is Infinity", { temperature: Number.POSITIVE_INFINITY }],
    ["temperature is undefined", {}],
    ['temperature is "1"', { temperature: "1" }],
    ["topP is 1.01; it needs a number from 0 to 1", { temperature: 1, topP: 1.01 }],
    ["topP is -0.1", { temperature: 1, topP: -0.1 }],
    ["topP is NaN", { temperature: 1, topP: Number.NaN }],
    ["topK is 0; it needs a whole number, at least 1", { temperature: 1, topK: 0 }],
    ["topK is 2.5", { temperature: 1, topK: 2.5 }],
    ["topK is -1", { temperature: 1, topK: -1 }],
    // A scheduler without rows would never be done.
    ["maxBatch is 0; it needs a whole number, at least 1", { temperature: 1 }, 0],
    ["maxBatch is NaN", { temperature: 1 }, Number.NaN],
    ["maxBatch is 1.5", { temperature: 1 }, 1.5],
  ])("%s", (message, sampling, maxBatch) => {
    expect(check([4], 1, sampling, maxBatch)).toThrow(message);
  });

  it("takes the ends of each range", () => {
    for (const [sampling, maxBatch] of [
      [{ temperature: 0, topP: 0, topK: 1 }, 1],
      [{ temperature: 5, topP: 1, topK: 1e9 }, 1000],
    ] as const)
      expect(check([4], 1, sampling, maxBatch)).not.toThrow();
  });
});

it("commonPrefix counts equal ids from the beginning alone", () => {
  expect(commonPrefix([1, 2, 3, 4], [1, 2, 9, 4])).toBe(2);
  expect(commonPrefix([1, 2], [1, 2, 3])).toBe(2);
  expect(commonPrefix([1, 2, 3], [1, 2])).toBe(2);
  expect(commonPrefix([1, 2], [1, 2])).toBe(2);
  expect(commonPrefix([5], [6])).toBe(0);
  expect(commonPrefix([], [6])).toBe(0);
});
