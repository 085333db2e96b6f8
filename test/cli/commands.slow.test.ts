/** Every command once, on a model that was trained in seconds; what `--json` prints is one document. */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { launch, sputnik, TINY, temporaryFolder, until, writeRecipe } from "./command.ts";

// A busy machine may take long; what must be fast is measured and printed.
vi.setConfig({ testTimeout: 240_000 });

let cwd: string;
beforeAll(async () => {
  cwd = temporaryFolder();
  writeRecipe(cwd);
  const ended = await sputnik(["train", "tiny.yaml", "--quiet"], { cwd });
  expect(ended.code, ended.stderr).toBe(0);
}, 240_000);

const json = async (args: string[]): Promise<Record<string, unknown>> => {
  const { code, stdout, stderr } = await sputnik([...args, "--json"], { cwd });
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
};

test("help names every command, and a wrong one gets help", async () => {
  const { stdout } = await sputnik(["--help"], { cwd });
  for (const name of ["train", "chat", "eval", "plan", "graph", "report", "export", "doctor", "start"])
    expect(stdout).toContain(`  ${name}`);
  expect((await sputnik(["trian"], { cwd })).stderr).toContain("Did you mean train?");
});

describe("train", () => {
  test("a finished run is not trained again, and says how it could be", async () => {
    const { code, stdout } = await sputnik(["train", "tiny.yaml"], { cwd });
    expect(code).toBe(0);
    expect(stdout).toContain("finished before");
    expect(stdout).toContain("--fresh");
  });

  test("a report that a kill kept from being written is made by the same command", async () => {
    const report = join(cwd, "runs/tiny/report.md");
    const before = fs.readFileSync(report, "utf8");
    fs.rmSync(report);
    const { code, stdout, stderr } = await sputnik(["train", "tiny.yaml"], { cwd });
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("finished before");
    expect(fs.readFileSync(report, "utf8")).toBe(before);
  });

  test("--json tells how it ended", async () => {
    const summary = await json(["train", "tiny.yaml"]);
    expect(summary).toMatchObject({
      name: "tiny",
      outcome: "finished",
      report: "runs/tiny/report.md",
      last: { stage: "r1-zero", step: 14 },
    });
    expect(summary.evaluations).toHaveLength(2);
  });

  test("--dry-run counts what the run then took, and writes nothing", async () => {
    const elsewhere = temporaryFolder();
    writeRecipe(elsewhere);
    const { code, stdout, stderr } = await sputnik(["train", "tiny.yaml", "--dry-run", "--json"], {
      cwd: elsewhere,
    });
    expect(code, stderr).toBe(0);
    expect(fs.readdirSync(elsewhere)).toEqual(["tiny.yaml"]);
    const plan = JSON.parse(stdout) as {
      parameters: number;
      seconds: number;
      stages: { name: string; flops: number; seconds: number }[];
    };
    expect(plan.stages.every(({ seconds }) => seconds > 0 && seconds < 60)).toBe(true);
    expect(plan.seconds).toBeCloseTo(
      plan.stages.reduce((sum, { seconds }) => sum + seconds, 0),
      6,
    );
    // 2 x 29 x 32 for embedding and head, 4 x 32 x 32 + 3 x 32 x 64 for the block, 3 norms of 32.
    expect(plan.parameters).toBe(2 * 29 * 32 + 4 * 32 * 32 + 3 * 32 * 64 + 3 * 32);
    const bill = JSON.parse(fs.readFileSync(join(cwd, "runs", "tiny", "bill.json"), "utf8")) as {
      lines: { stage: string; flops: number }[];
    };
    const flops = (lines: { flops: number }[]): number => (lines[0] as { flops: number }).flops;
    expect(flops(plan.stages)).toBe(flops(bill.lines));
  });

  test("--dry-run for people fits its columns", async () => {
    const { stdout } = await sputnik(["train", "tiny.yaml", "--dry-run"], { cwd });
    expect(stdout).toContain("model.layers.*.self_attn.q_proj.weight");
    expect(stdout).toMatch(
      /Time: an operator .*FLOP\/s and its memory traffic at .*B\/s.*that this machine has now/,
    );
    expect(stdout).toContain("hardware.watts");
  });

  test("--dry-run of a model of DeepSeek LLM's size takes seconds and no such memory", async () => {
    const model = "{ layers: 30, hiddenSize: 4096, heads: 32, intermediateSize: 11008, maxPositions: 4096 }";
    writeRecipe(cwd, TINY.replace(/^model: .*$/m, `model: ${model}`), "seven-billion.yaml");
    const plan = await json(["train", "seven-billion.yaml", "--dry-run"]);
    expect(plan.parameters).toBe(30 * (4 * 4096 ** 2 + 3 * 4096 * 11008 + 2 * 4096) + 4096 + 2 * 29 * 4096);
  });

  test("graph shows a stage's programs, and why an op is fused or not", async () => {
    const { stage, programs } = (await json(["graph", "tiny.yaml"])) as {
      stage: string;
      programs: { name: string; graph: string; forms: Record<string, { fused: number; composed: object }> }[];
    };
    expect(stage).toBe("base");
    expect(programs.map(({ name }) => name)).toEqual(["training step"]);
    expect(programs[0].graph).toMatch(/^%\d+ f32\[.*\] = matmul\(.*\) \{transB\} @ layers\.0\.attn\.q$/m);
    expect(programs[0].forms.rmsNorm).toEqual({ fused: 3, composed: {} });
    const { stdout } = await sputnik(["graph", "tiny.yaml"], { cwd });
    expect(stdout).toMatch(/silu +1 +composed +its intermediate results are used/);
    const { code, stderr } = await sputnik(["graph", "tiny.yaml", "--stage", "none"], { cwd });
    expect(code).not.toBe(0);
    expect(stderr).toContain("Choose one of base");
  });

  test("--profile reads like the model", async () => {
    const { results } = (await json(["train", "tiny.yaml", "--profile"])) as {
      results: { program: string; profile: { byPath: { path: string; share: number }[] } }[];
    };
    const step = results.find(({ program }) => program === "training step");
    const paths = step?.profile.byPath.map(({ path }) => path) ?? [];
    expect(paths).toContain("layers.0.attn.q");
    expect(paths).toContain("layers.0.mlp.up.grad");
    const shares = step?.profile.byPath.reduce((sum, { share }) => sum + share, 0);
    expect(shares).toBeCloseTo(1, 6);
  });
});

