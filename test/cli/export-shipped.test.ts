import fs from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exportModel } from "../../src/cli/export.ts";
import { SHIPPED } from "../../src/recipe/find-model.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

test("a model without its run's journals is exported with the report that came along, and stays as it was", () => {
  const source = join(temporaryFolder(), "model");
  fs.cpSync(SHIPPED, source, { recursive: true });
  const target = join(temporaryFolder(), "target");
  exportModel(source, target, {});
  const report = (folder: string) => fs.readFileSync(join(folder, "report.md"), "utf8");
  expect(report(source)).toBe(report(SHIPPED));
  expect(report(target)).toBe(report(SHIPPED));
  expect(report(target)).toContain("r1-zero");
});
