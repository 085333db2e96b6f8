/** A stage whose inputs did not change is taken from another run, with its metrics and what it cost there. */
import { appendFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { openModelFiles } from "../../src/checkpoint/model.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { resolve } from "../../src/recipe/resolve.ts";
import { resumeOrCreate, runPaths } from "../../src/run/folder.ts";
import { readRun } from "../../src/run/reader.ts";
import { codeHash, stageKeys } from "../../src/run/reuse.ts";
import { Run } from "../../src/run/run.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { TINY_DATA } from "./tiny-run.ts";

const pretraining = (name: string, { steps = 2, more = "" } = {}) => `
  - name: ${name}
    kind: pretrain
    ${more}
    ${TINY_DATA}
    batch: 1
    steps: ${steps}
    optimizer: { kind: adamw, lr: 1.0e-3 }
    schedule: { kind: constant }`;
const evaluation = (label: string) => `
  - { name: ${label}, kind: evaluate, label: ${label}, problems: 2, samples: 1, temperature: 0, maxNewTokens: 8 }`;

const text = (stages: string, seed = 1): string => `
name: reuse
seed: ${seed}
model: { layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 16, maxPositions: 64 }
tokenizer: { kind: compact }
task: { kind: countdown, numbers: [2] }
checkpoint: { everySteps: 1, keep: 1 }
stages:${stages}
`;

const STAGES = pretraining("one") + evaluation("exam") + pretraining("two");

const engine = new Engine({ threads: 1 });
const root = temporaryFolder();

async function run(name: string, recipe: string, reuse = true) {
  const steps: string[] = [];
  const evaluations: unknown[] = [];
  const folder = resumeOrCreate(parseRecipe(recipe, "r.yaml"), { root, name, reuse });
  const hooks = {
    emit: (event: { type: string; stage?: unknown; evaluation?: unknown }) => {
      if (event.type === "metrics") steps.push(String(event.stage));
      if (event.type === "evaluation") evaluations.push(event.evaluation);
    },
    shouldStop: () => false,
    engine,
  };
  await new Run(parseRecipe(recipe, "r.yaml"), folder, hooks).run().finally(() => folder.close());
  return { folder: folder.folder, steps, evaluations, data: readRun(folder.folder) };
}

const weights = (folder: string, stage: string) =>
  [...openModelFiles(join(runPaths(folder).models, stage)).parameters.values()].map(({ data }) => [
    ...(data as never as Float32Array),
  ]);

describe("a second run", () => {
  let first: Awaited<ReturnType<typeof run>>;
  beforeAll(async () => {
    first = await run("first", text(STAGES));
  });

  it("computes its own stages alone", async () => {
    const { folder, steps, evaluations, data } = await run(
      "second",
      text(STAGES + pretraining("three", { more: "from: one" })),
    );
    expect(first.steps).toEqual(["one", "one", "two", "two"]);
    expect(steps).toEqual(["three", "three"]);
    for (const stage of ["one", "two"]) expect(weights(folder, stage)).toEqual(weights(first.folder, stage));
    expect(data.metrics.filter(({ stage }) => stage !== "three")).toEqual(first.data.metrics);
    expect(data.evaluations).toEqual(first.data.evaluations);
    expect(evaluations).toEqual(first.evaluations);
    const { reused } = data.bill!.unpaid!;
    expect(reused.map(({ stage, run }) => [stage, run])).toEqual([
      ["one", "first"],
      ["exam", "first"],
      ["two", "first"],
    ]);
    const cost = first.data.bill!.lines.find(({ stage }) => stage === "two")!;
    expect(reused[2]).toMatchObject({ flops: cost.flops, seconds: cost.seconds });
    expect(data.bill!.lines.find(({ stage }) => stage === "two")?.flops ?? 0).toBe(0);
    expect(readFileSync(runPaths(folder).report, "utf8")).toContain(
      "Reused, not in the sum: two from the run first",
    );
  });

  it("computes everything where it is not to reuse", async () => {
    const { steps } = await run("own", text(STAGES), false);
    expect(steps).toEqual(first.steps);
  });

  it("passes folders by that are no runs, or whose list is damaged", async () => {
    for (const [name, content] of [
      ["0-damaged", "{"],
      ["0-other", '{"key": 1}'],
      ["0-list", "[null, 1, {}]"],
    ]) {
      mkdirSync(join(root, name!));
      writeFileSync(join(root, name!, "stages.json"), content!);
    }
    mkdirSync(join(root, "0-folder", "stages.json"), { recursive: true });
    expect((await run("among", text(STAGES))).steps).toEqual([]);
  });

  it("has the adapter of a LoRA stage too", async () => {
    const adapted =
      STAGES + pretraining("adapted", { more: "lora: { rank: 2, alpha: 4 }" }).replace("pretrain", "sft");
    await run("lora", text(adapted));
    const { folder, steps } = await run("lora-again", text(adapted));
    expect(steps).toEqual([]);
    const adapter = (of: string) => readFileSync(join(of, "adapters/adapted/adapter_model.safetensors"));
    expect(adapter(folder)).toEqual(adapter(join(root, "lora")));
  });

  it("computes a stage again whose model is gone", async () => {
    const stages = readFileSync(runPaths(first.folder).stages, "utf8");
    writeFileSync(runPaths(first.folder).stages, stages.replaceAll('"key": "', '"key": "x'));
    const { steps } = await run(
      "other",
      text(pretraining("one", { steps: 1 }) + evaluation("exam") + pretraining("two")),
    );
    expect(steps).toEqual(["one", "two", "two"]);
    writeFileSync(runPaths(first.folder).stages, stages);
  });
});

describe("the key of a stage", () => {
  const versions = { sputnik: "1", node: "2", onnxruntime: "3" };
  const keys = (recipe: string, of = versions, code = "code") =>
    stageKeys(resolve(parseRecipe(recipe, "r.yaml")), of, code);
  const before = keys(text(STAGES));

  it("follows from the stages before it", () => {
    const changed = keys(text(pretraining("one", { steps: 3 }) + evaluation("exam") + pretraining("two")));
    expect(changed.filter((key, i) => key === before[i])).toEqual([]);
  });

  it("does not follow from those after it, nor from evaluations", () => {
    expect(keys(text(STAGES + evaluation("last"))).slice(0, 3)).toEqual(before);
    expect(keys(text(pretraining("one") + pretraining("two"))).at(1)).toBe(before[2]);
  });

  it("follows from the seed, the task, the versions and the code", () => {
    for (const other of [
      keys(text(STAGES, 2)),
      keys(text(STAGES).replace("numbers: [2] }\ncheck", "numbers: [3] }\ncheck")),
      keys(text(STAGES), { ...versions, sputnik: "2" }),
      keys(text(STAGES), versions, "other code"),
    ])
      expect(other.filter((key, i) => key === before[i])).toEqual([]);
  });

  it("is never that of another stage where a task is a file, which may import others", () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "task.ts"), "export default 1;\n");
    const recipe = text(STAGES).replace(
      "{ kind: countdown, numbers: [2] }",
      `{ module: ${join(folder, "task.ts")} }`,
    );
    expect(recipe).toContain("module");
    const [first, second] = [keys(recipe), keys(recipe)];
    expect(second.filter((key, i) => key === first[i])).toEqual([]);
  });

  it("follows from the code that computes, file by file", () => {
    const root = temporaryFolder();
    cpSync("src", root, { recursive: true });
    const before = codeHash(root);
    expect(codeHash(root)).toBe(before);
    appendFileSync(join(root, "cli/train.ts"), "\n");
    expect(codeHash(root)).toBe(before);
    appendFileSync(join(root, "train/advantages.ts"), "\n");
    expect(codeHash(root)).not.toBe(before);
  });

  it("follows from what a file holds, not from where it is", () => {
    const folder = temporaryFolder();
    const keyWith = (file: string, content: string) => {
      writeFileSync(join(folder, file), content);
      const data = `data: { kind: text, file: ${join(folder, file)} }`;
      return keys(text(pretraining("one").replace(TINY_DATA.split("\n")[0]!, data)))[0];
    };
    expect(keyWith("a", "1 + 1")).toBe(keyWith("b", "1 + 1"));
    expect(keyWith("a", "1 + 1")).not.toBe(keyWith("b", "1 + 2"));
  });
});
