/** The file of a task of one's own: it runs in threads, and whatever is wrong with it is said with file and line. */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { judgeAgain } from "../../src/tasks/conversation.ts";
import { closeModules } from "../../src/tasks/module-task.ts";
import { probeTask } from "../../src/tasks/probe.ts";
import type { Problem, StreamKey } from "../../src/tasks/problem.ts";
import { type TaskInput, taskFrom, verifierFrom } from "../../src/tasks/registry.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

const folder = temporaryFolder();
afterEach(closeModules);

let files = 0;
/** The path of a new file with this text. */
function file(text: string, name = `task-${++files}.ts`): string {
  const path = join(folder, name);
  fs.writeFileSync(path, text);
  return path;
}

const open = (text: string, options: Partial<TaskInput & { kind: "module" }> = {}) =>
  taskFrom({ kind: "module", module: file(text), ...options });
const key = (index: number, split: StreamKey["split"] = "train"): StreamKey => ({ seed: 1, split, index });
const right = (answer: unknown): string => `thought</think>\n<answer>${answer}</answer>`;

const SUM = `import { answerIn, defineTask, Random } from "sputnik-r1/tasks";
enum Base { Ten = 10 }
export default defineTask({
  generate(seed, difficulty) {
    const random = new Random(seed);
    const a: number = random.integer(1, Base.Ten ** difficulty);
    return { question: "What is " + a + " + 1?", answer: a + 1 };
  },
  verify: (problem, completion) => answerIn(completion) === String(problem.answer),
  solve: ({ answer }) => String(answer),
  rewards: { short: (_, { tokens, maxNewTokens }) => 1 - tokens / maxNewTokens },
});
`;

describe("a task in a file", () => {
  it("is a task like ours: problems by split, verdicts, a solver and rewards, from a folder without packages", async () => {
    const task = open(SUM, { difficulty: 3 });
    const problem = task.generate(key(4, "test")) as Problem & { answer: number };
    expect(problem).toMatchObject({
      id: expect.stringMatching(/^task-\d+\/1\/test\/4$/),
      prompt: expect.stringMatching(/^What is \d+ \+ 1\?\n<think>\n$/),
    });
    expect(task.generate(key(4, "test"))).toEqual(problem);
    expect(task.content!(problem)).toBe(problem.prompt.split("\n")[0]);
    expect(task.solve!(problem)).toBe(String(problem.answer));
    const completion = { text: "", verdict: task.verify(problem, ""), steps: [], tokens: 1, maxNewTokens: 4 };
    expect(task.rewards!.short!(problem, completion)).toBe(0.75);
    const texts = [right(problem.answer), right(0), "nothing", right(problem.answer)];
    const verdicts = await task.verifyAll!(texts.map((text) => ({ problem, completion: text })));
    expect(verdicts.map(({ value, kind }) => [value, kind])).toEqual([
      [1, "right"],
      [0, "wrong"],
      [0, "unparsed"],
      [1, "right"],
    ]);
    expect(texts.map((text) => task.verify(problem, text))).toEqual(verdicts);
    expect(probeTask(task, [problem], ["short"])).toEqual([]);
  });

  it("is verified again as a stored evaluation asks it, and keeps its threads for equal options until it changes", () => {
    const path = file(SUM);
    const options = { kind: "module", module: path, difficulty: 2 } as const;
    const task = taskFrom(options);
    expect(taskFrom({ ...options })).toBe(task);
    expect(verifierFrom({ ...options, timeLimit: 1 })).not.toBe(task);
    const problem = task.generate(key(0));
    fs.writeFileSync(path, SUM.replace("a + 1 }", "a + 2 }"));
    fs.utimesSync(path, new Date(), new Date(Date.now() + 5000));
    expect(taskFrom(options).generate(key(0))).toMatchObject({
      answer: (problem as Problem & { answer: number }).answer + 1,
    });
  });

  it("gets its options where its default export is a function, and may be JavaScript, a class, or import its neighbours", () => {
    const neighbour = file("export const word = (n: number): string => 'w' + n;", "neighbour.ts");
    expect(fs.existsSync(neighbour)).toBe(true);
    const task = open(
      `import { word } from "./neighbour";
class Words {
  name = "words";
  #count: number;
  constructor(count: number) { this.#count = count; }
  generate(seed: number) { return { question: word(seed % this.#count) }; }
  verify() { return this.#count === 50; }
}
export default async ({ count }: { count: number }) => new Words(count);`,
      { options: { count: 50 } },
    );
    expect(task.name).toBe("words");
    expect(task.generate(key(0)).prompt).toMatch(/^w\d\d?\n/);
    expect(task.verify(task.generate(key(0)), "")).toMatchObject({ value: 1 });
    const script = file(
      'export default { generate: (seed) => ({ prompt: "p" + seed }), verify: () => 0.25 };',
      "plain.mjs",
    );
    expect(taskFrom({ kind: "module", module: script }).verify({ id: "a", prompt: "p" }, "")).toMatchObject({
      value: 0.25,
    });
  });

  it("has a curriculum where it has levels and the recipe a target", () => {
    const levels = SUM.replace("defineTask({", "defineTask({\n  levels: [1, 4],");
    const task = open(levels, { difficulty: { target: 0.4 } });
    expect(task.curriculum).toEqual({ target: 0.4, rate: 0.5, low: 1, high: 4 });
    expect(task.generate({ ...key(0), level: 1 }).prompt).toMatch(/^What is (\d|10) \+ 1/);
    expect(task.generate({ ...key(0), level: 4 }).prompt).toMatch(/^What is \d{3,5} \+ 1/);
    expect(open(SUM).curriculum).toBeUndefined();
    expect(said(() => open(SUM, { difficulty: { target: 0.4 } }))).toBe(
      "FILE: levels are missing, and the recipe's difficulty has a target: write levels: [1, 5]",
    );
  });

  it("what it prints is not a command's result", () => {
    const task = open(`export default {
  generate(seed: number) { console.log("printed"); return { question: String(seed) }; },
  verify: () => true,
};`);
    expect(task.generate(key(0)).prompt).toMatch(/^\d+\n/);
  });
});

