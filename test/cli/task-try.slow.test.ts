/** `sputnik new task` and `sputnik task try` as a person runs them. */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { sputnik, temporaryFolder } from "./command.ts";

vi.setConfig({ testTimeout: 120_000 });

let cwd: string;
beforeAll(() => {
  cwd = temporaryFolder();
});
const run = (...args: string[]) => sputnik(args, { cwd });

describe("new task", () => {
  test("writes a task that works, with its test, and says what to do with it", async () => {
    const made = await run("new", "task", "sums");
    expect(made.code, made.stderr).toBe(0);
    expect(made.stdout).toContain("task try sums.ts");
    const tried = await run("task", "try", "sums.ts", "--difficulty", "3", "--json");
    expect(tried.code, tried.stderr).toBe(0);
    expect(JSON.parse(tried.stdout)).toMatchObject({
      ...{ name: "sums", problems: 200, answers: "solver", right: 1, warnings: [] },
      problemsPerSecond: expect.any(Number),
    });
    // The package as a person has it, and Node with types, as tsx gives it on Node 20.
    fs.mkdirSync(join(cwd, "node_modules"));
    fs.symlinkSync(resolve("."), join(cwd, "node_modules/sputnik-r1"));
    const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
    const own = () =>
      spawnSync(process.execPath, ["--import", tsx, "--test", "sums.test.ts"], { cwd, encoding: "utf8" });
    const passed = own();
    expect(passed.status, passed.stdout).toBe(0);
    expect(passed.stdout).toMatch(/# pass 3|pass 3/);
    const text = fs.readFileSync(join(cwd, "sums.ts"), "utf8");
    fs.writeFileSync(
      join(cwd, "sums.ts"),
      text.replace("answerIn(completion) ===", "completion.includes(String(a)) ||"),
    );
    expect(own().status).toBe(1);
  });

  test("overwrites nothing, and takes names that are names", async () => {
    fs.writeFileSync(join(cwd, "mine.test.ts"), "mine");
    const there = await run("new", "task", "mine");
    expect([there.code, there.stdout]).toEqual([1, ""]);
    expect(there.stderr).toContain("mine.test.ts exist already");
    expect(fs.existsSync(join(cwd, "mine.ts"))).toBe(false);
    expect(fs.readFileSync(join(cwd, "mine.test.ts"), "utf8")).toBe("mine");
    for (const name of ["../up", "Big", "", "a b"]) {
      const refused = await run("new", "task", name);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain("Use lowercase letters");
    }
    expect((await run("new", "model", "x")).stderr).toContain('nothing called "model"');
  });
});

describe("task try", () => {
  const write = (text: string) => fs.writeFileSync(join(cwd, "try.ts"), text);
  const NAIVE = `export default {
  generate: (seed: number) => ({ question: "Double " + (seed % 1000), answer: 2 * (seed % 1000) }),
  verify: ({ answer }: { answer: number }, completion: string) => completion.includes(String(answer)),
};`;

  test("shows an attack that passes, and says so by its exit code", async () => {
    write(NAIVE);
    const { code, stdout } = await run("task", "try", "try.ts");
    expect(code).toBe(1);
    expect(stdout).toContain("try/1/train/0\nDouble ");
    expect(stdout).toMatch(/attacks +1\d of 26 refused/);
    expect(stdout).toMatch(
      /the answer in the thought alone: accepted on 20 of 20 problems, such as try\/1\/train\/0\n {2}"It is \d+\. <answer>\d+<\/answer>\\n<\/think>\\n"\n {2}right\n/,
    );
    const { attacks } = JSON.parse((await run("task", "try", "try.ts", "--json")).stdout);
    expect(attacks.find(({ attack }: { attack: string }) => attack === "not the answer")).toMatchObject({
      ...{ tried: 20, passed: 20, failed: 0 },
    });
  });

  test("judges completions from the line and from files, in any template, without a right answer too", async () => {
    write(`export default ({ word }: { word: string }) => ({
  generate: (seed: number, difficulty: number) => ({ question: word.repeat(difficulty) + seed }),
  verify: (_: object, completion: string) => completion === "yes\\n",
});`);
    fs.writeFileSync(join(cwd, "yes.txt"), "yes\n");
    const args = ["--options", '{"word":"ab"}', "--difficulty", "2", "--template", "chat", "--seed", "4"];
    const { code, stdout, stderr } = await run(
      "task",
      "try",
      "try.ts",
      ...args,
      "--completion",
      "no",
      "--completion-file",
      "yes.txt",
    );
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/system: .*\nuser: abab\d+\n/);
    expect(stdout).toMatch(/"no"\n {2}unparsed 0: no answer block\n\n"yes\\n"\n {2}right 1: right\n/);
    expect(stdout).toContain("14 of 14 refused");
    expect(stderr).toContain("no right answer is known");
    const bad = await run("task", "try", "try.ts", "--options", "[1]");
    expect([bad.code, bad.stdout]).toEqual([1, ""]);
    expect(bad.stderr).toContain("--options [1] is no JSON object");
  });

  test("a file at fault, no file, and another kind of file are told", async () => {
    write(NAIVE.replace("completion.includes", "completion.answer.includes"));
    const fault = await run("task", "try", "try.ts");
    expect([fault.code, fault.stdout]).toEqual([1, ""]);
    expect(fault.stderr).toMatch(/error try\.ts, line 3: verify threw: TypeError: /);
    expect((await run("task", "try", "none.ts")).stderr).toContain("none.ts: there is no such file");
    expect((await run("task", "try", "notes.txt")).stderr).toContain("notes.txt is no file of a task");
  });

  test("an attack on which verify fails or hangs counts as one that passes", async () => {
    write(`${NAIVE.replace("completion.includes(String(answer))", "judge(answer, completion)")}
function judge(answer: number, completion: string): boolean {
  const given = /<answer>(.*)<\\/answer>/.exec(completion)?.[1];
  if (given === "__proto__") for (;;);
  if (given === "NaN") throw new Error("no number");
  return given === String(answer) && !completion.includes("thought");
}`);
    const { code, stdout } = await run("task", "try", "try.ts", "--time-limit", "0.2", "--json");
    expect(code).toBe(1);
    const named = Object.fromEntries(
      JSON.parse(stdout).attacks.map((one: { attack: string }) => [one.attack, one]),
    );
    expect(named["the word NaN"]).toMatchObject({ passed: 0, failed: 20 });
    expect(named["the prototype of all objects"]).toMatchObject({
      ...{ passed: 0, failed: 20 },
      example: { verdict: { reason: "timeout" } },
    });
  });
});

