/** Text files as people have them: every encoding and line end, and what is no text named for what it is. */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { readFolder } from "../../src/checkpoint/folder.ts";
import { readJson } from "../../src/checkpoint/json.ts";
import { withSafetensors } from "../../src/checkpoint/safetensors.ts";
import { decodeText, readLines, readText, visible } from "../../src/lib/text-file.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { recipeShape } from "../../src/recipe/model.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

const folder = temporaryFolder();
let count = 0;
function file(content: string | Uint8Array, name = `${count++}.txt`): string {
  fs.writeFileSync(join(folder, name), content);
  return join(folder, name);
}
const utf16 = (text: string, big: boolean): Buffer => {
  const bytes = Buffer.from(text, "utf16le");
  return big ? bytes.swap16() : bytes;
};
const lines = (path: string) => [...readLines(path)].map(({ number, text }) => [number, text]);

const TEXT = "première\nπ, 😀\n\nlast";
const READ = [
  [1, "première"],
  [2, "π, 😀"],
  [3, ""],
  [4, "last"],
];

describe("a text file is read", () => {
  it.each<[string, string | Uint8Array]>([
    ["in UTF-8", TEXT],
    ["with a byte-order mark", `\uFEFF${TEXT}`],
    ["with two of them", `\uFEFF\uFEFF${TEXT}`],
    ["with Windows' line ends", TEXT.replaceAll("\n", "\r\n")],
    ["with carriage returns alone", TEXT.replaceAll("\n", "\r")],
    ["in UTF-16, little end first", utf16(`\uFEFF${TEXT}`, false)],
    ["in UTF-16, big end first", utf16(`\uFEFF${TEXT}`, true)],
  ])("%s", (_, content) => {
    expect(lines(file(content))).toEqual(READ);
    expect(readText(file(content))).toBe(TEXT);
  });

  it("in UTF-16 without a mark, where it begins with ASCII", () => {
    for (const big of [false, true]) expect(readText(file(utf16("ab\nπ", big)))).toBe("ab\nπ");
  });

  it("with a mark in its middle, as files that were joined have", () => {
    expect(lines(file("\uFEFFa\n\uFEFFb"))).toEqual([
      [1, "a"],
      [2, "b"],
    ]);
  });

  it("in time that grows with its length, though it is one line", () => {
    const long = file(Buffer.alloc(2 ** 26, "a"));
    const start = performance.now();
    expect(readText(long)).toHaveLength(2 ** 26);
    // A tenth of a second; each piece joined to those before it and looked through again took ten.
    expect(performance.now() - start).toBeLessThan(4000);
    fs.rmSync(long);
  });

  it("across the pieces in which it is read, whatever lies on their border", () => {
    for (const border of ["\r\n", "\r", "😀"]) {
      const before = "x".repeat(2 ** 20 - 1);
      expect(readText(file(`${before}${border}y`))).toBe(`${before}${border.replace(/\r\n?/, "\n")}y`);
    }
  });

  it("to the line that is wanted, and no further", () => {
    const path = file(`a\nb\n${"\0"}`);
    const reader = readLines(path);
    expect([reader.next().value, reader.next().value]).toMatchObject([{ text: "a" }, { text: "b" }]);
    expect(() => reader.next()).toThrow(`${path}, line 3: a NUL character`);
  });
});

