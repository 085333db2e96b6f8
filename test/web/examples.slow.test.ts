/** U8: the page's examples are what it says they are, for the model that comes with it. */
import { expect, test } from "vitest";
import { encodePrompt } from "../../src/data/prompt.ts";
import { SHIPPED } from "../../src/run/find-model.ts";
import { openForInference } from "../../src/sample/inference.ts";
import { readQuestion } from "../../src/server/question.ts";
import { EXAMPLES, readFields } from "../../src/web/examples.ts";

const TRIES = 16;

test("the shipped model mostly solves those that are offered, and mostly not the one that says so", async () => {
  const model = await openForInference(SHIPPED, { batched: true });
  try {
    const solved: Record<string, number> = {};
    for (const { numbers, target } of EXAMPLES) {
      const { prompt, verify } = readQuestion(`${numbers} = ${target}`, { kind: "countdown" } as never);
      const requests = Array.from({ length: TRIES }, (_, i) => ({
        ...{ prompt: encodePrompt(model, prompt), maxNewTokens: 300, key: [numbers, i] },
      }));
      const { generations } = await model.generate(requests, {
        ...{ sampling: { temperature: 0.6 }, stopIds: new Set(model.tokenizer.stopIds) },
      });
      solved[numbers] = generations.filter(
        ({ ids }) => verify(model.tokenizer.decode(ids)).value === 1,
      ).length;
    }
    for (const { numbers, hard = false } of EXAMPLES)
      expect(hard ? TRIES - solved[numbers] : solved[numbers], numbers).toBeGreaterThanOrEqual(TRIES * 0.75);
    expect(EXAMPLES.filter(({ hard }) => hard)).toHaveLength(1);
  } finally {
    await model.release();
  }
});

test.each([
  ["82, 27, 11", "44", "82, 27, 11", "44"],
  ["3 5 7 = 22", "44", "3 5 7", "22"],
  ["3 5 7 = 22", "", "3 5 7", "22"],
  ["3, 5, 7 make 22", "44", "3, 5, 7", "22"],
  ["3, 5, 7 → 22", "44", "3, 5, 7", "22"],
  // All that the terminal takes.
  ["3 5 7 => 22", "44", "3 5 7", "22"],
  ["3 5 7 -> 22", "44", "3 5 7", "22"],
  ["3 5 7: 22", "44", "3 5 7", "22"],
  ["3 and 5 and 7 to 22", "44", "3 and 5 and 7", "22"],
  ["3 5 7 =", "22", "3 5 7", "22"],
  ["3, 5, 7, ", "22", "3, 5, 7", "22"],
])("D11: %j and %j are read as %j and %j", (numbers, target, some, goal) => {
  expect(readFields(numbers, target)).toEqual({ numbers: some, target: goal });
});