test("an environment: the completions are the turns of one conversation", async () => {
  const file = resolve("examples/tool-task.ts");
  const json = async (...completions: string[]) =>
    JSON.parse(
      (await run("task", "try", file, "--json", "--problems", "20", "--completion", ...completions)).stdout,
    );
  const [problem] = (await json("=")).shown as [{ answer: string }];
  expect(await json("=", problem.answer)).toMatchObject({
    ...{ name: "calculator", maxTurns: 3, right: 1, verdicts: [], warnings: [] },
    conversation: {
      completions: ["=", problem.answer],
      replies: [[{ role: "user", content: problem.answer }]],
      verdict: { value: 1, kind: "right" },
    },
  });
  const call = (expression: string) =>
    `<tool_call>{"name": "calculator", "arguments": {"expression": "${expression}"}}</tool_call>`;
  const shown = await run("task", "try", file, "--completion", call("12 * 12"), call("12 / 5"));
  expect(shown.stdout).toMatch(/tool 144\n/);
  expect(shown.stdout).toMatch(/tool error: write two numbers with \+, - or \* between them\n/);
  expect(shown.stdout).toContain("it goes on: give a further completion");
  expect(shown.stdout).toMatch(/turns +3 at most/);
  expect([shown.code, shown.stdout.match(/attacks .*/)?.[0]]).toEqual([
    0,
    expect.stringMatching(/(\d+) of \1 refused/),
  ]);
});
