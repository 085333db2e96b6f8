/** Models that no run on this machine made, as Hugging Face folders. */
import fs from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import { loadModel } from "../../src/checkpoint/folder.ts";
import { exportGguf, loadGguf } from "../../src/checkpoint/gguf/model.ts";
import { pullFolder, rememberPulled } from "../../src/checkpoint/pulled.ts";
import { exportModel } from "../../src/cli/export.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { decoderParameters } from "../../src/models/dense.ts";
import { initialise } from "../../src/models/layers.ts";
import { SHIPPED } from "../../src/recipe/find-model.ts";
import { asParameters } from "../../src/recipe/options.ts";
import { tokenizerFrom } from "../../src/tokenizer/load.ts";
import { withRule } from "../checkpoint/gguf/rules.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
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

const golden = fileURLToPath(new URL("../fixtures/golden-folder", import.meta.url));
const card = (folder: string): string => fs.readFileSync(join(folder, "README.md"), "utf8");

test("a quantised GGUF file becomes a folder with the numbers that its blocks stand for", () => {
  const folder = temporaryFolder();
  const [file, target] = [join(folder, "tiny.Q8_0.gguf"), join(folder, "out")];
  const tokenizer = tokenizerFrom(withRule("qwen2"));
  const config: DecoderConfig = { ...tinyConfig, width: 32, headDim: 8, vocabSize: tokenizer.vocabSize };
  const parameters = asParameters(initialise(decoderParameters(config), 1));
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
