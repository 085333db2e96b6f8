/** Which copy of ONNX Runtime is loaded, and what a machine without a library for it is told. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { isUserError } from "../../src/lib/errors.ts";
import { checkPlatform, loadRemedy } from "../../src/runtime/onnxruntime.ts";
import { chooseFolder, onnxruntimeVersion } from "../../src/runtime/onnxruntime-folder.ts";

const root = mkdtempSync(join(tmpdir(), "sputnik-test-ort-"));
afterAll(() => rmSync(root, { recursive: true }));

/** A folder with the package of this version, and nothing else. */
function packageOf(name: string, version: string): string {
  const folder = join(root, name);
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ version }));
  return folder;
}
const carried = packageOf("carried", "1.30.0");
const same = packageOf("same", "1.30.0");
const other = packageOf("other", "1.29.0");
const absent = join(root, "absent");

describe("chooseFolder", () => {
  it("takes the installed package in a clone, which carries none", () => {
    expect(chooseFolder(absent, other)).toBe(other);
  });

  it("takes the carried one where none is installed, or another version", () => {
    expect(chooseFolder(carried, null)).toBe(carried);
    expect(chooseFolder(carried, other)).toBe(carried);
  });

  it("takes the installed package of the same version, since a process cannot load two copies", () => {
    expect(chooseFolder(carried, same)).toBe(same);
  });

  it("says what to do where there is neither", () => {
    expect(() => chooseFolder(absent, null)).toThrow(/not installed; run npm ci/);
  });
});

it("here the version is the one that package.json names", () => {
  expect(onnxruntimeVersion()).toBe("1.30.0");
});

it("a platform without a library is told which ones there are", () => {
  for (const platform of ["linux/x64", "linux/arm64", "darwin/arm64"])
    mkdirSync(join(carried, "bin", "napi-v6", platform), { recursive: true });
  expect(() => checkPlatform(carried, "linux", "arm64")).not.toThrow();
  try {
    checkPlatform(carried, "darwin", "x64");
    expect.unreachable();
  } catch (error) {
    expect(isUserError(error, "platform")).toBe(true);
    expect((error as Error).message).toBe(
      "ONNX Runtime has no library for darwin-x64. Use a Node.js for one of darwin-arm64, linux-arm64, linux-x64.",
    );
  }
});

it.each([
  [
    "win32",
    "The specified module could not be found.\n\\\\?\\C:\\p\\onnxruntime_binding.node",
    /Visual C\+\+ Redistributable/,
  ],
  ["win32", "Module did not self-register", /another copy of onnxruntime-node, install version \d/],
  ["linux", "Error loading shared library ld-linux-x86-64.so.2: No such file", /glibc 2\.28.*not Alpine/],
  ["linux", "/lib64/libc.so.6: version `GLIBC_2.28' not found", /glibc 2\.28/],
  ["darwin", "Module did not self-register", /another copy/],
])("on %s, %j says what to do", (platform, message, remedy) => {
  expect(loadRemedy(platform, message)).toMatch(remedy);
});