/** The message of what is thrown, with the file's path as FILE. */
function said(of: () => unknown, kind = "task"): string {
  try {
    of();
  } catch (error) {
    expect(error).toMatchObject({ kind });
    return (error as Error).message.replaceAll(/\S*task-\d+\.ts/g, "FILE");
  }
  throw new Error("nothing was thrown");
}

describe("a file that cannot be loaded", () => {
  it.each<[string, string, string | RegExp]>([
    [
      "that does not compile",
      "export default {\n  generate(seed number) {},\n};",
      'FILE, line 2: it does not compile: Unexpected token, expected ","',
    ],
    [
      "that throws when it is imported",
      "const data: string[] = [];\n\nthrow new RangeError('only ' + data.length + ' rows');",
      "FILE, line 3: it threw while it was imported: RangeError: only 0 rows",
    ],
    [
      "that imports what is not installed",
      '// Words.\nimport { words } from "no-such-words";\nexport default { generate: words, verify: words };',
      "FILE, line 2: it imports no-such-words, which is not installed. Install it beside the file: npm install no-such-words",
    ],
    [
      "that imports a file that is not there",
      '\n\nimport { words } from "./no-words";\nexport default { generate: words, verify: words };',
      "FILE, line 3: it imports ./no-words, which is not there. Correct the path.",
    ],
    [
      "without a default export",
      "export const task = 1;",
      "FILE: it has no default export. Write: export default defineTask({ generate, verify }).",
    ],
    [
      "whose default export is no task",
      "\nexport default { generate: () => ({}) };",
      "FILE, line 2: its default export is an object, not a task. Write: export default defineTask({ generate, verify }), or defineEnvironment({ start, step }).",
    ],
    [
      "whose default export throws",
      "export default () => {\n  throw new Error('no key');\n};",
      "FILE, line 2: its default export threw: no key",
    ],
    [
      "that ends its thread",
      "process.exit(0);",
      "FILE: it ended its thread while it was loaded. See its top level for a loop or a promise that never ends, and for process.exit.",
    ],
    [
      "that waits for ever",
      "await new Promise(() => {});\nexport default {};",
      "FILE: it ended its thread while it was loaded. See its top level for a loop or a promise that never ends, and for process.exit.",
    ],
  ])("%s", (_, text, message) => {
    expect(said(() => open(text))).toBe(message);
  });

  it("that is not there, or gets options that it does not take", () => {
    expect(said(() => taskFrom({ kind: "module", module: join(folder, "task-0.ts") }))).toBe(
      "FILE: there is no such file. Correct the path.",
    );
    expect(said(() => open(`// A task.\n${SUM}`, { options: { a: 1 } }))).toBe(
      "FILE, line 4: its default export takes no options, and the recipe gives some. Export a function of them, (options) => defineTask({ ... }), or leave them out.",
    );
  });
});

