import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Document, PackedStream } from "../../src/data/packing.ts";
import { MASKED } from "../../src/graph/ops/nn.ts";
import { causalMask, documentMask } from "../../src/models/masks.ts";
import { planMicroBatches } from "../../src/train/microbatch.ts";

/** Three documents; each id says where it stands: document · 100 + index. */
const documents: Document[] = [4, 1, 6].map((length, d) => ({
  ids: Array.from({ length }, (_, i) => d * 100 + i),
  trainFrom: [2, 0, 1][d],
}));
const cycle = (index: number): Document => documents[index % documents.length];

describe("PackedStream", () => {
  it("by hand: rows of 5", () => {
    const first = new PackedStream(cycle, 2, 5).next();
    // The stream is 0 1 2 3 | 100 | 200 201 202 203 204 205 | 0 1 2 3 | ...
    expect(Array.from(first.ids)).toEqual([0, 1, 2, 3, 100, 200, 201, 202, 203, 204]);
    expect(Array.from(first.targets)).toEqual([1, 2, 3, 100, 200, 201, 202, 203, 204, 205]);
    // A target is trained where its own document says so.
    expect(Array.from(first.weights)).toEqual([0, 1, 1, 1, 0, 1, 1, 1, 1, 1]);
    expect(Array.from(first.documents)).toEqual([0, 0, 0, 0, 1, 2, 2, 2, 2, 2]);
    expect(first.trained).toBe(8);
  });

  it("loses and doubles no token, whatever the lengths", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 7 }),
        (lengths, batch, seq) => {
          const source = (d: number): Document => ({
            ids: Array.from({ length: lengths[d % lengths.length] }, (_, i) => d * 10 + i),
            trainFrom: 0,
          });
          const batches = new PackedStream(source, batch, seq);
          const rows = Array.from({ length: 4 }, () => batches.next());
          const ids = rows.flatMap((r) => Array.from(r.ids));
          const targets = rows.flatMap((r) => Array.from(r.targets));
          const stream: number[] = [];
          for (let d = 0; stream.length <= ids.length; d++) stream.push(...source(d).ids);
          expect(ids).toEqual(stream.slice(0, ids.length));
          expect(targets).toEqual(stream.slice(1, ids.length + 1));
        },
      ),
      { seed: 1, numRuns: 100 },
    );
  });

  it("A9: goes on from a snapshot, as JSON, as if it had never stopped", () => {
    const undisturbed = new PackedStream(cycle, 2, 3);
    const broken = new PackedStream(cycle, 2, 3);
    for (let i = 0; i < 5; i++) expect(broken.next()).toEqual(undisturbed.next());
    const state = JSON.parse(JSON.stringify(broken.snapshot()));
    // What is drawn after the snapshot does not count: the process was killed.
    broken.next();
    const resumed = new PackedStream(cycle, 2, 3, state);
    for (let i = 0; i < 5; i++) expect(resumed.next()).toEqual(undisturbed.next());
  });

  it("does not hang on documents without tokens", () => {
    const empty = new PackedStream(() => ({ ids: [], trainFrom: 0 }), 1, 4);
    expect(() => empty.next()).toThrow(/no tokens/);
  });
});

describe("masks", () => {
  const visible = (data: ArrayLike<number>): number[] =>
    Array.from(data, (v) => (v === 0 ? 1 : v === MASKED ? 0 : Number.NaN));

  it("causal: the past and oneself", () => {
    const mask = causalMask(3);
    expect(mask.shape).toEqual([1, 1, 3, 3]);
    expect(visible(mask.data as Float32Array)).toEqual([1, 0, 0, 1, 1, 0, 1, 1, 1]);
  });

  it("documents: only one's own", () => {
    const mask = documentMask(Int32Array.from([7, 7, 8, 9, 9, 9]), 2, 3);
    expect(mask.shape).toEqual([2, 1, 3, 3]);
    expect(visible(mask.data as Float32Array)).toEqual([
      ...[1, 0, 0, 1, 1, 0, 0, 0, 1],
      ...[1, 0, 0, 1, 1, 0, 1, 1, 1],
    ]);
  });
});

describe("planMicroBatches", () => {
  it("by hand: shortest first, lengths rounded up to 16, within 64 tokens", () => {
    expect(planMicroBatches([20, 3, 16, 17, 100, 5], 64)).toEqual([
      { rows: [1, 5, 2], seq: 16 },
      { rows: [3, 0], seq: 32 },
      { rows: [4], seq: 112 },
    ]);
    expect(planMicroBatches([], 64)).toEqual([]);
  });

  it("pads no row beyond the model's positions", () => {
    expect(planMicroBatches([100, 90], 4096, 100)).toEqual([{ rows: [1, 0], seq: 100 }]);
  });

  it("holds every row once, in rows long enough, within the limit", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 200 })),
        fc.integer({ min: 16, max: 600 }),
        (lengths, tokens) => {
          const plans = planMicroBatches(lengths, tokens);
          expect(plans.flatMap((p) => p.rows).sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i));
          for (const { rows, seq } of plans) {
            expect(Math.max(...rows.map((r) => lengths[r]))).toBeLessThanOrEqual(seq);
            expect(seq % 16).toBe(0);
            if (rows.length > 1) expect(rows.length * seq).toBeLessThanOrEqual(tokens);
          }
        },
      ),
      { seed: 2, numRuns: 200 },
    );
  });
});