describe("what is no text is named", () => {
  const LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 134515008\n";
  it.each<[string, string | Uint8Array, RegExp]>([
    ["a Git LFS pointer", LFS, /a Git LFS pointer to a file of 134,515,008 bytes\. .*git lfs pull/],
    ["a git-annex pointer", "/annex/objects/SHA256E-s7--abc.jsonl\n", /a git-annex pointer/],
    ["gzip", gzipSync(TEXT), /a gzip archive\. Unpack it first \(gunzip\)/],
    ["zip", "PK\x03\x04rest", /a zip archive/],
    ["Parquet", "PAR1\x15\x04", /a Parquet file/],
    ["a page", "\n<!DOCTYPE html>\n<html>", /an HTML page.*\/resolve\//],
    ["a page after a comment", "<!-- x -->\n<html lang=en>", /an HTML page/],
    ["the Hub's refusal", "Entry not found", /the Hub's answer "Entry not found"/],
    ["UTF-32", Buffer.from([0xff, 0xfe, 0, 0, 97, 0, 0, 0]), /UTF-32 text/],
    [
      "Latin-1",
      Buffer.from("a\nb\ncaf\xe9s\n", "latin1"),
      /, line 3: text that is not UTF-8 \(byte 0xE9\).*iconv/,
    ],
    [
      "a character that is cut",
      Buffer.from("ab\nπ").subarray(0, 4),
      /line 2: the file ends within a character/,
    ],
    ["NULs", "a\nb\0c\n", /, line 2: a NUL character/],
  ])("%s", (_, content, message) => {
    expect(() => readText(file(content))).toThrow(message);
  });

  it("a text that begins with the letters of a format is a text", () => {
    const texts = [
      "GGUF is a format",
      "BZh is no word",
      `Entry not found ${"in the dictionary ".repeat(20)}`,
    ];
    for (const text of texts) expect(readText(file(text))).toBe(text);
    expect(() => readText(file("GGUF\x03\0\0\0"))).toThrow(/a GGUF model/);
    expect(() => readText(file("BZh91AY&SY"))).toThrow(/a bzip2 archive/);
  });

  it("a page is text where pages are wanted", () => {
    expect(readText(file("<html></html>"), { markup: true })).toBe("<html></html>");
  });

  it("a line without end: where, and how long a line may be", () => {
    const path = file(`a\n${"b".repeat(101)}\nc`);
    expect(() => [...readLines(path, { longestLine: 100 })]).toThrow(
      `${path}, line 2: more than 100 characters in one line`,
    );
    expect([...readLines(path, { longestLine: 101 })]).toHaveLength(3);
    // 17 MB without a line end are refused before they are all in memory.
    const huge = file("c".repeat(17 * 2 ** 20));
    expect(() => readLines(huge).next()).toThrow(/line 1: more than 16,777,216 characters/);
  });

  it("folders, pipes, links to nothing, and nothing", () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    fs.symlinkSync("gone.txt", join(folder, "link"));
    expect(() => readText(folder)).toThrow(/a folder, not a file/);
    expect(() => readText(pipe)).toThrow(/a pipe or a device/);
    expect(() => readText("/dev/zero")).toThrow(/a pipe or a device/);
    expect(() => readText(join(folder, "link"))).toThrow(/a link to gone\.txt, which is not there/);
    expect(() => readText(join(folder, "none"))).toThrow(/there is no such file/);
  });
});

describe("the files of a model (D4)", () => {
  const source = "test/fixtures/golden-folder";

  it("config.json may have a byte-order mark, or be in UTF-16", () => {
    const config = fs.readFileSync(join(source, "config.json"), "utf8");
    const copy = join(folder, "model");
    fs.cpSync(source, copy, { recursive: true });
    for (const content of [Buffer.from(`\uFEFF${config}`), utf16(`\uFEFF${config}`, false)]) {
      fs.writeFileSync(join(copy, "config.json"), content);
      expect(readFolder(copy).config).toEqual(readFolder(source).config);
    }
  });

  it("chat_template.jinja has its lines as transformers reads them, and no mark", () => {
    const copy = join(folder, "template");
    fs.cpSync(source, copy, { recursive: true });
    const template = fs.readFileSync(join(source, "chat_template.jinja"), "utf8");
    fs.writeFileSync(join(copy, "chat_template.jinja"), `\uFEFF${template.replaceAll("\n", "\r\n")}`);
    expect(readFolder(copy).tokenizerConfig.chat_template).toBe(template);
  });

  it("a tokenizer of a recipe may be in any encoding, or is named", () => {
    const recipe = (tokenizer: string) =>
      parseRecipe(
        `{ name: r, seed: 1, model: { layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 16, maxPositions: 64 }, tokenizer: ${tokenizer}, task: { kind: countdown }, checkpoint: { everySteps: 1, keep: 1 }, stages: [{ name: e, kind: evaluate, label: e, problems: 1, samples: 1, temperature: 0 }] }`,
        "r.yaml",
      );
    const json = fs.readFileSync(join(source, "tokenizer.json"), "utf8");
    const shape = (content: string | Uint8Array) =>
      recipeShape(recipe(`{ kind: file, path: ${JSON.stringify(file(content))} }`)).tokenizer.vocabSize;
    expect(shape(`\uFEFF${json}`)).toBe(shape(json));
    expect(() => shape("version https://git-lfs.github.com/spec/v1\nsize 5\n")).toThrow(/a Git LFS pointer/);
    const learned = (content: string | Uint8Array) =>
      recipeShape(
        recipe(`{ kind: bpe, vocabSize: 300, file: ${JSON.stringify(file(content))} }`),
      ).tokenizer.encode("low lower");
    const text = "low lower lowest low lower ".repeat(9);
    expect(learned(utf16(`\uFEFF${text}`, false))).toEqual(learned(text));
    expect(() => learned(gzipSync(text))).toThrow(/a gzip archive/);
  });

  it("a pointer in the place of JSON or of weights is called one", () => {
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n".padEnd(130, "0");
    expect(() => readJson(file(pointer, "tokenizer.json"))).toThrow(
      /tokenizer\.json: expected a JSON file, found a Git LFS pointer/,
    );
    expect(() => withSafetensors(file(pointer, "model.safetensors"), () => null)).toThrow(
      /model\.safetensors: expected a safetensors file, found a Git LFS pointer.*git lfs pull/,
    );
    expect(() =>
      withSafetensors(file("<!doctype html><html></html>", "page.safetensors"), () => null),
    ).toThrow(/an HTML page/);
  });
});

describe("a text as it is, line ends too", () => {
  const own = "one\r\ntwo\rπ\n";
  it.each<[string, Uint8Array]>([
    ["UTF-8", Buffer.from(own)],
    ["UTF-8 with a mark", Buffer.from(`\uFEFF${own}`)],
    ["UTF-16LE", utf16(`\uFEFF${own}`, false)],
    ["UTF-16BE", utf16(`\uFEFF${own}`, true)],
  ])("%s", (_, bytes) => {
    expect(decodeText("x", bytes)).toBe(own);
  });

  it.each<[Uint8Array, RegExp]>([
    [gzipSync("text"), /x: a gzip archive/],
    [Buffer.from("caf\xe9", "latin1"), /x: text that is not UTF-8/],
    [Buffer.from("a\0b"), /a NUL character/],
    [Buffer.from("GGUF\x03\0\0\0"), /x: a GGUF model/],
  ])("and what is none is named: %#", (bytes, found) => {
    expect(() => decodeText("x", bytes)).toThrow(found);
  });
});

it("visible shows what does not print by its code", () => {
  expect(visible("a\x1b[2Jb\u202ec\r")).toBe("a\\u001b[2Jb\\u202ec\\u000d");
  expect(visible("x".repeat(9), 4)).toBe("xxxx...");
});
