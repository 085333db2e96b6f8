/** Where a model's file is mapped from: a disk. */
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterEach, expect, it, vi } from "vitest";
import { temporaryFolder } from "../../src/sample/fixed.ts";

const [EXT4, TMPFS] = [0xef53, 0x01021994];

afterEach(() => vi.unstubAllEnvs());

it("is the system's, on a disk or where the user names one", () => {
  vi.stubEnv("TMPDIR", undefined);
  expect(temporaryFolder(() => EXT4)).toBe(tmpdir());
  vi.stubEnv("TMPDIR", "/somewhere");
  expect(temporaryFolder(() => TMPFS)).toBe(tmpdir());
});

it.runIf(process.platform === "linux" && existsSync("/var/tmp"))("is not in memory", () => {
  vi.stubEnv("TMPDIR", undefined);
  expect(temporaryFolder(() => TMPFS)).toBe("/var/tmp");
});
