/** What lies where a model's file should be is read, or named for what it is, in every format. */
import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readJson } from "../../src/checkpoint/json.ts";
import { openModelFiles, readShape } from "../../src/checkpoint/model.ts";
import { isUserError } from "../../src/lib/errors.ts";
import { temporaryFolder } from "./temporary.ts";

const root = temporaryFolder();
const shipped = new URL("../../models/tiny-r1-zero", import.meta.url).pathname;

/** A copy of the shipped model with one file of this content. */
function withFile(name: string, content: Buffer): string {
  const folder = fs.mkdtempSync(join(root, "m-"));
  fs.cpSync(shipped, folder, { recursive: true });
  fs.writeFileSync(join(folder, name), content);
  return folder;
}
const config = fs.readFileSync(join(shipped, "config.json"), "utf8");

describe("config.json is read", () => {
  it.each<[string, Buffer]>([
    ["with a byte-order mark", Buffer.from(`\ufeff${config}`)],
    ["as UTF-16", Buffer.from(`\ufeff${config}`, "utf16le")],
    ["with Windows' line ends", Buffer.from(config.replaceAll("\n", "\r\n"))],
  ])("%s", (_, content) => {
    expect(readShape(withFile("config.json", content)).config).toEqual(readShape(shipped).config);
  });
});

const LFS = Buffer.from(
  `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 988097824\n`,
);
const HTML = Buffer.from("<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>");

describe.each(["config.json", "tokenizer.json", "generation_config.json", "model.safetensors", "x.gguf"])(
  "%s",
  (name) => {
    it.each<[string, Buffer, RegExp]>([
      [
        "a pointer of Git LFS",
        LFS,
        /found a Git LFS pointer to a file of 988,097,824 bytes\. .*git lfs pull/,
      ],
      ["a page", HTML, /found an HTML page/],
      [
        "nothing",
        Buffer.alloc(0),
        /found nothing: the file is empty|found a file of 0 bytes|more bytes, found 0/,
      ],
      ["the Hub's refusal", Buffer.from("Entry not found"), /found the Hub's answer "Entry not found"/],
      ["an archive", Buffer.from("\u001f\ufffd\b\0gz", "latin1"), /found /],
    ])("%s", (_, content, message) => {
      const folder = withFile(name, content);
      const path = name.endsWith(".gguf") ? join(folder, name) : folder;
      let error: unknown;
      try {
        openModelFiles(path);
      } catch (caught) {
        error = caught;
      }
      expect(isUserError(error, "checkpoint") && error.where?.startsWith(join(folder, name))).toBe(true);
      expect(String(error)).toMatch(message);
    });
  },
);

it("a folder or a pipe in a file's place is named, and nobody waits for it", () => {
  const folder = withFile("x.gguf", Buffer.alloc(0));
  fs.rmSync(join(folder, "model.safetensors"));
  fs.mkdirSync(join(folder, "model.safetensors"));
  expect(() => openModelFiles(folder)).toThrow(/expected a safetensors file, found a folder/);
  expect(() => readJson("/dev/zero")).toThrow(/found a pipe or a device/);
});
