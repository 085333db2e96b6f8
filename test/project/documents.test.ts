/** The documents name what there is: folders, files and npm commands. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "AGENTS.md", "SECURITY.md"];
const read = (file: string): string => readFileSync(file, "utf8");
const matches = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map(([, name]) => name);

it("ARCHITECTURE.md has a row for each folder of src/ and for no other, from high to low", () => {
  const rows = matches(read("ARCHITECTURE.md"), /^\| `([a-z.]+)` +\|/gm);
  expect([...rows].sort()).toEqual(readdirSync("src").sort());
  const layers = read("scripts/imports.ts").match(/const LAYERS = \[\n([\s\S]*?)\n\];/)?.[1] ?? "";
  const layerOf = new Map(
    layers.split("\n").flatMap((row, layer) => matches(row, /"([^"]+)"/g).map((name) => [name, layer])),
  );
  const order = rows.map((name) => layerOf.get(name)!);
  expect(order).toEqual([...order].sort((a, b) => b - a));
});

it("AGENTS.md has the layers of scripts/imports.ts", () => {
  const said = read("AGENTS.md").split("## Layers")[1].split("Import only")[0];
  const layers = read("scripts/imports.ts").match(/const LAYERS = \[\n([\s\S]*?)\n\];/)?.[1] ?? "";
  expect(said.split("<").map((row) => matches(row, /`([^`]+)`/g))).toEqual(
    layers.split("\n").map((row) => matches(row, /"([^"]+)"/g)),
  );
});

describe.each(DOCUMENTS)("%s", (document) => {
  const text = read(document);

  it("links to files that exist", () => {
    const links = matches(text, /\]\(([^)#]+)\)/g).filter((link) => !/^https?:/.test(link));
    for (const link of links) expect(existsSync(link), link).toBe(true);
  });

  it("names files that exist", () => {
    const paths = matches(text, /`((?:src|test|scripts|bench|recipes|models)\/[^`\s*]*)`/g);
    for (const path of paths) expect(existsSync(path), path).toBe(true);
  });

  it("names npm commands that exist", () => {
    const { scripts } = JSON.parse(read("package.json"));
    for (const name of matches(text, /npm run (?:-s |--silent )?([a-z:-]+)/g))
      expect(scripts, name).toHaveProperty([name]);
  });
});

/** Whoever renames a file of src/ everywhere must not rename it there. */
it("the child of an earlier commit, in bench/house, imports files of that commit", ({ skip }) => {
  const inCommit = (path: string) => spawnSync("git", ["cat-file", "-e", `edeca32:${path}`]).status === 0;
  if (!inCommit("package.json")) skip("this clone does not have the commit");
  for (const path of matches(read("bench/house/child-edeca32.mjs"), /"\.\.\/\.\.\/(src\/[^"]+)"/g))
    expect(inCommit(path), path).toBe(true);
});
