/** A task of one's own from its file to a result, as a person runs it. */
import fs from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import type { EvaluationRecord } from "../../src/events.ts";
import { sputnik, TINY, temporaryFolder, writeRecipe } from "./command.ts";

vi.setConfig({ testTimeout: 240_000 });

const SUMS = `import { answerIn, defineTask, Random } from "sputnik-r1/tasks";

export default defineTask({
  generate(seed, difficulty) {
    const random = new Random(seed);
    const [a, b] = [random.integer(1, 9 * difficulty), random.integer(1, 9 * difficulty)];
    return { question: a + " + " + b, answer: a + b };
  },
  verify(problem, completion) {
    if (completion.length % 7 === 5) throw new Error("length " + completion.length);
    return answerIn(completion) === String(problem.answer);
  },
  rewards: {
    short: (_, { tokens, maxNewTokens }) => 1 - tokens / maxNewTokens,
  },
});
`;
/** A run in the folder tasks/, whose recipe and task are there. */
const RECIPE = TINY.replace(
  "task: { kind: countdown, numbers: [2] }",
  "task: { module: ./sums.ts, difficulty: 3 }",
)
  .replace("steps: 120", "steps: 40")
  .replace("steps: 14", "steps: 3")
  .replace("validity: 0.3", "short: 0.5");

let cwd: string;
beforeAll(async () => {
  cwd = temporaryFolder();
  fs.mkdirSync(join(cwd, "tasks"));
  fs.writeFileSync(join(cwd, "tasks/sums.ts"), SUMS);
  writeRecipe(cwd, RECIPE, "tasks/tiny.yaml");
});
const lines = (name: string) =>
  fs
    .readFileSync(join(cwd, "runs/tiny", name), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("a run of it", () => {
  test("trains and evaluates on its problems with its rewards, tells of its faults, and ends", async () => {
    const { code, stderr } = await sputnik(["train", "tasks/tiny.yaml", "--quiet"], { cwd });
    expect(code, stderr).toBe(0);
    const steps = lines("metrics.jsonl").filter(({ stage }) => stage === "r1-zero");
    expect(steps).toHaveLength(3);
    for (const { metrics } of steps) {
      expect(metrics["reward/short"]).toBeTypeOf("number");
      expect(metrics["verifier/ended"]).toBe(0);
    }
    expect(lines("samples.jsonl")[0].groups[0].prompt).toMatch(/^\d+ \+ \d+\n<think>\n$/);
    const evaluations = lines("evaluations.jsonl") as EvaluationRecord[];
    expect(evaluations.map(({ task }) => task)).toEqual(["sums", "sums"]);
    expect(stderr).toMatch(
      /The verifier failed on \d+ of \d+ completions, which have no score: tasks\/sums\.ts, line 10: verify threw: Error: length \d+\./,
    );
  });

  test("is evaluated by those who name the file, which is code, and verified again by the same", async () => {
    const refused = await sputnik(["eval", "tiny"], { cwd });
    expect([refused.code, refused.stdout]).toEqual([1, ""]);
    expect(refused.stderr).toMatch(
      /The task of the run's recipe is the file \S*tasks\/sums\.ts, and a file is code\..*add --task \S*tasks\/sums\.ts/s,
    );
    const named = await sputnik(["eval", "tiny", "--task", "tasks/sums.ts", "--out", "e.jsonl", "--json"], {
      cwd,
    });
    expect(named.code, named.stderr).toBe(0);
    const record = JSON.parse(named.stdout) as EvaluationRecord & { taskOptions: object };
    expect(record.taskOptions).toMatchObject({ kind: "module", difficulty: 3 });
    const own = lines("evaluations.jsonl").at(-1) as EvaluationRecord;
    expect(record.tallies).toEqual(own.tallies);
    const stored = await sputnik(["eval", "--from", "e.jsonl"], { cwd });
    expect([stored.code, stored.stdout]).toEqual([1, ""]);
    expect(stored.stderr).toContain("is code");
    const again = await sputnik(["eval", "--from", "e.jsonl", "--task", "tasks/sums.ts", "--json"], { cwd });
    expect(again.code, again.stderr).toBe(0);
    expect((JSON.parse(again.stdout) as EvaluationRecord).tallies).toEqual(own.tallies);
  });

  test("evaluates any model", async () => {
    const args = ["--task", "tasks/sums.ts", "--problems", "5", "--samples", "1", "--max-tokens", "8"];
    const { code, stdout, stderr } = await sputnik(["eval", ...args], { cwd });
    expect(code, stderr).toBe(0);
    expect(stderr).toContain("tasks/sums.ts: 5 problems x 1 completions");
    expect(stdout).toMatch(/^sums +5 x 1 at temperature/);
  });
});

describe("a file that is at fault is refused before the first step, with its line", () => {
  const run = async (text: string, args: string[] = [], recipe = RECIPE) => {
    fs.writeFileSync(join(cwd, "tasks/sums.ts"), text);
    const file = writeRecipe(cwd, recipe.replace("name: tiny", "name: faulty"), "tasks/faulty.yaml");
    const ended = await sputnik(["train", file, "--quiet", ...args], { cwd });
    expect(fs.existsSync(join(cwd, "runs/faulty"))).toBe(false);
    return ended;
  };

  test.each<[string, string, RegExp]>([
    [
      "does not compile",
      SUMS.replace("generate(seed", "generate(seed seed"),
      /tasks\/sums\.ts, line 4: it does not compile/,
    ],
    [
      "verify always throws",
      SUMS.replace("% 7 === 5", ">= 0"),
      /tasks\/sums\.ts, line 10: verify threw: Error: length 0, on the empty completion of the problem sums\//,
    ],
    [
      "generate hangs",
      SUMS.replace("const random =", "while (seed > 0);\n    const random ="),
      /tasks\/sums\.ts, line 4: generate gave nothing in 10 s for the seed \d+/,
    ],
    [
      "a reward is out of range",
      SUMS.replace("1 - tokens", "5 - tokens"),
      /tasks\/sums\.ts, line 13: rewards gave the number 4\.5 for short/,
    ],
  ])("%s", async (_, text, message) => {
    const { code, stderr } = await run(text);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });

  test("a reward that the file does not have is the recipe's mistake, and a leak a warning", async () => {
    const { code, stderr } = await run(SUMS, [], RECIPE.replace("short: 0.5", "shrt: 0.5"));
    expect(code).toBe(1);
    expect(stderr).toMatch(/faulty\.yaml:23:\d+: .*rewards\.shrt.*a reward that the task sums has: .*short/s);
    const leak = await run(SUMS.replace('a + " + " + b', 'a + " + " + b + " = " + (a + b)'), ["--dry-run"]);
    expect(leak.code, leak.stderr).toBe(0);
    expect(leak.stdout).toMatch(/sums: the prompt says the right answer after " = ", in each of 12 problems/);
  });
});
