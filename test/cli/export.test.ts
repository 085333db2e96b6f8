/** Models that no run on this machine made, as Hugging Face folders. */

import fs from "node:fs";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import { pullFolder, rememberPulled } from "../../src/checkpoint/download.ts";
import { loadModel } from "../../src/checkpoint/folder.ts";
import { exportGguf, loadGguf } from "../../src/checkpoint/gguf/model.ts";
import { exportModel } from "../../src/cli/export.ts";
import { allParameters } from "../../src/models/architectures.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { initialise } from "../../src/models/layers.ts";
import { SHIPPED } from "../../src/run/find-model.ts";
import { tokenizerFrom } from "../../src/tokenizer/load.ts";
import { withRule } from "../checkpoint/gguf/rules.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { asParameters } from "../support/parameters.ts";
import { tinyConfig } from "../train/tiny.ts";

test("a model without its run's journals is exported with the report that came along, and stays as it was", () => {
  const source = join(temporaryFolder(), "model");
  fs.cpSync(SHIPPED, source, { recursive: true });
  const target = join(temporaryFolder(), "target");
  exportModel(source, target, {});
  const report = (folder: string) => fs.readFileSync(join(folder, "report.md"), "utf8");
  expect(report(source)).toBe(report(SHIPPED));
  expect(report(target)).toBe(report(SHIPPED));
  expect(report(target)).toContain("r1-zero");
});

test.each([
  ["by a relative path", (run: string) => `./${relative(process.cwd(), run)}`],
  ["with a slash behind it", (run: string) => `${run}/`],
  ["in a roundabout way", (run: string) => `${join(run, "..")}/./${basename(run)}`],
])("a run's own files have their own names, however the run is named: %s", (_, path) => {
  const source = join(temporaryFolder(), "model");
  fs.cpSync(SHIPPED, source, { recursive: true });
  const target = join(temporaryFolder(), "target");
  exportModel(path(source), target, {});
  const own = ["recipe.yaml", "run.json", "evaluations.jsonl", "bill.json", "report.md"];
  for (const name of own)
    expect(fs.readFileSync(join(target, name), "utf8"), name).toBe(
      fs.readFileSync(join(SHIPPED, name), "utf8"),
    );
  const extra = fs.readdirSync(target).filter((name) => !fs.existsSync(join(SHIPPED, name)));
  expect(extra).toEqual(["sputnik-export.json"]);
});

test("a run is only read: its report is made anew for the export, and what a person wrote into theirs stays", () => {
  const source = join(temporaryFolder(), "model");
  fs.cpSync(SHIPPED, source, { recursive: true });
  for (const journal of ["metrics.jsonl", "samples.jsonl"]) fs.writeFileSync(join(source, journal), "");
  const report = join(source, "report.md");
  fs.appendFileSync(report, "My own findings.\n");
  const before = fs.readFileSync(report, "utf8");
  const names = fs.readdirSync(source, { recursive: true });
  const target = join(temporaryFolder(), "target");
  exportModel(source, target, {});
  expect(fs.readFileSync(report, "utf8")).toBe(before);
  expect(fs.readdirSync(source, { recursive: true })).toEqual(names);
  const made = fs.readFileSync(join(target, "report.md"), "utf8");
  expect(made).toContain("## How to make it again");
  expect(made).not.toContain("My own findings.");
});

test("what a link in a stranger's run names is not given away with the model", () => {
  const [source, secrets] = [join(temporaryFolder(), "model"), temporaryFolder()];
  fs.cpSync(SHIPPED, source, { recursive: true });
  fs.writeFileSync(join(secrets, "id_rsa"), "secret");
  fs.rmSync(join(source, "report.md"));
  fs.symlinkSync(join(secrets, "id_rsa"), join(source, "report.md"));
  fs.rmSync(join(source, "figures"), { recursive: true, force: true });
  fs.mkdirSync(join(source, "figures"));
  fs.writeFileSync(join(source, "figures", "own.svg"), "<svg/>");
  fs.symlinkSync(join(secrets, "id_rsa"), join(source, "figures", "key.svg"));
  const told = vi.spyOn(console, "error").mockImplementation(() => {});
  const target = join(temporaryFolder(), "target");
  exportModel(source, target, {});
  const notes = told.mock.calls.flat().join("\n");
  told.mockRestore();
  expect(fs.existsSync(join(target, "report.md"))).toBe(false);
  expect(fs.readdirSync(join(target, "figures"))).toEqual(["own.svg"]);
  expect(notes).toMatch(/report\.md is a link and was left out/);
  expect(notes).toMatch(/key\.svg is a link and was left out/);
});

