/** Rows of logits from which nothing can be drawn are an error, not token 0. */
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/lib/errors.ts";
import { Random } from "../../src/lib/random.ts";
import { drawFor, sampleToken, verifyDraft } from "../../src/sample/sampling.ts";

const { NaN: none, POSITIVE_INFINITY: high, NEGATIVE_INFINITY: low } = Number;

describe("a row of logits", () => {
  it.each<[string, number[], string]>([
    ["NaN first", [none, 1, 2], "that of id 0 is NaN"],
    ["NaN last", [0, 1, none], "that of id 2 is NaN"],
    ["+∞", [0, high, 2], "that of id 1 is Infinity"],
    ["nothing but -∞", [low, low, low], "all are -Infinity"],
  ])("%s", (_name, row, found) => {
    // The row stands between two others.
    const logits = Float32Array.from([5, 6, 7, ...row, 8, 9, 10]);
    for (const options of [
      { temperature: 0 },
      { temperature: 0.7 },
      { temperature: 1, topK: 2 },
      { temperature: 1, topP: 0.5 },
    ]) {
      const draw = () => sampleToken(logits, 3, 3, options, new Random(1));
      expect(draw).toThrow(expect.objectContaining({ kind: "logits", found }));
      expect(draw).toThrow(`a row: the model's logits are not finite numbers: ${found}.`);
    }
  });

  it("the weights of a graph say so too", () => {
    const logits = Float32Array.of(1, 2);
    const draw = (weights: Float32Array) => () =>
      sampleToken(logits, 0, 2, { temperature: 1e-30 }, new Random(1), weights);
    expect(draw(Float32Array.of(none, none))).toThrow("divided by the temperature they overflow");
    expect(draw(Float32Array.of(0, 1))).not.toThrow();
  });

  it("some of -∞ are tokens that are never drawn", () => {
    for (let seed = 0; seed < 20; seed++)
      expect(sampleToken(Float32Array.of(low, 1, low), 0, 3, { temperature: 1 }, new Random(seed))).toEqual({
        id: 1,
        logProb: 0,
      });
  });

  it("a draft's and a target's", () => {
    const fine = Float32Array.of(1, 2, 3);
    const bad = Float32Array.of(1, none, 3);
    const weights = (row: Float32Array) => row.map((x) => Math.exp(x - 3));
    const verify = (target: Float32Array, draft: Float32Array) => () =>
      verifyDraft(
        { logits: target, weights: weights(target), offset: 0, vocabSize: 3 },
        { id: 2, logits: draft, offset: 0 },
        { temperature: 1 },
        new Random(1),
      );
    expect(verify(fine, fine)).not.toThrow();
    expect(verify(bad, fine)).toThrow("that of id 1 is NaN");
    expect(verify(fine, bad)).toThrow("that of id 1 is NaN");
  });

  it("says whose they are, and lets other errors pass", () => {
    const draw = () => {
      throw new UserError({ kind: "logits", what: "bad", found: "that of id 5 is NaN" });
    };
    expect(() => drawFor(3, 17, 42, draw)).toThrow(
      "request 3, new token 17 (position 42): the model's logits are not finite numbers: that of id 5 is NaN.",
    );
    const other = new Error("other");
    expect(() =>
      drawFor(3, 17, 42, () => {
        throw other;
      }),
    ).toThrow(other);
    expect(drawFor(3, 17, 42, () => 7)).toBe(7);
  });
});
