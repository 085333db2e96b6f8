/** The cache of pulled models: what is whole is found by its name. */
import fs from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { pulledModel, pullFolder, rememberPulled } from "../../src/checkpoint/download.ts";
import { temporaryFolder } from "./temporary.ts";

let cache: string;
beforeEach(() => {
  cache = temporaryFolder();
  vi.stubEnv("SPUTNIK_CACHE", cache);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** A pull of these files at a commit; `whole` says that it came to its end. */
function pull(commit: string, files: string[], { name = "org/tiny", whole = true } = {}): string {
  const model = { name, commit: commit.repeat(40), files: [] };
  const folder = pullFolder(model);
  fs.mkdirSync(folder, { recursive: true });
  for (const file of files) fs.writeFileSync(join(folder, file), "{}");
  if (whole) rememberPulled(model, files);
  return folder;
}

test("a folder, in the cache that was named", () => {
  const folder = pull("a", ["config.json", "model.safetensors"]);
  expect(folder).toBe(join(cache, "models", "org--tiny", "a".repeat(12)));
  expect(pulledModel("org/tiny")).toBe(folder);
});

test("a GGUF file itself", () => {
  const folder = pull("a", ["tiny.Q8_0.gguf"]);
  expect(pulledModel("org/tiny")).toBe(join(folder, "tiny.Q8_0.gguf"));
});

test("of several commits the one that was pulled last, of a broken download none", () => {
  const [first] = [pull("a", ["config.json"]), pull("b", ["config.json"])];
  expect(pulledModel("org/tiny")).toContain("b".repeat(12));
  pull("a", ["config.json"]);
  pull("c", ["config.json"], { whole: false });
  expect(pulledModel("org/tiny")).toBe(first);
  pull("a", ["config.json"], { name: "org/cut", whole: false });
  expect(pulledModel("org/cut")).toBeNull();
});

test("none: other names, a folder that was removed, and names that lead elsewhere", () => {
  const folder = pull("a", ["config.json"]);
  fs.writeFileSync(join(dirname(dirname(folder)), "last"), "org--tiny\n");
  for (const name of ["org/other", "tiny", "", ".", "..", "../models", "org/tiny/x"])
    expect(pulledModel(name), name).toBeNull();
  fs.rmSync(folder, { recursive: true });
  expect(pulledModel("org/tiny")).toBeNull();
});