describe("chat without a terminal", () => {
  test("answers a problem a line, and repeats itself for a seed", async () => {
    const ask = () =>
      sputnik(["chat", "tiny", "--seed", "3"], { cwd, input: "26 31 = 57\n\n5 and 7 make 12\n" });
    const first = await ask();
    expect(first.code, first.stderr).toBe(0);
    expect(first.stdout).toMatch(/^26, 31 make 57\n<think>\n/);
    expect(first.stdout).toContain("5, 7 make 12\n<think>\n");
    expect(first.stdout.match(/right|wrong: /g)).toHaveLength(2);
    const untimed = (text: string): string => text.replace(/[\d.]+ s$/gm, "");
    expect(untimed((await ask()).stdout)).toBe(untimed(first.stdout));
  });

  test("says what a line lacks, goes on, and exits with 1", async () => {
    const { code, stdout, stderr } = await sputnik(["chat", "tiny"], { cwd, input: "hello\n5 7 = 12\n" });
    expect(stderr).toContain('such as "82 27 11 = 44"');
    expect(stdout).toContain("5, 7 make 12");
    expect(code).toBe(1);
  });
});

test("report makes the same report again", async () => {
  const file = join(cwd, "runs", "tiny", "report.md");
  const before = fs.readFileSync(file, "utf8");
  fs.rmSync(file);
  const { code, stdout } = await sputnik(["report", "tiny"], { cwd });
  expect(code).toBe(0);
  expect(stdout).toContain("Evaluations");
  expect(fs.readFileSync(file, "utf8")).toBe(before);
});

test("export: a Hugging Face folder with its bill, that chat opens", async () => {
  const { code, stderr } = await sputnik(["export", "tiny", "models/tiny"], { cwd });
  expect(code, stderr).toBe(0);
  const files = fs.readdirSync(join(cwd, "models", "tiny"));
  expect(files).toEqual(
    expect.arrayContaining([
      "README.md",
      "bill.json",
      "config.json",
      "model.safetensors",
      "report.md",
      "tokenizer.json",
    ]),
  );
  const answer = await sputnik(["chat", "models/tiny"], { cwd, input: "5 7 = 12\n" });
  expect(answer.stdout).toContain("5, 7 make 12");
  // Named by an absolute path, the card still says nothing of this machine.
  const away = join(cwd, "away");
  expect((await sputnik(["export", "tiny", away, "--dtype", "BF16"], { cwd })).code).toBe(0);
  expect(fs.readFileSync(join(away, "README.md"), "utf8")).not.toContain(cwd);
  expect(fs.readFileSync(join(away, "README.md"), "utf8")).toContain("npx sputnik chat away\n");
  const half = (folder: string) => fs.statSync(join(cwd, folder, "model.safetensors")).size;
  expect(half("away")).toBeLessThan(0.6 * half("models/tiny"));
  fs.mkdirSync(join(cwd, "other"));
  fs.writeFileSync(join(cwd, "other", "thesis.tex"), "");
  expect((await sputnik(["export", "tiny", "other"], { cwd })).stderr).toContain("holds other files");
});

test("export: a GGUF file gives the folder's answers", async () => {
  const ask = async (model: string) =>
    (await sputnik(["chat", model, "--temperature", "0"], { cwd, input: "5 7 = 12\n" })).stdout;
  const { code, stderr } = await sputnik(["export", "tiny", "tiny.gguf", "--dtype", "F32"], { cwd });
  expect(code, stderr).toBe(0);
  const thought = (text: string) => text.slice(text.indexOf("<think>"), text.indexOf("</answer>"));
  const answer = thought(await ask("tiny.gguf"));
  expect(answer.length).toBeGreaterThan(5);
  expect(answer).toBe(thought(await ask("models/tiny")));
  const wrong = await sputnik(["export", "tiny", "x.gguf", "--dtype", "BF16"], { cwd });
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining("Choose F32, F16 or Q8_0")]);
});

