/** X2: an export replaces what Sputnik wrote, and nothing else. */

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { loadModel, saveModel } from "../../src/checkpoint/folder.ts";
import { GgufFile } from "../../src/checkpoint/gguf/file.ts";
import { loadGguf } from "../../src/checkpoint/gguf/model.ts";
import { type MetadataValue, text } from "../../src/checkpoint/gguf/values.ts";
import { writeGguf } from "../../src/checkpoint/gguf/write.ts";
import { exportModel } from "../../src/cli/export.ts";
import { EXPORTED } from "../../src/cli/target.ts";
import { thisProcess } from "../../src/lib/owner.ts";
import { allParameters } from "../../src/models/architectures.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { initialise } from "../../src/models/layers.ts";
import { SHIPPED } from "../../src/run/find-model.ts";
import { tokenizerFrom } from "../../src/tokenizer/load.ts";
import { withRule } from "../checkpoint/gguf/rules.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { asParameters } from "../support/parameters.ts";
import { tinyConfig } from "../train/tiny.ts";

const golden = fileURLToPath(new URL("../fixtures/golden-folder", import.meta.url));
const other = SHIPPED;

/** A model whose tokenizer llama.cpp has a name for. */
function forLlamaCpp(width: number): string {
  const folder = join(temporaryFolder(), "model");
  const tokenizer = tokenizerFrom(withRule("qwen2"));
  const config: DecoderConfig = { ...tinyConfig, hiddenSize: width, vocabSize: tokenizer.vocabSize };
  saveModel(folder, {
    config,
    tokenizer,
    parameters: asParameters(initialise(allParameters(config), 1)),
  });
  return folder;
}

/** Every file of a folder with its bytes. */
const contents = (folder: string): Record<string, string> =>
  Object.fromEntries(
    fs
      .readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => [relative(folder, file), fs.readFileSync(file, "latin1")]),
  );

function copyOf(source: string): string {
  const folder = join(temporaryFolder(), "model");
  fs.cpSync(source, folder, { recursive: true });
  return folder;
}

/** Expects a refusal that leaves every byte as it was, beside the target too. */
function expectRefused(target: string, words: RegExp, from = golden, force = false): void {
  const folder = join(target, "..");
  const before = contents(folder);
  expect(() =>
    exportModel(from, target, { dtype: target.endsWith(".gguf") ? "Q8_0" : "BF16", force }),
  ).toThrow(words);
  expect(contents(folder)).toEqual(before);
}

