import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Completion } from "../../src/eval/completions.ts";
import { chooseProblems } from "../../src/eval/problems.ts";
import { header, openStore, readStored, verifyStored } from "../../src/eval/stored.ts";
import { taskFrom, taskOptions } from "../../src/tasks/registry.ts";

const folder = fs.mkdtempSync(join(os.tmpdir(), "sputnik-stored-"));
const rows = join(folder, "rows.jsonl");
const row = (i: number) => JSON.stringify({ question: `What is ${i} + ${i}?`, answer: `#### ${2 * i}` });
fs.writeFileSync(rows, [1, 2, 3].map(row).join("\n"));
const task = taskOptions.parse({ kind: "jsonl", file: rows });
const problems = chooseProblems(taskFrom(task), { seed: 1, part: "all" });
const settings = {
  ...{
    model: "m",
    step: 7,
    weights: "w",
    precision: "f32",
    taskName: "jsonl",
    task,
    prompt: "plain",
    seed: 1,
  },
  ...{ part: "all", problems: 3, samples: 2, temperature: 0.6, topP: null, topK: null, maxNewTokens: 9 },
};
const head = header(settings);
const completion = (problem: number, sample: number, text: string): Completion => ({
  ...{
    problem: problems[problem]!.problem.id,
    sample,
    text,
    tokens: 4,
    finish: "stop" as const,
    equations: [],
  },
});

test("what was stored is verified again without model and data set", async () => {
  const file = join(folder, "deep", "a.jsonl");
  const store = openStore(file, head, problems);
  for (const [problem, sample, text] of [
    ...([
      [0, 0, "#### 2"],
      [0, 1, "#### 3"],
      [1, 0, "#### 4"],
      [1, 1, "#### 4.0"],
    ] as const),
    ...([
      [2, 0, "six"],
      [2, 1, "#### 6"],
    ] as const),
  ])
    store.append(completion(problem, sample, text));
  store.close();
  const before = fs.readFileSync(rows, "utf8");
  fs.rmSync(rows);
  const { record, whole } = await verifyStored(readStored(file));
  fs.writeFileSync(rows, before);
  expect(whole).toBe(true);
  expect(record).toMatchObject({ problems: 3, passAt1: (1 / 2 + 1 + 1 / 2) / 3, majAtK: (0.5 + 1 + 1) / 3 });
  expect(record?.counts).toEqual({ right: 4, wrong: 1, unparsed: 1, unscored: 0 });
});

test("an interrupted one counts the problems at the beginning that have all answers, and goes on", async () => {
  const file = join(folder, "b.jsonl");
  const store = openStore(file, head, problems);
  store.append(completion(0, 0, "#### 2"));
  store.append(completion(2, 0, "#### 6"));
  store.append(completion(2, 1, "#### 6"));
  expect((await verifyStored(readStored(file))).record).toBeNull();
  store.append(completion(0, 1, "#### 2"));
  store.close();
  // A kill tore the last line.
  fs.appendFileSync(file, '{"completion":{"problem":"jso');
  const partial = await verifyStored(readStored(file));
  expect(partial).toMatchObject({ whole: false, record: { problems: 1, passAt1: 1 } });
  const again = openStore(file, head, problems);
  expect(again.known.size).toBe(4);
  again.append(completion(1, 0, "#### 4"));
  again.append(completion(1, 1, "#### 4"));
  again.close();
  expect(await verifyStored(readStored(file))).toMatchObject({ whole: true, record: { passAt1: 1 } });
});

test("a link that a person named as the place is meant", () => {
  const [file, link] = [join(folder, "elsewhere.jsonl"), join(folder, "link.jsonl")];
  openStore(file, head, problems).close();
  fs.symlinkSync(file, link);
  const store = openStore(link, head, problems);
  store.append(completion(0, 0, "#### 2"));
  store.close();
  expect(readStored(file).completions.size).toBe(1);
});

test("a torn beginning is begun again", () => {
  const file = join(folder, "c.jsonl");
  fs.writeFileSync(file, JSON.stringify(head).slice(0, 60));
  openStore(file, head, problems).close();
  expect(readStored(file).problems).toHaveLength(3);
  const lines = fs.readFileSync(file, "utf8").split("\n");
  fs.writeFileSync(file, `${lines.slice(0, 2).join("\n")}\n{"pro`);
  openStore(file, head, problems).close();
  expect(readStored(file).problems).toHaveLength(3);
});

test("another evaluation's file, and any other, is refused and stays as it is", () => {
  const file = join(folder, "d.jsonl");
  const store = openStore(file, head, problems);
  store.append(completion(0, 0, "#### 2"));
  store.close();
  expect(() => openStore(file, header({ ...settings, temperature: 1 }), problems)).toThrow(
    "temperature: 0.6 there, 1 here",
  );
  expect(() => openStore(file, head, problems.slice(1))).toThrow("its problems");
  const thesis = join(folder, "thesis.txt");
  fs.writeFileSync(thesis, "It was a dark and stormy night");
  expect(() => openStore(thesis, head, problems)).toThrow("holds no stored completions");
  expect(fs.readFileSync(thesis, "utf8")).toBe("It was a dark and stormy night");
  expect(() => openStore(folder, head, problems)).toThrow("holds no stored completions");
  expect(() => readStored(join(folder, "none"))).toThrow("There is no file");
  // Half a header could be ours, and less of it anybody's.
  const brace = join(folder, "brace.json");
  fs.writeFileSync(brace, "{");
  expect(() => openStore(brace, head, problems)).toThrow("holds no stored completions");
  expect(fs.readFileSync(brace, "utf8")).toBe("{");
  fs.appendFileSync(file, "nonsense\n");
  expect(() => readStored(file)).toThrow(`${file}, line 6: not JSON.`);
});

describe("a stored file that is not as it was written is named by its line", () => {
  const stored = (...lines: unknown[]): string => {
    const file = join(folder, "edited.jsonl");
    fs.writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    return file;
  };
  const first = { problem: problems[0] };

  test.each<[string, unknown]>([
    ["null", null],
    ["a number", 5],
    ["a problem that is none", { problem: null }],
    ["a problem without an id", { problem: { ...problems[0], problem: { prompt: "?" } } }],
    ["a completion without a text", { completion: { ...completion(0, 0, ""), text: null } }],
    ["a completion without its length", { completion: { ...completion(0, 0, ""), tokens: "many" } }],
    ["a completion of no problem", { completion: { ...completion(0, 0, ""), problem: "other" } }],
  ])("%s", (_, line) => {
    expect(() => readStored(stored(head, first, line))).toThrow(
      "line 3: neither a problem nor a completion of one above.",
    );
  });

  test.each<[string, unknown]>([
    ["samples", "many"],
    ["samples", 0],
    ["task", { kind: "chess" }],
    ["temperature", null],
  ])("a header whose %s is %j", (field, value) => {
    const file = stored({ ...head, [field]: value }, first);
    expect(() => readStored(file)).toThrow(
      new RegExp(`line 1: the header's field "${field}[^"]*" is not as an evaluation has it`),
    );
  });

  test("more samples than could be: no room is made for them", async () => {
    const file = stored(
      { ...head, samples: 2 ** 40 },
      { problem: { ...problems[0], copies: 2 ** 12 } },
      { completion: completion(0, 0, "#### 2") },
    );
    expect(await verifyStored(readStored(file))).toEqual({ record: null, whole: false });
  });
});
