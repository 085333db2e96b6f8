/** A manifest is a stranger's file as well: what it names must be files of the checkpoint, and end. */
import fs from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { checkManifest, MANIFEST, writeManifest } from "../../src/checkpoint/resume.ts";
import { temporaryFolder } from "./temporary.ts";

const root = temporaryFolder();
let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(root, "c-"));
  fs.mkdirSync(join(folder, "model"));
  fs.writeFileSync(join(folder, "model", "a.bin"), "hello\n");
  writeManifest(folder, 3, ["model/a.bin"]);
});
const forge = (files: unknown) =>
  fs.writeFileSync(join(folder, MANIFEST), JSON.stringify({ format: 1, step: 3, files }));
const sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

it("its own is whole, by size and by content", () => {
  expect(checkManifest(folder)).toBeNull();
  fs.writeFileSync(join(folder, "model", "a.bin"), "hellO\n");
  expect(checkManifest(folder, { quick: true })).toBeNull();
  expect(checkManifest(folder)).toBe("model/a.bin: its content has changed");
});

describe("refused at once", () => {
  it.each([
    ["/dev/zero", /names a file outside of the checkpoint: \/dev\/zero/],
    ["../../../../../../dev/zero", /outside of the checkpoint/],
    ["model/../../x", /outside of the checkpoint/],
    ["a\0b", /outside of the checkpoint: a\\u0000b/],
    ["zero", /outside of the checkpoint: zero/],
    ["out/secret", /outside of the checkpoint/],
    ["pipe", /pipe is not a file/],
    ["model", /model is not a file/],
    ["\u001b[2J", /\\u001b\[2J is missing/],
  ])("%j", (path, message) => {
    fs.symlinkSync("/dev/zero", join(folder, "zero"));
    fs.mkdirSync(join(root, "elsewhere"), { recursive: true });
    fs.writeFileSync(join(root, "elsewhere", "secret"), "");
    fs.symlinkSync(join(root, "elsewhere"), join(folder, "out"));
    fs.mkdirSync(join(folder, "pipe"));
    forge([{ path, bytes: 0, sha256 }]);
    expect(checkManifest(folder)).toMatch(message);
    expect(checkManifest(folder, { quick: true })).toMatch(message);
  });

  it.each<[unknown]>([
    [[null]],
    [[{ path: 1, bytes: 0, sha256 }]],
    [[{ path: "a", bytes: "6", sha256 }]],
    ["x"],
    [{}],
  ])("files that are none: %j", (files) => {
    forge(files);
    expect(checkManifest(folder)).toBe("no readable manifest.json");
  });
});

it("a link inside the checkpoint is a file of it", () => {
  fs.symlinkSync("a.bin", join(folder, "model", "b.bin"));
  forge([{ path: "model/b.bin", bytes: 6, sha256 }]);
  expect(checkManifest(folder)).toBeNull();
});