describe("a folder that holds", () => {
  test("another model, sharded: refused; replaced with --force, with none of its shards left", () => {
    const target = copyOf(other);
    fs.renameSync(join(target, "model.safetensors"), join(target, "model-00001-of-00002.safetensors"));
    fs.writeFileSync(join(target, "model-00002-of-00002.safetensors"), "more");
    fs.writeFileSync(join(target, "model.safetensors.index.json"), "{}");
    fs.writeFileSync(join(target, "chat_template.jinja"), "theirs");
    fs.writeFileSync(join(target, "notes.txt"), "mine");
    expectRefused(target, /holds other files/);
    exportModel(golden, target, { force: true });
    expect(loadModel(target).config).toEqual(loadModel(golden).config);
    expect(fs.readdirSync(target).filter((name) => /0000|index|jinja/.test(name))).toEqual([]);
    expect(fs.readFileSync(join(target, "notes.txt"), "utf8")).toBe("mine");
  });

  test("an earlier export: replaced; once a file was changed or added, refused", () => {
    const target = join(temporaryFolder(), "out");
    exportModel(golden, target, {});
    exportModel(other, target, {});
    expect(loadModel(target).config).toEqual(loadModel(other).config);
    fs.writeFileSync(join(target, "notes.txt"), "mine");
    expectRefused(target, /changed since: notes\.txt\./);
    fs.rmSync(join(target, "notes.txt"));
    fs.appendFileSync(join(target, "README.md"), "My findings.\n");
    expectRefused(target, /changed since: README\.md\./);
  });

  test("a file that only says that it is ours: refused", () => {
    const target = join(temporaryFolder(), "out");
    fs.mkdirSync(target);
    fs.writeFileSync(join(target, EXPORTED), "not ours");
    expectRefused(target, /did not write/);
  });

  test("what a killed export left: replaced", () => {
    const target = join(temporaryFolder(), "out");
    fs.mkdirSync(join(target, ".sputnik-export-abc"), { recursive: true });
    fs.writeFileSync(join(target, ".sputnik-export-abc", "model.safetensors"), "half");
    exportModel(golden, target, {});
    expect(loadModel(target).parameters.size).toBe(loadModel(golden).parameters.size);
  });

  test("what a killed export of this machine left: removed", () => {
    const target = join(temporaryFolder(), "out");
    const dead = spawnSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }).stdout.trim();
    const left = (owner: string) => join(target, `.sputnik-export-${owner}-abcdef123456`);
    const { pid, started, place } = thisProcess();
    const [gone, running] = [left(`${dead}-1-${place}`), left(`${pid}-${started}-${place}`)];
    for (const folder of [gone, running]) {
      fs.mkdirSync(folder, { recursive: true });
      fs.writeFileSync(join(folder, "model.safetensors"), "half");
    }
    exportModel(golden, target, {});
    expect(fs.readdirSync(target).filter((name) => name.startsWith("."))).toEqual([basename(running)]);
  });

  test("a link where a folder would be: never written through, even with --force", () => {
    const shipped = fileURLToPath(new URL("../../models/tiny-r1-zero", import.meta.url));
    const [target, elsewhere] = [join(temporaryFolder(), "out"), temporaryFolder()];
    fs.mkdirSync(target);
    fs.symlinkSync(elsewhere, join(target, "figures"));
    expect(() => exportModel(shipped, target, { force: true })).toThrow(/figures/);
    expect(fs.readdirSync(elsewhere)).toEqual([]);
    expect(fs.readdirSync(target)).toEqual(["figures"]);
  });
});

describe("the source itself, even with --force", () => {
  test.each([
    ["by its name", (model: string) => model],
    ["by a relative path", (model: string) => relative(process.cwd(), model)],
    ["by a roundabout path", (model: string) => join(model, "..", "model", ".")],
    ["through a link", (model: string) => linkTo(model)],
    ["through a link above it", (model: string) => join(linkTo(join(model, "..")), "model")],
  ])("%s", (_, path) => {
    const model = copyOf(golden);
    const before = contents(model);
    for (const force of [false, true]) {
      expect(() => exportModel(model, path(model), { dtype: "BF16", force })).toThrow(/is the model itself/);
      expect(() => exportModel(linkTo(model), model, { dtype: "BF16", force })).toThrow(
        /is the model itself/,
      );
    }
    expect(() => exportModel(path(model), join(model, "..", "."), { force: true })).toThrow(
      /holds the model/,
    );
    expect(() => exportModel(model, join(path(model), "sub"), { force: true })).toThrow(/lies in the model/);
    expect(contents(model)).toEqual(before);
  });

  test("a GGUF file, by its name, a hard link and a link", () => {
    const folder = temporaryFolder();
    const file = join(folder, "model.gguf");
    exportModel(forLlamaCpp(32), file, { dtype: "F32" });
    fs.linkSync(file, join(folder, "hard.gguf"));
    fs.symlinkSync(file, join(folder, "soft.gguf"));
    for (const name of ["model.gguf", "hard.gguf", "soft.gguf"])
      expectRefused(join(folder, name), /is the model itself/, file, true);
  });
});

