/** Evaluations of fixed completions, with values worked out by hand. */
import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { evaluate } from "../../src/eval/evaluate.ts";
import { chooseProblems } from "../../src/eval/problems.ts";
import type { InferenceModel } from "../../src/sample/inference.ts";
import type { Generation } from "../../src/sample/requests.ts";
import type { Problem, Task } from "../../src/tasks/problem.ts";
import { taskFrom } from "../../src/tasks/registry.ts";
import { equationSteps } from "../../src/tasks/thought-equations.ts";
import { unscored } from "../../src/tasks/verdict.ts";
import { tokenizerFrom } from "../../src/tokenizer/load.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";

/** Bytes and control tokens: every text is its own completion. */
const tokenizer = tokenizerFrom(trainBpe(["sputnik"], { vocabSize: 272 }));

/** A model that answers a prompt's n-th sample with the n-th text given for it. */
function model(
  answers: (prompt: string, sample: number) => string,
  cut = false,
  heard = false,
): InferenceModel {
  const config = { vocabSize: tokenizer.vocabSize, maxPositions: 512 } as InferenceModel["config"];
  return {
    config,
    tokenizer,
    generate: async (requests, { onToken }) => {
      const generations = requests.map(({ prompt, key }, row): Generation => {
        const ids = tokenizer.encode(
          answers(tokenizer.decode(prompt, { skipSpecials: true }), Number(key.at(-1))),
          {
            specials: true,
          },
        );
        if (!cut) ids.push([...tokenizer.stopIds][0]!);
        if (heard) for (const id of ids) onToken?.(row, id, 0);
        return { ids, logProbs: ids.map(() => 0), finish: cut ? "length" : "stop" };
      });
      const tokens = generations.reduce((sum, { ids }) => sum + ids.length, 0);
      return { generations, flops: 7, tokens, steps: 1, drafted: 0, accepted: 0 };
    },
  };
}

const settings = {
  ...{
    label: "x",
    seed: 1,
    split: "test" as const,
    samples: 1,
    sampling: { temperature: 0.6 },
    maxNewTokens: 64,
  },
};

interface Numbered extends Problem {
  n: number;
}

/** Problem n of `sizes` different ones; "3!" is the answer 3 given to a verifier that fails. */
function numbered(size = Number.POSITIVE_INFINITY): Task<Numbered> {
  return {
    name: "numbered",
    generate: ({ seed, split, index }) => {
      const n = index % size;
      return { id: `numbered/${seed}/${split}/${index}`, prompt: `${n} make 1\n<think>\n`, n };
    },
    ...equationSteps,
    verify: (_, completion) => {
      const said = completion.replace(/^[\s\S]*<\/think>/, "").trim();
      // Whatever a faulty verifier claims to have read does not vote.
      if (said === "77") return { ...unscored("verifier fault: 77"), canonical: "77" };
      const [canonical, right] = [/^\d+$/.test(said) ? String(Number(said)) : null, said === "1"];
      const kind = canonical === null ? "unparsed" : right ? "right" : "wrong";
      return { value: right ? 1 : 0, kind, extracted: said, canonical, format: true, reason: kind };
    },
  };
}

/** By problem: what it answers, sample by sample. */
const script = (texts: Record<number, string[]>) => (prompt: string, sample: number) =>
  texts[Number(/^(\d+)/.exec(prompt)![1])]![sample]!;

