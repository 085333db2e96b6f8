import { describe, expect, test } from "vitest";
import { mismatch } from "../../src/checkpoint/errors.ts";
import { userError } from "../../src/lib/errors.ts";
import { FailureError, toFailure } from "../../src/lib/failure.ts";
import { runFailure } from "../../src/run/failure.ts";
import { NonFiniteError } from "../../src/train/step.ts";

describe("an error as data", () => {
  test("the remedy stands apart from what was wrong, once", () => {
    const error = userError("run-folder", "The disk is full.", "Free some space.");
    expect(toFailure(error)).toMatchObject({
      kind: "run-folder",
      message: "The disk is full.",
      remedy: "Free some space.",
      unexpected: false,
    });
    expect(toFailure(mismatch("a/b", "4 bytes", "3", "Resume from an earlier one."))).toMatchObject({
      kind: "checkpoint",
      message: "a/b: expected 4 bytes, found 3.",
      remedy: "Resume from an earlier one.",
      unexpected: false,
    });
  });

  test("survives a thread: the same data on the other side", () => {
    const failure = toFailure(userError("run-folder", "The disk is full.", "Free some space."));
    expect(toFailure(new FailureError(structuredClone(failure)))).toEqual(failure);
  });

  test.each([
    ["EMFILE", /ulimit -n/],
    ["EROFS", /may only be read/],
    ["EISDIR", /a folder, and a file is wanted/],
    ["ENOTDIR", /a file, and a folder is wanted/],
    ["EDQUOT", /free some space/],
  ])("%s of the system is no fault of ours", (code, remedy) => {
    const failure = toFailure(Object.assign(new Error(`${code}: open 'x'`), { code }));
    expect(failure).toMatchObject({ unexpected: false, remedy: expect.stringMatching(remedy) });
  });

  test("what nobody foresaw is our fault, and says so", () => {
    expect(toFailure(new TypeError("x is not a function"))).toMatchObject({ unexpected: true, remedy: null });
    expect(toFailure("text")).toMatchObject({ message: "text", unexpected: true });
  });

  test("a NaN without a checkpoint begins again", () => {
    const { message, remedy } = runFailure(
      new NonFiniteError(12, '"layers.0.attn.q" (matmul, [8, 16])', "loss"),
      "/nowhere",
    );
    expect(message).toContain(
      'step 12: the loss is not a finite number; the first node that made one is "layers.0.attn.q"',
    );
    expect(remedy).toContain("There is no checkpoint yet");
  });
});