test("plan tells the verdict, plans a recipe or a size, and refuses what makes no sense", async () => {
  const { code, stdout } = await sputnik(["plan"], { cwd });
  expect([code, stdout]).toEqual([0, expect.stringContaining("R1 was trained for about 6 million dollars")]);
  expect(await json(["plan", "tiny.yaml"])).toMatchObject({
    plan: { gpus: 1, stages: [{ name: "base" }, {}] },
  });
  const refused = async (...words: string[]): Promise<string> => {
    const { code, stderr } = await sputnik(["plan", ...words], { cwd });
    expect(code).toBe(1);
    return stderr;
  };
  const size = ["--parameters", "70B", "--tokens", "2T"];
  expect(await refused(...size, "--mfu", "39")).toContain("at most 1, such as 0.39 for 39 %");
  expect(await refused("--parameters", "70B", "--tokens", "-2T")).toContain("Expected a positive number");
  expect(await refused(...size, "--gpu", "h10")).toContain("Did you mean H100?");
  expect(await refused(...size, "--gpus", "8")).toContain(
    "needs 140 GB on each of 8 x NVIDIA H100 SXM5, which has 80 GB",
  );
});

test("doctor says what there is, and measures", async () => {
  const facts = await json(["doctor"]);
  expect(facts).toMatchObject({
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
  });
  const { allThreads } = facts.matmulFlopsPerSecond as { allThreads: number };
  expect(allThreads).toBeGreaterThan(1e8);
  expect((facts.providers as { name: string }[]).map(({ name }) => name)).toContain("cpu");
});

test.skipIf(spawnSync("taskset", ["-c", "0", "true"]).status !== 0)(
  "one core of many: one thread, and no complaints",
  async () => {
    const { code, stdout, stderr } = await sputnik(["doctor", "--json"], {
      cwd,
      wrapper: ["taskset", "-c", "0"],
    });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ threads: 1, allowedCores: 1 });
    expect(stderr).toBe("");
  },
);

describe("a live page", () => {
  const page = /http:\/\/localhost:\d+\//;

  test("train --serve shows the run, and its newest checkpoint answers while training goes on", async () => {
    const folder = temporaryFolder();
    writeRecipe(folder, TINY.replace("steps: 120", "steps: 30000"));
    const running = launch(["train", "tiny.yaml", "--serve", "--port", "0"], { cwd: folder });
    await until(() => page.test(running.output()));
    const url = page.exec(running.output())?.[0] as string;
    const state = async () =>
      (await (await fetch(`${url}api/state`)).json()) as {
        run: { name: string } | null;
        models: { id: string }[];
      };
    let answering = false;
    while (!answering) {
      answering = (await state()).models.some(({ id }) => id === "run");
      expect(running.child.exitCode).toBeNull();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect((await state()).run?.name).toBe("tiny");
    const response = await fetch(`${url}api/chat`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ problem: "5 7 = 12", model: "run" }),
    });
    const events = [...(await response.text()).matchAll(/^data: (.*)$/gm)].map(
      ([, text]) => (JSON.parse(text as string) as { type: string }).type,
    );
    expect(events[0]).toBe("prompt");
    expect(events).toContain("token");
    expect(events.slice(-2)).toEqual(["verdict", "done"]);
    running.child.kill("SIGINT");
    expect((await running.ended).code).toBe(130);
  });

  test("start says where to watch at once, and Ctrl-C leaves a run to go on with", async () => {
    const folder = temporaryFolder();
    const running = launch(["start", "--port", "0"], { cwd: folder });
    const began = performance.now();
    await until(() => page.test(running.output()));
    console.log(`start: the page's address after ${Math.round(performance.now() - began)} ms`);
    const url = page.exec(running.output())?.[0] as string;
    expect((await fetch(url)).status).toBe(200);
    await until(() => running.output().includes("stage base"));
    running.child.kill("SIGINT");
    const { code, stderr } = await running.ended;
    expect(code).toBe(130);
    expect(stderr).toContain("To resume: npm start");
    expect(fs.existsSync(join(folder, "runs", "tiny-r1-zero", "run.json"))).toBe(true);
  });

  const shipped = fileURLToPath(new URL("../../models/tiny-r1-zero/config.json", import.meta.url));
  test.skipIf(!fs.existsSync(shipped))("the shipped model solves a problem at once", async () => {
    const began = performance.now();
    const running = launch(["chat", "--temperature", "0"], {
      cwd: temporaryFolder(),
      input: "82 27 11 = 44\n",
    });
    await until(() => running.output().includes("<think>"), 1);
    console.log(`chat: the first token after ${Math.round(performance.now() - began)} ms`);
    expect((await running.ended).code).toBe(0);
  });
});