test("pass@1, maj@k, pass@k, counts and tallies, by hand", async () => {
  const { record, flops } = await evaluate(
    model(
      script({
        // 2 of 4, and right and 2 tie: half a point for the vote.
        0: ["1", "2", "1", "2"],
        // Unscored samples leave: 1 of 2, and the vote is 1 of 1 answers that could be read.
        1: ["77", "1", "make", "77"],
        // All unscored: the problem leaves every mean.
        2: ["77", "77", "77", "77"],
        // Never right; nothing could be read.
        3: ["make", "make", "make", "make"],
      }),
    ),
    numbered(),
    { ...settings, problems: 4, samples: 4 },
  );
  expect(flops).toBe(7);
  // (1/2 + 1/2 + 0) / 3, over the problems that have a score.
  expect(record.passAt1).toBeCloseTo(1 / 3, 12);
  expect(record.majAtK).toBeCloseTo((0.5 + 1 + 0) / 3, 12);
  expect(record).toMatchObject({ problems: 4, samplesPerProblem: 4, task: "numbered", label: "x" });
  expect(record.counts).toEqual({ right: 3, wrong: 2, unparsed: 5, unscored: 6 });
  expect(record.tallies).toMatchObject([
    { right: 2, wrong: 2, unparsed: 0, unscored: 0, answer: "1" },
    { right: 1, wrong: 0, unparsed: 1, unscored: 2, answer: "1" },
    { right: 0, wrong: 0, unparsed: 0, unscored: 4, answer: null },
    { right: 0, wrong: 0, unparsed: 4, unscored: 0, answer: null },
  ]);
  // Two scored samples at least: pass@2 is 1 - C(2,2)/C(4,2) = 5/6, 1 and 0.
  expect(record.passAtK?.map(({ k }) => k)).toEqual([1, 2]);
  expect(record.passAtK?.[1]?.value).toBeCloseTo((5 / 6 + 1 + 0) / 3, 12);
  const [low, high] = record.interval;
  expect(low).toBeGreaterThan(0);
  expect(high).toBeLessThan(1);
  expect(record.examples).toHaveLength(4);
  expect(record.examples?.[0]?.samples.map(({ verdict }) => verdict.kind)).toEqual([
    ...["right", "wrong", "right", "wrong"],
  ]);
});

test("one sample: no vote; the interval is Clopper and Pearson's over problems", async () => {
  const { record } = await evaluate(
    model((prompt) => (/^[0-2] /.test(prompt) ? "1" : "2")),
    numbered(),
    {
      ...settings,
      problems: 10,
    },
  );
  expect([record.passAt1, record.majAtK, record.majInterval]).toEqual([0.3, null, null]);
  expect(record.interval[0]).toBeCloseTo(0.06673951, 6);
  expect(record.interval[1]).toBeCloseTo(0.6524529, 6);
});

test("mean length, cut completions and the truth of the thoughts", async () => {
  // In tokens: thought 9 and 3; equations true, false, true.
  const texts = script({ 0: ["1 + 1 = 2\n2 + 2 = 5\n</think>\n1"], 1: ["3 - 1 = 2"] });
  const { record } = await evaluate(model(texts, true), numbered(), { ...settings, problems: 2 });
  expect(record.truncated).toBe(1);
  expect(record.thoughtValidity).toBeCloseTo(2 / 3, 12);
  const lengths = [texts("0 ", 0), texts("1 ", 0)].map(
    (text) => tokenizer.encode(text, { specials: true }).length,
  );
  expect(record.meanTokens).toBe((lengths[0]! + lengths[1]!) / 2);
  expect((await evaluate(model(texts), numbered(), { ...settings, problems: 2 })).record.truncated).toBe(0);
});

test("completions that are heard token by token are those that come at the end, cut ones too", async () => {
  const texts = script({ 0: ["1 + 1 = 2\n</think>\n1"], 1: ["1"] });
  const ask = (cut: boolean, heard: boolean, maxNewTokens: number) =>
    evaluate(model(texts, cut, heard), numbered(), { ...settings, problems: 2, maxNewTokens });
  const ended = await ask(false, true, 64);
  expect(ended.record).toEqual((await ask(false, false, 64)).record);
  expect([ended.record.truncated, ended.record.passAt1]).toEqual([0, 1]);
  // "1" alone is one token: the limit of one cuts it.
  const one = { ...settings, problems: 1, maxNewTokens: 1 };
  const { record } = await evaluate(
    model(() => "1", true, true),
    numbered(),
    one,
  );
  expect([record.truncated, record.meanTokens, record.passAt1]).toEqual([1, 1, 1]);
});

