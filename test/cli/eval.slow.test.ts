/** `sputnik eval` as a person runs it, on a model that was trained in seconds. */

import fs from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { saveModel } from "../../src/checkpoint/folder.ts";
import { evaluate as command, type EvalOptions } from "../../src/cli/eval.ts";
import { readStored } from "../../src/eval/stored.ts";
import type { EvaluationRecord } from "../../src/events.ts";
import { allParameters, checkConfig } from "../../src/models/architectures.ts";
import { initialise } from "../../src/models/layers.ts";
import { tokenizerFrom } from "../../src/tokenizer/load.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";
import { asParameters } from "../support/parameters.ts";
import { launch, sputnik, TINY, temporaryFolder, until, writeRecipe } from "./command.ts";

vi.setConfig({ testTimeout: 240_000 });

let cwd: string;
let records: EvaluationRecord[];
beforeAll(async () => {
  cwd = temporaryFolder();
  writeRecipe(cwd, TINY.replace("steps: 14", "steps: 3"));
  const ended = await sputnik(["train", "tiny.yaml", "--quiet"], { cwd });
  expect(ended.code, ended.stderr).toBe(0);
  records = fs
    .readFileSync(join(cwd, "runs", "tiny", "evaluations.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as EvaluationRecord);
}, 240_000);

type Result = EvaluationRecord & {
  partial: boolean;
  precision: string;
  prompt: string;
  maxNewTokens: number;
};

const evaluate = async (...args: string[]): Promise<Result> => {
  const { code, stdout, stderr } = await sputnik(["eval", ...args, "--json"], { cwd });
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as Result;
};

const keys = ({ tallies = [] }: EvaluationRecord): string[] => tallies.map(({ key }) => key);

test("a run's own exam again: its task, numbers, problems, limit and seed (U1)", async () => {
  const { code, stdout, stderr } = await sputnik(["eval", "tiny"], { cwd });
  expect(code, stderr).toBe(0);
  expect(stderr).toContain('settings of the recipe "tiny"\n');
  expect(stderr).toContain("prompt: the plain form (as the recipe has it)");
  expect(stderr).toContain("countdown: 12 problems x 2 completions of at most 60 tokens, temperature 0.6");
  expect(stdout).toMatch(/pass@1 +\d.*95 % interval/);
  expect(stdout).toMatch(/pass@2 +\d/);
  expect(stdout).toMatch(/maj@2 +\d/);
  expect(stdout).toMatch(/completions +\d+ right, \d+ wrong, \d+ that could not be read, 0 without a score/);
  const again = await evaluate("tiny");
  expect(again).toMatchObject({ problems: 12, samplesPerProblem: 2, temperature: 0.6, maxNewTokens: 60 });
  expect(keys(again)).toEqual(keys(records[1] as EvaluationRecord));
  // Nothing is left beside the run.
  expect(fs.readdirSync(join(cwd, "runs"))).toEqual(["tiny"]);
});

test("the vote is the one of the answers shown", async () => {
  const result = await evaluate("tiny", "--problems", "6", "--samples", "3");
  expect(result.examples).toHaveLength(6);
  const votes = (result.examples ?? []).map(({ samples }) => {
    const given = samples.flatMap(({ verdict }) => verdict.canonical ?? []);
    const count = (answer: string): number => given.filter((other) => other === answer).length;
    const winners = [...new Set(given)].filter((answer) => count(answer) === Math.max(...given.map(count)));
    const right = winners.filter((answer) =>
      samples.some(({ verdict }) => verdict.canonical === answer && verdict.kind === "right"),
    );
    return winners.length === 0 ? 0 : right.length / winners.length;
  });
  expect(result.majAtK).toBeCloseTo(votes.reduce((sum, vote) => sum + vote, 0) / 6, 12);
  expect((await evaluate("tiny", "--problems", "6", "--samples", "3")).examples).toEqual(result.examples);
  const coarse = await evaluate("tiny", "--problems", "6", "--samples", "3", "--precision", "int4");
  expect([result.precision, coarse.precision]).toEqual(["f32", "int4"]);
  expect(coarse.examples).not.toEqual(result.examples);
});

test("stored completions are verified again without the model, and compared problem by problem", async () => {
  const first = await evaluate("tiny", "--out", "a.jsonl");
  const judged = await evaluate("--from", "a.jsonl");
  expect(judged.tallies).toEqual(first.tallies);
  expect([judged.passAt1, judged.interval, judged.majAtK]).toEqual([
    first.passAt1,
    first.interval,
    first.majAtK,
  ]);
  const { code, stdout, stderr } = await sputnik(["eval", "--compare", "tiny:base", "a.jsonl", "--json"], {
    cwd,
  });
  expect(code, stderr).toBe(0);
  const { difference, problems } = JSON.parse(stdout) as { difference: { mean: number }; problems: number };
  expect(problems).toBe(12);
  expect(difference.mean).toBeCloseTo(first.passAt1 - (records[0] as EvaluationRecord).passAt1, 12);
  const told = await sputnik(["eval", "--compare", "a.jsonl", "a.jsonl"], { cwd });
  expect(told.stdout).toContain("Paired over 12 problems: inside the noise.");
  await evaluate("tiny", "--problems", "5", "--out", "b.jsonl");
  const refused = await sputnik(["eval", "--compare", "a.jsonl", "b.jsonl"], { cwd });
  expect([refused.code, refused.stdout]).toEqual([1, ""]);
  expect(refused.stderr).toContain(
    "their problems differ: 5 are in both, of 12 in the first and 5 in the second",
  );
  const other = await sputnik(["eval", "tiny", "--temperature", "1", "--out", "a.jsonl"], { cwd });
  expect(other.code).toBe(1);
  expect(other.stderr).toContain("temperature: 0.6 there, 1 here");
});

test("a file is examined whole, once; more than it has is refused (E1)", async () => {
  const row = (i: number) =>
    JSON.stringify({ question: `${i}, ${i} make ${2 * i}`, answer: `#### ${2 * i}` });
  fs.writeFileSync(join(cwd, "thirty.jsonl"), Array.from({ length: 30 }, (_, i) => row(i + 10)).join("\n"));
  const args = ["tiny", "--task", "jsonl:thirty.jsonl", "--samples", "1", "--temperature", "0"];
  const whole = await evaluate(...args);
  expect(whole.problems).toBe(30);
  expect(new Set(keys(whole)).size).toBe(30);
  expect(keys(await evaluate(...args, "--seed", "9"))).toEqual(keys(whole));
  const { code, stderr } = await sputnik(["eval", ...args, "--problems", "200"], { cwd });
  expect(code).toBe(1);
  expect(stderr).toContain("200 problems were asked for, and the file has 30.");
});

test("a chat model is asked in its own template, unless told otherwise, and the answer says which (E2)", async () => {
  const tokenizer = tokenizerFrom(trainBpe(["x"], { vocabSize: 272 }));
  const config = checkConfig({
    ...{
      layers: 1,
      hiddenSize: 16,
      heads: 2,
      kvHeads: 2,
      headDim: 8,
      intermediateSize: 16,
      maxPositions: 1024,
    },
    ...{ ropeTheta: 10_000, normEps: 1e-6, tieEmbeddings: false },
    vocabSize: tokenizer.vocabSize,
  });
  const tokenizerConfig = {
    chat_template: "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}",
  };
  const parameters = asParameters(initialise(allParameters(config), 1));
  saveModel(join(cwd, "talker"), { config, tokenizer, parameters, tokenizerConfig });
  const args = [
    "eval",
    "talker",
    "--task",
    "arithmetic",
    "--problems",
    "3",
    "--samples",
    "1",
    "--max-tokens",
    "5",
  ];
  const asked = await sputnik([...args, "--out", "chat.jsonl"], { cwd });
  expect(asked.code, asked.stderr).toBe(0);
  expect(asked.stderr).toContain("prompt: the model's chat template");
  expect(asked.stdout).toMatch(/prompt +the model's chat template/);
  const plain = await sputnik([...args, "--template", "none", "--out", "plain.jsonl"], { cwd });
  expect(plain.stderr).toContain("prompt: the plain form (as asked for)");
  const problems = (file: string) => readStored(join(cwd, file)).problems;
  expect(problems("chat.jsonl")[0]?.problem.messages?.at(-1)?.content).toMatch(/^What is \d+ [+-] \d+\?$/);
  expect(problems("plain.jsonl")[0]?.problem.messages).toBeUndefined();
  expect(problems("plain.jsonl").map(({ key }) => key)).toEqual(problems("chat.jsonl").map(({ key }) => key));
});

test("Ctrl-C: what is finished is printed as partial and kept, and the same command goes on to the same end", async () => {
  const args = ["eval", "tiny", "--problems", "100", "--samples", "12", "--json"];
  const folder = join(cwd, "runs", "evaluations");
  const stored = (): number =>
    fs.existsSync(folder)
      ? fs
          .readdirSync(folder)
          .map((file) => fs.readFileSync(join(folder, file), "utf8").split("\n").length)
          .reduce((a, b) => a + b, 0)
      : 0;
  const running = launch(args, { cwd });
  // A header, 100 problems, and some hundred completions.
  await until(() => stored() > 400);
  running.child.kill("SIGINT");
  const stopped = await running.ended;
  expect(stopped.code, stopped.stderr).toBe(130);
  expect(stopped.stderr).toContain("interrupted: the same command continues");
  const partial = JSON.parse(stopped.stdout) as Result;
  expect(partial.partial).toBe(true);
  expect(partial.problems).toBeLessThan(100);
  const again = await sputnik(args, { cwd });
  expect(again.stderr).toMatch(/\d{3,} completions are in runs.*already/);
  const resumed = JSON.parse(again.stdout) as Result;
  const fresh = JSON.parse((await sputnik([...args, "--out", "fresh.jsonl"], { cwd })).stdout) as Result;
  expect([resumed.partial, resumed.problems]).toEqual([false, 100]);
  expect(resumed.tallies).toEqual(fresh.tallies);
  expect((resumed.tallies ?? []).slice(0, partial.problems)).toEqual(partial.tallies);
  expect(fs.existsSync(folder)).toBe(false);
});

describe("what is compared", () => {
  const shown = async (...compare: string[]): Promise<string> => {
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    try {
      await command(undefined, { compare });
      return log.mock.calls.flat().join("\n");
    } finally {
      log.mockRestore();
    }
  };
  const copy = (): string => {
    const run = join(temporaryFolder(), "run");
    fs.cpSync(join(cwd, "runs", "tiny"), run, { recursive: true });
    return run;
  };

  test("a run's evaluations, its checkpoints gone and a colon in a label", async () => {
    const run = copy();
    fs.rmSync(join(run, "checkpoints"), { recursive: true });
    const file = join(run, "evaluations.jsonl");
    fs.writeFileSync(
      file,
      fs.readFileSync(file, "utf8").replaceAll('"label":"final"', '"label":"then: final"'),
    );
    expect(await shown(`${run}:base`, `${run}:then: final`)).toMatch(/Paired over 12 problems/);
  });

  test("a document in the encoding of a Windows shell", async () => {
    const [first] = records;
    const [plain, wide] = ["plain.json", "wide.json"].map((name) => join(cwd, name)) as [string, string];
    fs.writeFileSync(plain, JSON.stringify(first));
    fs.writeFileSync(wide, Buffer.from(`\uFEFF${JSON.stringify(first)}\r\n`, "utf16le"));
    expect(await shown(plain, wide)).toMatch(/Paired over 12 problems: inside the noise/);
    fs.writeFileSync(plain, JSON.stringify({ ...first, tallies: [null] }));
    await expect(shown(plain, wide)).rejects.toThrow("plain.json holds no evaluation");
  });

  test("a stranger's file steers no terminal", async () => {
    await evaluate("tiny", "--problems", "2", "--samples", "1", "--out", "mine.jsonl");
    const mine = fs.readFileSync(join(cwd, "mine.jsonl"), "utf8");
    const theirs = join(cwd, "theirs.jsonl");
    fs.writeFileSync(
      theirs,
      mine
        .replace('"precision":"f32"', '"precision":"\\u001b]0;pwned\\u0007"')
        .replace('"prompt":"plain"', '"prompt":"\\u001b[2J"'),
    );
    const { code, stdout, stderr } = await sputnik(["eval", "--from", theirs], { cwd });
    expect([code, stderr]).toEqual([0, expect.stringContaining("verified again")]);
    expect(stdout).toContain("]0;pwned");
    for (const control of ["\u001b", "\u0007"]) expect(stdout + stderr).not.toContain(control);
  });
});

describe("what cannot be", () => {
  const tiny = () => join(cwd, "runs", "tiny");
  test.each<[EvalOptions, RegExp]>([
    [{ maxTokens: 200 }, /Completions of 200 tokens and the longest prompt of \d+ .* exceed the model's 96/],
    [{ problems: 100_000 }, /100000 problems were asked for, and the test split .* about \d+ different/],
    [{ template: "chat" }, /no chat template/],
    [{ from: "a.jsonl" }, /--from and a model cannot go together/],
  ])("%j", async (options, message) => {
    await expect(command(tiny(), options)).rejects.toThrow(message);
  });

  test.each<[EvalOptions, RegExp]>([
    [{ from: "a.jsonl", task: "countdown" }, /--task changes nothing where stored evaluations are read/],
    [{ from: "a.jsonl", maxTokens: 9 }, /--max-tokens changes nothing/],
    [{ from: "a.jsonl", out: "b.jsonl" }, /--out changes nothing/],
    [{ compare: ["a.jsonl", "b.jsonl"], temperature: 0 }, /--temperature changes nothing/],
  ])("what would change nothing: %j", async (options, message) => {
    await expect(command(undefined, options)).rejects.toThrow(message);
  });

  test("comparing one thing, or what is not there", async () => {
    const compare = (...names: string[]) => command(undefined, { compare: names });
    await expect(compare(tiny())).rejects.toThrow("--compare takes two evaluations, not 1");
    await expect(compare(tiny(), `${tiny()}:none`)).rejects.toThrow('has no evaluation "none"');
    await expect(compare(tiny(), join(cwd, "tiny.yaml"))).rejects.toThrow("tiny.yaml holds no evaluation");
    await expect(command(undefined, { from: join(cwd, "tiny.yaml") })).rejects.toThrow(
      "holds no stored completions",
    );
  });

  test("is said before the weights are read", async () => {
    const model = join(temporaryFolder(), "model");
    const run = tiny();
    const newest = fs.readdirSync(join(run, "checkpoints")).toSorted().at(-1) as string;
    fs.cpSync(join(run, "checkpoints", newest, "model"), model, { recursive: true });
    const weights = join(model, "model.safetensors");
    // A whole file, without one of the tensors that the model needs.
    const bytes = fs.readFileSync(weights, "latin1");
    fs.writeFileSync(weights, bytes.replace('"model.norm.weight"', '"model.mist.weight"'), "latin1");
    await expect(command(model, { task: "chess" })).rejects.toThrow('There is no task "chess"');
    await expect(command(model, { task: "jsonl:none.jsonl" })).rejects.toThrow(
      /none\.jsonl: there is no such file/,
    );
    await expect(command(model, { task: "countdown", maxTokens: 9000 })).rejects.toThrow(
      /exceed the model's 96/,
    );
    await expect(command(model, { task: "countdown" })).rejects.toThrow(/model\.norm\.weight/);
  });

  test("on one screen, with what to do", async () => {
    const { code, stdout, stderr } = await sputnik(["eval", "tiny", "--task", "chess"], { cwd });
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /Choose countdown, arithmetic, equations, word-problems, .*jsonl:FILE, or the file of a task module/s,
    );
  });
});
