import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dependencies, dependencyOrder, repositoryDocuments } from "../../src/data/repository.ts";

const edges = (graph: Record<string, string[]>) =>
  new Map(Object.entries(graph).map(([path, used]) => [path, new Set(used)]));

describe("the order of algorithm 1", () => {
  it("what is used comes first, part by part", () => {
    // main uses a and b, a uses b; x and y have nothing to do with them.
    expect(dependencyOrder(edges({ main: ["a", "b"], x: ["y"], a: ["b"], b: [], y: [] }))).toEqual([
      ["b", "a", "main"],
      ["y", "x"],
    ]);
  });

  it("a cycle is broken where the fewest files are waited for", () => {
    // a waits for two files, b and c for one each, and b comes first; then all wait for one, and a was given first.
    expect(dependencyOrder(edges({ a: ["b", "c"], b: ["a"], c: ["a"] }))).toEqual([["b", "a", "c"]]);
    // Nothing is free at first: d waits for one of the ring, and goes only after it.
    expect(dependencyOrder(edges({ d: ["a"], a: ["b"], b: ["c"], c: ["a"] }))).toEqual([
      ["d", "a", "c", "b"],
    ]);
  });

  const graphs = fc
    .integer({ min: 1, max: 12 })
    .chain((size) =>
      fc
        .array(fc.tuple(fc.nat(size - 1), fc.nat(size - 1)), { maxLength: 30 })
        .map((pairs) => ({ size, pairs })),
    );

  it("any graph: each file once, and files of different documents share no edge", () => {
    fc.assert(
      fc.property(graphs, ({ size, pairs }) => {
        const graph = new Map(Array.from({ length: size }, (_, i) => [`${i}`, new Set<string>()]));
        for (const [a, b] of pairs) if (a !== b) graph.get(`${a}`)?.add(`${b}`);
        const parts = dependencyOrder(graph);
        expect(parts.flat().sort()).toEqual([...graph.keys()].sort());
        const partOf = new Map(parts.flatMap((part, i) => part.map((path) => [path, i])));
        for (const [a, used] of graph) for (const b of used) expect(partOf.get(a)).toBe(partOf.get(b));
      }),
    );
  });

  it("any graph without a cycle: every file after all that it uses", () => {
    fc.assert(
      fc.property(graphs, ({ size, pairs }) => {
        const graph = new Map(Array.from({ length: size }, (_, i) => [`${i}`, new Set<string>()]));
        // Edges lead from larger numbers to smaller ones.
        for (const [a, b] of pairs) if (a !== b) graph.get(`${Math.max(a, b)}`)?.add(`${Math.min(a, b)}`);
        const place = new Map(
          dependencyOrder(graph)
            .flat()
            .map((path, i) => [path, i]),
        );
        for (const [a, used] of graph)
          for (const b of used) expect(place.get(a)).toBeGreaterThan(place.get(b) as number);
      }),
    );
  });
});

describe("imports", () => {
  const paths = [
    "src/main.ts",
    "src/util/index.ts",
    "src/util/text.ts",
    "pkg/__init__.py",
    "pkg/core.py",
    "pkg/sub/leaf.py",
    "lib/com/acme/Tool.java",
    "include/acme/tool.h",
    "twice/one/same.h",
    "twice/two/same.h",
  ];
  const uses = (path: string, text: string): string[] => [
    ...(dependencies([
      { path, text },
      ...paths.filter((p) => p !== path).map((p) => ({ path: p, text: "" })),
    ]).get(path) ?? []),
  ];

  it.each<[string, string, string[]]>([
    ["src/main.ts", 'import { a } from "./util/text.ts";', ["src/util/text.ts"]],
    ["src/main.ts", 'import {\n  a,\n  b,\n} from "./util/text.js";', ["src/util/text.ts"]],
    [
      "src/main.ts",
      'export * from "./util";\nconst t = require("./util/text")',
      ["src/util/index.ts", "src/util/text.ts"],
    ],
    ["src/util/text.ts", 'await import("../main.ts"); import React from "react";', ["src/main.ts"]],
    ["src/util/text.ts", 'import core from "./core";', []],
    [
      "pkg/core.py",
      "from . import sub\nfrom .sub import leaf, nothing",
      ["pkg/__init__.py", "pkg/sub/leaf.py"],
    ],
    ["pkg/sub/leaf.py", "from ..core import f\n\n\nimport os, pkg", ["pkg/core.py", "pkg/__init__.py"]],
    ["pkg/sub/leaf.py", "    import pkg.core as c", ["pkg/core.py"]],
    ["lib/Main.java", "import static java.util.List;\nimport com.acme.Tool;", ["lib/com/acme/Tool.java"]],
    ["lib/Main.cs", "using System;\nusing com.acme.Tool;", ["lib/com/acme/Tool.java"]],
    ["src/tool.c", '#include <stdio.h>\n  # include "acme/tool.h"', ["include/acme/tool.h"]],
    // Two files have this name, so neither is meant for certain; beside one of them it is that one.
    ["src/tool.c", '#include "same.h"', []],
    ["twice/two/x.c", '#include "same.h"', ["twice/two/same.h"]],
    ["src/main.ts", 'import "./main.ts"; // from nowhere', []],
    ["src/main.ts", 'import "../../outside.ts";', []],
  ])("%s: %j", (path, text, expected) => {
    expect(uses(path, text).sort()).toEqual(expected.sort());
  });

  it("a megabyte of blanks is read at once", () => {
    const start = performance.now();
    expect(uses("src/main.ts", `${" \n".repeat(500_000)}import ${"a, ".repeat(100_000)}`)).toEqual([]);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

it("documents: files in order, each under a comment with its path", () => {
  const files = [
    { path: "a/main.py", text: "import helper\nprint(helper.x)" },
    { path: "a/helper.py", text: "x = 1\n" },
    { path: "style.css", text: "b {}\n" },
  ];
  expect(repositoryDocuments(files)).toEqual([
    "# a/helper.py\nx = 1\n# a/main.py\nimport helper\nprint(helper.x)\n",
    "/* style.css */\nb {}\n",
  ]);
});
