/** Rows of data files: JSONL and JSON lists are read, everything else is named with its place and what to do. */
import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { isUserError, type UserError } from "../../src/lib/errors.ts";
import { kindOf, readDataText, readRows } from "../../src/tasks/rows.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

const folder = temporaryFolder();
const EXPECTED = 'a JSON object such as {"a": 1}';

function rows(content: string | Uint8Array, name = "rows.jsonl"): [string, unknown][] {
  const path = join(folder, name);
  fs.writeFileSync(path, content);
  return Array.from(readRows(path, EXPECTED), ({ fields, place }) => [place, fields]);
}

describe("rows are read", () => {
  const AB: [string, unknown][] = [
    ["line 1", { a: 1 }],
    ["line 3", { b: "\u2028" }],
  ];
  it.each<[string, string]>([
    ["a line each, with an empty one", '{"a": 1}\n\n{"b": "\u2028"}\n'],
    ["without a line end at the end", '{"a": 1}\n \n{"b": "\u2028"}'],
    ["with Windows' line ends and marks", '\uFEFF{"a": 1}\r\n\r\n\uFEFF{"b": "\u2028"}\r\n'],
    ["with carriage returns", '{"a": 1}\r\r{"b": "\u2028"}\r'],
  ])("%s", (_, content) => {
    expect(rows(content)).toEqual(AB);
    expect(rows(Buffer.from(`\uFEFF${content}`, "utf16le"))).toEqual(AB);
  });

  it.each<[string, string]>([
    ["on one line", '[{"a": 1}, {"a": 2}]'],
    ["over several", '\n[\n  {"a": 1},\n  {"a": 2}\n]\n'],
    ["that begin on the first", '[{"a": 1},\n {"a": 2}]'],
  ])("as entries of a JSON list %s", (_, content) => {
    expect(rows(content, "rows.json")).toEqual([
      ["entry 1", { a: 1 }],
      ["entry 2", { a: 2 }],
    ]);
  });
});

describe("what is no row is named", () => {
  it.each<[string, string, RegExp]>([
    [
      "null",
      '{"a": 1}\nnull\n',
      /rows\.jsonl, line 2: null, not an object\. Expected: a JSON object such as/,
    ],
    ["a list", '{"a": 1}\n["x"]\n', /line 2: a list, not an object/],
    ["lists, a line each", '["x"]\n["y"]\n', /line 1: a list, not an object/],
    ["a number", "5\n", /line 1: the number 5, not an object/],
    ["a text", '"row"\n', /line 1: the text "row", not an object/],
    ["half a row at the end", '{"a": 1}\n{"a": "so', /line 2: not JSON .*; the file ends within this line/],
    [
      "half a row before the end",
      '{"a": "so\n{"a": 1}\n',
      /line 1: not JSON \((?!.*file ends within).*\)\. Expected/,
    ],
    ["two rows on a line", '{"a": 1}{"a": 2}\n', /line 1: not JSON/],
    ["single quotes", "{'a': 1}\n", /line 1: not JSON/],
    ["an escape sequence", '{"a": "\x1b[2J"}\n', /line 1: not JSON \([ -~]*\)/],
    ["nothing", "\n \n", /rows\.jsonl: the file has no rows/],
    ["an empty list", "[]", /the file has no rows/],
    ["a list with a gap", '[{"a": 1}, null]', /rows\.jsonl: entry 2: null, not an object/],
    [
      "an object over several lines",
      '{\n "version": 1,\n "data": [{"a": 1}]\n}\n',
      /one JSON object over several lines, with the keys version, data.*jq -c '\.data\[\]'/,
    ],
    ["rows over several lines", '{\n "a": 1\n}\n{\n "a": 2\n}\n', /JSON over several lines .*jq -c \. /],
  ])("%s", (_, content, message) => {
    expect(() => rows(content)).toThrow(expect.objectContaining({ kind: "data-set" }));
    expect(() => rows(content)).toThrow(message);
  });

  it("a table, by its ending", () => {
    expect(() => rows("a,b\n1,2\n", "rows.csv")).toThrow(/line 1: not JSON: a table.*Convert it to JSONL/);
  });

  it("with its remedy as data", () => {
    expect(() => rows("version https://git-lfs.github.com/spec/v1\nsize 5\n")).toThrow(
      expect.objectContaining({
        data: expect.objectContaining({ line: null }),
        remedy: "Fetch the file itself: git lfs pull",
      }),
    );
  });
});

const refused = (content: string, name = "rows.jsonl"): UserError => {
  try {
    rows(content, name);
  } catch (error) {
    if (isUserError(error, "data-set")) return error;
    throw error;
  }
  throw new Error("not refused");
};

describe("a refusal", () => {
  it("says file, what is there, what was expected, and a remedy only where there is one", () => {
    const path = join(folder, "rows.jsonl");
    const error = refused("5\n");
    expect(error.kind).toBe("data-set");
    expect(error.message).toBe(`${path}, line 1: the number 5, not an object. Expected: ${EXPECTED}.`);
    expect(refused("\n").message).toBe(`${path}: the file has no rows. Expected: ${EXPECTED}.`);
  });

  it("of a table is the first line's of a file so named, and no other's", () => {
    expect(refused("a\tb\n", "rows.TSV").found).toContain("a table");
    expect(refused("a,b\n", "rows.csv.jsonl").found).toMatch(/^not JSON \(/);
    expect(refused('{"a": 1}\na,b\n', "rows.csv").found).toMatch(/^not JSON \(/);
  });

  it("of a later line is that line's, whatever it begins with", () => {
    expect(refused('{"a": 1}\n{\n').data.line).toBe(2);
    expect(refused('{"a": 1}\n[]\n')).toMatchObject({ data: { line: 2 }, found: "a list, not an object" });
    expect(refused('{"a": 1}\n[{"a": 1}]\n')).toMatchObject({
      data: { line: 2 },
      found: "a list, not an object",
    });
    expect(refused("x[\n").data.line).toBe(1);
    expect(refused("x[\n1]\n").data.line).toBe(1);
    expect(refused("[ x\n").data.line).toBe(1);
    expect(refused(" [ \n x\n")).toMatchObject({ data: { line: null } });
  });

  it("of one object without a list names the whole", () => {
    expect(refused('{\n "a": 1\n}\n').remedy).toMatch(/jq -c \. .*rows\.jsonl > rows\.jsonl$/);
  });
});

it("a data file's text is read, or refused by name", () => {
  const path = join(folder, "text.txt");
  fs.writeFileSync(path, "some\ntext");
  expect(readDataText(path, "text")).toBe("some\ntext");
  expect(() => readDataText(join(folder, "none.txt"), "text")).toThrow(
    expect.objectContaining({ kind: "data-set" }),
  );
});

it.each<[unknown, string]>([
  [undefined, "nothing"],
  [null, "null"],
  [[1], "a list"],
  [{}, "an object"],
  ["a", 'the text "a"'],
  [-2.5, "the number -2.5"],
  [true, "true"],
])("%j is called %s", (value, name) => {
  expect(kindOf(value)).toBe(name);
});
