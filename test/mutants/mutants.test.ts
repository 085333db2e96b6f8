import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { FOLDERS } from "../../scripts/mutate/folders.ts";
import { mutants } from "./index.ts";

describe("what StrykerJS mutates", () => {
  const files = Object.values(FOLDERS)
    .flat()
    .flatMap(({ mutate, tests }) => [...mutate, ...tests]);
  const mutated = (folder: string): string[] => (FOLDERS[folder] ?? []).flatMap(({ mutate }) => mutate);
  it.each(files.filter((file) => !/[*!]/.test(file)))("%s is there", (file) => {
    expect(existsSync(file.replace(/:\d+-\d+$/, "")), file).toBe(true);
  });

  it("runs its tests with telemetry off, or every file that loads a session fails unseen", () => {
    const imports = readFileSync("scripts/mutate/stryker.ts", "utf8").match(/^import .*$/gm) ?? [];
    expect(imports[0]).toBe('import "../../src/runtime/no-telemetry.ts";');
  });

  it("is all of training and sampling that needs no session", () => {
    const pure = ["advantages.ts", "microbatch.ts", "schedule.ts", "rewards.ts"];
    for (const file of [...pure, "learning.ts"]) expect(mutated("train")).toContain(`src/train/${file}`);
    for (const name of ["scheduler", "sampling", "cache"])
      expect(mutated("sample")).toContain(`src/sample/${name}.ts`);
  });

  it("is every file of tasks but the threads", () => {
    const files = readdirSync("src/tasks").filter((name) => !/^(verifier|module)-/.test(name));
    const patterns = files.map((name) => `src/tasks/${name.endsWith(".ts") ? name : `${name}/*.ts`}`);
    expect(mutated("tasks").sort()).toEqual(patterns.sort());
  });
});

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