describe("a part that is at fault", () => {
  const FAULTY = (parts: string) => `interface P { question: string; answer?: number }
export default {
  generate: (seed: number): P => ({ question: String(seed) }),
  verify: (): unknown => false,
  ${parts}
};`;
  const at = (task: ReturnType<typeof open>) => () => task.generate(key(0));

  it("generate: a throw, in the file or in one that it imports, has the line, and the seed", () => {
    const throws = open(
      FAULTY("generate(seed: number) {\n    return (undefined as never as string[])[seed].length;\n  },"),
    );
    expect(said(at(throws))).toMatch(
      /^FILE, line 6: generate threw for the seed \d+: TypeError: Cannot read/,
    );
    file("export function draw(): never {\n\n  throw new Error('no words');\n}", "draws.ts");
    const inner = open(`import { draw } from "./draws";\n${FAULTY("generate: () => draw(),")}`);
    expect(said(at(inner))).toMatch(/draws\.ts, line 3: generate threw for the seed \d+: Error: no words$/);
  });

  it("generate: what is no problem has the line where generate begins", () => {
    expect(said(at(open(FAULTY("\n\n  generate: () => ({ answer: 5 }),"))))).toMatch(
      /^FILE, line 3: generate gave a problem without a question, a prompt or messages for the seed \d+$/,
    );
    const shorthand = "const generate = () => null, verify = () => 1;\nexport default { verify, generate, };";
    expect(said(at(open(shorthand)))).toMatch(/^FILE, line 2: generate gave null for the seed \d+$/);
  });

  it("generate: one that hangs ends with its seed, and the thread is begun again", () => {
    const hangs = open(
      FAULTY(
        "generate(seed: number) {\n    if (seed % 7 === 0) for (;;);\n    return { question: String(seed) };\n  },",
      ),
    );
    const began = performance.now();
    let message = "";
    let problems = 0;
    for (let index = 0; message === ""; index++)
      try {
        hangs.generate(key(index));
        problems++;
      } catch (error) {
        message = (error as Error).message;
      }
    const seed = Number(/generate gave nothing in 10 s for the seed (\d+)$/.exec(message)![1]);
    expect([seed % 7, /line 5/.test(message)]).toEqual([0, false]);
    expect(message).toMatch(/task-\d+\.ts, line 3: /);
    expect(performance.now() - began).toBeLessThan(40_000);
    if (problems > 0) expect(hangs.generate(key(0)).prompt).toMatch(/^\d+\n/);
  });

  it("generate: the same question for ever is told, as of our tasks", () => {
    const one = open(FAULTY("generate: () => ({ question: 'Q' }),"));
    const empty = (["train", "validation", "test"] as const).filter((split) => {
      try {
        return one.generate(key(0, split)) === null;
      } catch (error) {
        expect(error).toMatchObject({ kind: "generation" });
        return true;
      }
    });
    expect(empty).toHaveLength(2);
  });

  it("verify: throws, NaN, hangs and deaths are unscored, the others are judged, and the limit is the recipe's", async () => {
    const task = open(
      FAULTY(`async verify(_: P, completion: string) {
    if (completion === "throw") throw new Error("a bug");
    if (completion === "loop") for (;;);
    if (completion === "never") await new Promise(() => {});
    if (completion === "exit") process.exit(1);
    if (completion === "nan") return NaN;
    return completion === "42";
  },`),
      { timeLimit: 0.5 },
    );
    const problem = task.generate(key(0));
    const texts = ["42", "throw", "41", "loop", "42", "never", "42", "exit", "42", "nan", "42", "42"];
    const verdicts = await task.verifyAll!(texts.map((completion) => ({ problem, completion })));
    const told = verdicts.map(({ value, reason }) => [value, reason.replaceAll(/\S*task-\d+\.ts/g, "FILE")]);
    const ones = told.filter((_, i) => texts[i] === "42");
    expect(ones).toEqual(Array(6).fill([1, "right"]));
    const others = Object.fromEntries(texts.map((text, i) => [text, told[i]]));
    expect(others).toMatchObject({
      throw: [null, "verifier fault: FILE, line 6: verify threw: Error: a bug"],
      loop: [null, "timeout"],
      never: [null, "timeout"],
      exit: [null, "verifier fault: the thread ended"],
      nan: [
        null,
        "verifier fault: FILE, line 4: verify gave the number NaN, neither true nor false nor a number from 0 to 1",
      ],
      "41": [0, "no answer block"],
    });
    // One at a time and waited for: the same.
    for (const text of ["loop", "never", "nan", "42"])
      expect(task.verify(problem, text).reason, text).toBe(verdicts[texts.indexOf(text)]!.reason);
  });

  it("verify: what always fails is refused before a run, with the completion", () => {
    const task = open(FAULTY("\nverify() {\n    return this.missing.length;\n  },"));
    expect(said(() => probeTask(task, [task.generate(key(0))]))).toMatch(
      /^FILE, line 7: verify threw: TypeError: .*, on the empty completion of the problem task-\d+\/1\/train\/0\. /,
    );
    const hang = open(FAULTY("verify: () => new Promise(() => {}),"), { timeLimit: 0.2 });
    expect(said(() => probeTask(hang, [hang.generate(key(0))]))).toMatch(
      /verify did not end: timeout, on the empty/,
    );
  });

  it("rewards, solve and content: the same, with their lines", () => {
    const task = open(
      FAULTY(`
  rewards: {
    big: () => 1.5,
    broken: () => {
      throw new Error("no length");
    },
    slow: () => { for (;;); },
  },
  solve: () => { for (;;); },`),
      { timeLimit: 0.3 },
    );
    const problem = task.generate(key(0));
    const completion = { text: "", verdict: task.verify(problem, ""), steps: [], tokens: 1, maxNewTokens: 1 };
    const reward = (name: string) => said(() => task.rewards![name]!(problem, completion));
    expect(reward("big")).toBe(
      "FILE, line 6: rewards gave the number 1.5 for big, neither null nor a number from -1 to 1",
    );
    expect(reward("broken")).toBe("FILE, line 9: rewards threw: Error: no length");
    expect(reward("slow")).toBe("FILE, line 6: rewards gave nothing in 0.3 s");
    expect(said(() => task.solve!(problem))).toBe("FILE, line 13: solve gave nothing in 0.3 s");
  });
});

