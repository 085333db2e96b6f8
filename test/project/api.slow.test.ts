/** The API reference can be built, and every name that an entry point exports has a docstring. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";

const out = mkdtempSync(join(tmpdir(), "sputnik-test-api-"));
afterAll(() => rmSync(out, { recursive: true }));
const readJson = (file: string) => JSON.parse(readFileSync(file, "utf8"));

it("typedoc reads the source of every entry point that package.json exports", () => {
  const { exports } = readJson("package.json") as { exports: Record<string, { default: string }> };
  const sources = Object.values(exports)
    .filter((entry) => typeof entry === "object")
    .map((entry) => entry.default.replace(/^\.\/dist\/(.+)\.js$/, "src/$1.ts"));
  expect(readJson("typedoc.json").entryPoints.sort()).toEqual(sources.sort());
});

it("typedoc warns of nothing", () => {
  const words = ["node_modules/typedoc/bin/typedoc", "--out", out];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: "utf8" });
  expect(stdout + stderr).not.toMatch(/warning|error/);
  expect(status).toBe(0);
  expect(existsSync(join(out, "functions", "sputnik-r1_graph.matmul.html"))).toBe(true);
});