describe("what belongs to the source elsewhere, even with --force", () => {
  test("the other parts of a split GGUF file", () => {
    const folder = temporaryFolder();
    const whole = join(folder, "whole.gguf");
    exportModel(forLlamaCpp(32), whole, { dtype: "F32" });
    const [first, second] = split(whole);
    expectRefused(second, /is the model itself/, first, true);
    expectRefused(first, /is the model itself/, second, true);
  });

  test("a file that a link in its folder names", () => {
    const [model, elsewhere] = [copyOf(other), temporaryFolder()];
    fs.renameSync(join(model, "model.safetensors"), join(elsewhere, "model.safetensors"));
    fs.symlinkSync(join(elsewhere, "model.safetensors"), join(model, "model.safetensors"));
    const before = contents(elsewhere);
    expect(() => exportModel(model, elsewhere, { dtype: "BF16", force: true })).toThrow(/holds the model/);
    expect(contents(elsewhere)).toEqual(before);
  });
});

/** As `llama-gguf-split` cuts it: the metadata, ours too, go into the first part. */
function split(whole: string): [string, string] {
  const opened = new GgufFile(whole);
  const { metadata, tensors } = opened.header;
  const all = [...tensors].map(([name, { shape }]) => ({
    ...{ name, shape, type: "F32" as const },
    pieces: () => [opened.read(name)],
  }));
  const parts = [0, 1].map((part) => {
    const path = whole.replace("whole.gguf", `model-0000${part + 1}-of-00002.gguf`);
    const entries: [string, MetadataValue][] = [
      ...(part === 0 ? metadata : [["general.architecture", text("llama")] as [string, MetadataValue]]),
      ["split.no", { type: "U16", value: part }],
      ["split.count", { type: "U16", value: 2 }],
      ["split.tensors.count", { type: "I32", value: all.length }],
    ];
    writeGguf(
      path,
      new Map(entries),
      all.filter((_, i) => i % 2 === part),
    );
    return path;
  });
  opened.close();
  return parts as [string, string];
}

const linkTo = (path: string): string => {
  const link = join(temporaryFolder(), "link");
  fs.symlinkSync(path, link);
  return link;
};

describe("a file named .gguf", () => {
  test("of anybody: refused; replaced with --force", () => {
    const file = join(temporaryFolder(), "notes.gguf");
    fs.writeFileSync(file, "my notes");
    const model = forLlamaCpp(32);
    expectRefused(file, /Sputnik did not write it/, model);
    exportModel(model, file, { force: true });
    expect(loadGguf(file).parameters.size).toBe(loadModel(model).parameters.size);
    expect(fs.readdirSync(join(file, ".."))).toEqual(["notes.gguf"]);
  });

  test("of an earlier export: replaced; files beside it stay, whatever their names", () => {
    const folder = temporaryFolder();
    const file = join(folder, "model.gguf");
    fs.writeFileSync(`${file}.tmp`, "mine");
    exportModel(forLlamaCpp(32), file, {});
    exportModel(forLlamaCpp(64), file, {});
    expect(loadGguf(file).config.hiddenSize).toBe(64);
    expect(fs.readFileSync(`${file}.tmp`, "utf8")).toBe("mine");
  });

  test("that another tool made of an export, whose keys it carries on: refused", () => {
    const folder = temporaryFolder();
    const [ours, theirs] = [join(folder, "ours.gguf"), join(folder, "theirs.gguf")];
    const model = forLlamaCpp(32);
    exportModel(model, ours, { dtype: "F32" });
    const opened = new GgufFile(ours);
    const tensors = [...opened.header.tensors].map(([name, { shape }]) => ({
      ...{ name, shape, type: shape.length < 2 ? ("F32" as const) : ("F16" as const) },
      pieces: () => [opened.read(name)],
    }));
    writeGguf(theirs, opened.header.metadata, tensors);
    opened.close();
    expectRefused(theirs, /Sputnik did not write it/, model);
    exportModel(model, ours, {});
    expect(loadGguf(ours).config.hiddenSize).toBe(32);
  });

  test("that is a folder: refused", () => {
    const file = join(temporaryFolder(), "folder.gguf");
    fs.mkdirSync(file);
    expectRefused(file, /is not a file/, golden, true);
  });
});
