import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { mutants } from "./index.ts";

describe("the committed mutants", () => {
  it("are at least 80, and no two are equal", () => {
    const keys = mutants.map(({ file, find, replace }) => JSON.stringify([file, find, replace]));
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys.length).toBeGreaterThanOrEqual(80);
  });

  it.each(mutants.map((mutant) => [mutant.file, mutant.find, mutant] as const))(
    "%s: %s",
    (file, find, { replace, test }) => {
      const source = readFileSync(file, "utf8");
      expect(source.split(find).length - 1, "occurrences").toBe(1);
      expect(replace).not.toBe(find);
      expect(existsSync(test), test).toBe(true);
    },
  );
});
