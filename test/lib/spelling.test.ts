import { expect, test } from "vitest";
import { editDistance, nearest } from "../../src/lib/spelling.ts";

test("edit distance counts a swap of neighbours once", () => {
  expect(editDistance("kitten", "sitting")).toBe(3);
  expect(editDistance("layesr", "layers")).toBe(1);
  expect(editDistance("", "abc")).toBe(3);
  expect(editDistance("same", "same")).toBe(0);
});

test("nearest forgives other ways to join words and gives up on strangers", () => {
  expect(nearest("group_size", ["groupSize", "steps"])).toBe("groupSize");
  expect(nearest("lyers", ["layers", "heads"])).toBe("layers");
  expect(nearest("zzzz", ["layers", "heads"])).toBeNull();
  expect(nearest("x", [])).toBeNull();
});