describe("an environment in a file", () => {
  const COUNT = `import { defineEnvironment } from "sputnik-r1/tasks";
export default defineEnvironment({
  maxTurns: 4,
  start: (seed) => ({ question: "Q" + seed, heard: 0 }),
  step({ heard }, completion) {
    if (completion === "throw") throw new Error("a bug");
    if (completion === "loop") for (;;);
    if (completion === "exit") process.exit(1);
    if (completion === "nan") return { done: NaN };
    if (completion === "end") return { done: heard === 2 };
    return { reply: "heard " + completion, state: { heard: heard + 1 } };
  },
});
`;

  it("speaks through threads, in which a step that hangs leaves its conversation without a score", async () => {
    const task = open(COUNT, { timeLimit: 0.5 });
    expect(task.environment!.maxTurns).toBe(4);
    const problem = task.generate(key(0));
    const script = [
      ["a", "b", "end"],
      ["a", "loop"],
      ["throw"],
      ["end"],
      ["a", "exit"],
      ["nan"],
      ["a", "b", "end"],
    ];
    const talks = script.map((completions) => ({ problem, completions, cut: false }));
    const conversations = await judgeAgain(task.environment!, talks);
    expect(conversations[0]!.replies.flat().map(({ content }) => content)).toEqual(["heard a", "heard b"]);
    const told = conversations.map(({ verdict }) => [
      verdict.value,
      verdict.reason.replaceAll(/\S*task-\d+\.ts/g, "FILE"),
    ]);
    expect(told).toEqual([
      [1, "right"],
      [null, "timeout"],
      [null, "verifier fault: FILE, line 6: step threw: Error: a bug"],
      [0, "no answer block"],
      [null, "verifier fault: the thread ended"],
      [
        null,
        "verifier fault: FILE, line 5: step gave the number NaN, neither true nor false nor a number from 0 to 1, as done",
      ],
      [1, "right"],
    ]);
    expect(task.verify(problem, "a")).toMatchObject({ value: 0, reason: "the conversation goes on" });
    const { pool } = task as typeof task & { pool: { ended: number; faults: number } };
    expect([pool.ended, pool.faults]).toEqual([1, 3]);
  });

  it("is at fault by its own names: start, step and maxTurns", () => {
    expect(said(() => open(COUNT.replace("maxTurns: 4", "maxTurns: 0")))).toBe(
      "FILE, line 3: maxTurns is the number 0, not a whole number from 1 on",
    );
    const broken = open(COUNT.replace('({ question: "Q" + seed, heard: 0 })', "null"));
    expect(said(() => broken.generate(key(0)))).toMatch(/^FILE, line 4: start gave null for the seed \d+$/);
    const hangs = open(
      COUNT.replace("heard: number", "").replace('if (completion === "throw")', "if (true)"),
    );
    expect(said(() => probeTask(hangs, [hangs.generate(key(0))]))).toMatch(
      /line 6: step threw: Error: a bug/,
    );
  });
});

it("its threads are gone when they are closed, and a process ends though they are there", async () => {
  const task = open(SUM) as ReturnType<typeof open> & { pool: { threads: number } };
  await task.verifyAll!([{ problem: task.generate(key(0)), completion: "a" }]);
  expect(task.pool.threads).toBe(1);
  await closeModules();
  expect(task.pool.threads).toBe(0);
  const script = `import { taskFrom } from ${JSON.stringify(new URL("../../dist/library/tasks.js", import.meta.url).href)};
const task = taskFrom({ kind: "module", module: ${JSON.stringify(file(SUM))} });
const problem = task.generate({ seed: 1, split: "train", index: 0 });
console.log((await task.verifyAll([{ problem, completion: "a" }]))[0].kind);`;
  const ended = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
    timeout: 30_000,
  });
  expect([ended.status, ended.stdout, ended.stderr]).toEqual([0, "unparsed\n", ""]);
});