const golden = fileURLToPath(new URL("../fixtures/golden-folder", import.meta.url));
const card = (folder: string): string => fs.readFileSync(join(folder, "README.md"), "utf8");

test("a quantised GGUF file becomes a folder with the numbers that its blocks stand for", () => {
  const folder = temporaryFolder();
  const [file, target] = [join(folder, "tiny.Q8_0.gguf"), join(folder, "out")];
  const tokenizer = tokenizerFrom(withRule("qwen2"));
  const config: DecoderConfig = { ...tinyConfig, hiddenSize: 32, headDim: 8, vocabSize: tokenizer.vocabSize };
  const parameters = asParameters(initialise(allParameters(config), 1));
  const template = "{{ messages }}";
  exportGguf({ config, tokenizer, parameters, tokenizerConfig: { chat_template: template } }, file, {
    dtype: "Q8_0",
  });
  exportModel(file, target, {});
  const [held, written] = [loadGguf(file), loadModel(target)];
  expect(written.config).toEqual(held.config);
  expect([...written.parameters.keys()].sort()).toEqual([...held.parameters.keys()].sort());
  for (const [name, { shape, data }] of held.parameters) {
    expect(written.parameters.get(name)?.shape, name).toEqual(shape);
    expect(
      Buffer.from(written.parameters.get(name)!.data.buffer).equals(Buffer.from(data.buffer)),
      name,
    ).toBe(true);
  }
  // The rounding shows, so these are not the numbers from before.
  const name = "model.layers.0.self_attn.q_proj.weight";
  expect(written.parameters.get(name)?.data).not.toEqual(parameters.get(name)?.data);
  expect(written.tokenizerConfig.chat_template).toBe(template);
  const text = "How many? 3 + 4";
  expect(written.tokenizer.encode(text)).toEqual(tokenizer.encode(text));
  expect(card(target)).toContain("tiny.Q8_0.gguf as a Hugging Face folder in F32");
  expect(card(target)).toContain("what quantising them lost is lost");
  expect(card(target)).toContain("with its tokenizer and chat template");
  expect(card(target)).not.toContain(folder);
  expect(card(target)).not.toMatch(/bill|report|licen[cs]e:/);
  expect(fs.readdirSync(target).filter((name) => /bill|report|run\.json/.test(name))).toEqual([]);
});

test("a plain folder is written again in another type, and not over itself", () => {
  const target = join(temporaryFolder(), "half");
  exportModel(golden, target, { dtype: "BF16" });
  const [before, after] = [loadModel(golden), loadModel(target)];
  for (const [name, { data }] of before.parameters)
    after.parameters.get(name)!.data.forEach((value, i) => {
      // BF16 keeps 8 bits.
      expect(Math.abs(value - data[i])).toBeLessThanOrEqual(2 ** -8 * Math.abs(data[i]));
    });
  expect(() => exportModel(target, join(target, "."), {})).toThrow("is the model itself");
  expect(loadModel(target).parameters.size).toBe(before.parameters.size);
});

test("a pulled model is found by its name, which the card carries on", () => {
  vi.stubEnv("SPUTNIK_CACHE", temporaryFolder());
  const model = { name: "org/tiny-model", commit: "0123456789abcdef0123456789abcdef01234567", files: [] };
  fs.cpSync(golden, pullFolder(model), { recursive: true });
  rememberPulled(model, fs.readdirSync(golden));
  const target = join(temporaryFolder(), "out");
  exportModel("org/tiny-model", target, {});
  expect(card(target)).toContain("base_model: org/tiny-model\n");
  expect(loadModel(target).parameters.size).toBe(loadModel(golden).parameters.size);
  vi.unstubAllEnvs();
});

test("weights beside a model that are not read are told of (C9)", () => {
  const source = join(temporaryFolder(), "model");
  fs.cpSync(SHIPPED, source, { recursive: true });
  fs.writeFileSync(join(source, "model-00001-of-00002.safetensors"), "");
  const told = vi.spyOn(console, "error").mockImplementation(() => {});
  exportModel(source, join(temporaryFolder(), "target"), {});
  expect(told.mock.calls.join()).toMatch(/read: model\.safetensors; not read, .*model-00001-of-00002/);
  told.mockRestore();
});

test("what is nowhere is neither a run nor a model", () => {
  expect(() => exportModel("nowhere", join(temporaryFolder(), "out"), {})).toThrow(
    'There is no run and no model called "nowhere"',
  );
});