test("nothing that can be scored is no score of 0", async () => {
  const asked = evaluate(
    model(() => "77"),
    numbered(),
    { ...settings, problems: 3 },
  );
  await expect(asked).rejects.toThrow("No completion has a score: verifier fault: 77.");
});

describe("votes go to values", () => {
  const vote = async (answers: string[]) => {
    const task = taskFrom({ kind: "countdown", numbers: [3] });
    const one: Task = {
      ...task,
      generate: (key) => ({ ...task.generate(key), numbers: [82, 27, 11], target: 44 }) as Problem,
    };
    const { record } = await evaluate(
      model((_, sample) => `</think>\n<answer>${answers[sample]}</answer>`),
      one,
      { ...settings, problems: 1, samples: answers.length },
    );
    return { maj: record.majAtK, answer: record.tallies?.[0]?.answer };
  };
  test("three spellings of a right answer beat two equal wrong ones (E3)", async () => {
    expect(await vote(["82-27-11", "(82-27)-11", "82 - 27 - 11", "82+27-11", "82+27-11"])).toEqual({
      ...{ maj: 1, answer: "44" },
    });
  });
  test("the target from other numbers is another answer", async () => {
    expect((await vote(["44", "44", "82-27-11"])).maj).toBe(0);
  });
});

describe("which problems", () => {
  const folder = fs.mkdtempSync(join(os.tmpdir(), "sputnik-evaluate-"));
  const file = join(folder, "rows.jsonl");
  const row = (i: number) => JSON.stringify({ question: `What is ${i} + ${i}?`, answer: `#### ${2 * i}` });
  fs.writeFileSync(file, Array.from({ length: 40 }, (_, i) => row(i)).join("\n"));
  const task = taskFrom({ kind: "jsonl", file });
  const questions = (part: "all" | "test", problems?: number, from = task, seed = 1) =>
    chooseProblems(from, { seed, part, problems }).map(
      ({ problem }) => (problem as unknown as { question: string }).question,
    );

  test("a file is examined whole, each row once, in its order, whatever the seed (E1)", () => {
    const all = Array.from({ length: 40 }, (_, i) => `What is ${i} + ${i}?`);
    expect(questions("all")).toEqual(all);
    expect(questions("all", undefined, task, 2)).toEqual(all);
    expect(questions("all", 3)).toEqual(all.slice(0, 3));
    const test = questions("test");
    expect(new Set(test).size).toBe(test.length);
    expect(test.length).toBeLessThan(40);
  });

  test("more problems than there are, are refused in words", () => {
    expect(() => questions("all", 200)).toThrow("200 problems were asked for, and the file has 40.");
    expect(() => questions("test", 200)).toThrow(
      /200 problems were asked for, and the test split of its file has \d+\./,
    );
    const repeated = join(folder, "repeated.jsonl");
    fs.writeFileSync(repeated, [row(1), row(2), row(1), row(1)].join("\n"));
    const twice = taskFrom({ kind: "jsonl", file: repeated });
    expect(() => questions("all", 3, twice)).toThrow("has 2 different ones in 4 rows");
  });

  test("a repeated row is further samples of one problem", async () => {
    const repeated = join(folder, "avg.jsonl");
    fs.writeFileSync(repeated, [row(1), row(2), row(1).replace("What", "  what"), row(1)].join("\n"));
    const chosen = chooseProblems(taskFrom({ kind: "jsonl", file: repeated }), { seed: 1, part: "all" });
    expect(chosen.map(({ copies, index }) => [index, copies])).toEqual([
      [0, 3],
      [1, 1],
    ]);
    const list = [0, 1, 0, 0].map(
      (n, i): Numbered => ({ id: `row ${i}`, prompt: `${n} make 1\n<think>\n`, n }),
    );
    const { record } = await evaluate(
      model(script({ 0: ["1", "1", "2"], 1: ["2"] })),
      { ...numbered(), list: () => list },
      { ...settings, split: "all" },
    );
    expect(record).toMatchObject({ problems: 2, majAtK: 0.5 });
    expect(record.passAt1).toBeCloseTo((2 / 3 + 0) / 2, 12);
    expect(record.tallies).toMatchObject([
      { right: 2, wrong: 1 },
      { right: 0, wrong: 1 },
    ]);
  });

  test("a generator's repeats count once, and a small space is said to be one", () => {
    // 5 different problems, drawn again and again.
    const five = chooseProblems(numbered(5), { seed: 1, part: "test", problems: 5 });
    expect(five.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
    expect(() => chooseProblems(numbered(5), { seed: 1, part: "test", problems: 6 })).toThrow(
      "6 problems were asked for, and the test split of the task numbered has about 5 different ones",
    );
    const tiny = taskFrom({ kind: "countdown", numbers: [2], numberRange: [1, 9] });
    expect(() => chooseProblems(tiny, { seed: 1, part: "test", problems: 1000 })).toThrow(
      /about \d+ different ones/,
    );
    // 24, 42 -> 66 and 42, 24 -> 66 are one problem.
    const keys = chooseProblems(taskFrom({ kind: "countdown", numbers: [2] }), {
      ...{ seed: 1, part: "test", problems: 100 },
    }).map(({ key }) => key);
    expect(new Set(keys).size).toBe(100);
  });

  test("a problem's key knows neither seed nor template", () => {
    const keys = (template: "plain" | "chat") =>
      chooseProblems(taskFrom({ kind: "jsonl", file, template }), { seed: 1, part: "all" }).map(
        ({ key }) => key,
      );
    expect(keys("plain")).toEqual(keys("chat"));
    expect(() => chooseProblems(numbered(), { seed: 1, part: "all", problems: 1 })).toThrow("no list");
    expect(() => chooseProblems(numbered(), { seed: 1, part: "test" })).toThrow("without end");
  });
});

test("readable completions, and the share of the thoughts' words in the question's language", async () => {
  const task = taskFrom({ kind: "countdown", languages: ["en", "bg"] });
  const problems = 40;
  /** A thought of two attempts whose words are in these languages, and an expression that need not be right. */
  const thoughts = (first: boolean, second: boolean, equation = "2 + 2 = 4") =>
    `1 + 1 = 2, ${first ? "no" : "не"}.\n${equation}, ${second ? "yes" : "да"}!\n</think>\n<answer>1</answer>`;
  const evaluated = async (say: (english: boolean, index: number) => string) => {
    let index = 0;
    const answers = (prompt: string) => say(prompt.includes(" make "), index++);
    return (await evaluate(model(answers), task, { ...settings, problems, maxNewTokens: 200 })).record;
  };
  const own = await evaluated((english) => thoughts(english, english));
  expect(own).toMatchObject({ readable: 1, language: 1 });
  expect(await evaluated((english) => thoughts(english, !english))).toMatchObject({
    readable: 0,
    language: 0.5,
  });
  expect(await evaluated((english) => thoughts(!english, !english))).toMatchObject({
    readable: 0,
    language: 0,
  });
  const half = await evaluated((english, i) =>
    thoughts(english, english, i % 2 === 0 ? "2 + 2 = 4" : "2 + 2 = 5"),
  );
  expect(half).toMatchObject({ readable: 0.5, language: 1, thoughtValidity: 0.75 });
  // The answer has no part in it.
  const spoken = await evaluated((english) =>
    thoughts(english, english).replace("1</answer>", "да no</answer>"),
  );
  expect(spoken.language).toBe(1);
  const silent = await evaluated(() => "2 + 2 = 4\n</think>\n<answer>1</answer>");
  expect(silent).toMatchObject({ readable: 1, language: null });
});
