import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Document, isTrained, PackedExamples } from "../../src/data/packing.ts";

/** Documents of these lengths in ids, again and again; each id says where it stands: document · 100 + index. */
const source =
  (lengths: readonly number[], trainFrom = 1) =>
  (index: number): Document => ({
    ids: Array.from({ length: lengths[index % lengths.length] }, (_, i) => index * 100 + i),
    trainFrom,
  });

describe("rows of whole examples (D5)", () => {
  it("by hand: first fit, prompts untrained, padding at the end", () => {
    // Lengths in a row: 4, 5, 3, 2, then the same again.
    const rows = new PackedExamples(source([5, 6, 4, 3], 2), 2, 8);
    const { ids, targets, weights, documents, trained } = rows.next();
    // Row 1: document 0 (4 of 8), 1 does not fit (5), 2 does (3 more), 3 does not (2 > 1). Row 2: 1 (5), 3 (2), then no one.
    expect(Array.from(ids)).toEqual([0, 1, 2, 3, 200, 201, 202, 0, 100, 101, 102, 103, 104, 300, 301, 0]);
    expect(Array.from(targets)).toEqual([1, 2, 3, 4, 201, 202, 203, 0, 101, 102, 103, 104, 105, 301, 302, 0]);
    expect(Array.from(documents)).toEqual([0, 0, 0, 0, 2, 2, 2, -1, 1, 1, 1, 1, 1, 3, 3, -1]);
    // The targets from the third id of each document on.
    expect(Array.from(weights)).toEqual([0, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0]);
    expect(trained).toBe(10);
    expect(rows.snapshot().waiting.slice(0, 2)).toEqual([4, 5]);
  });

  it("every trained token sees its whole prompt, whatever the lengths; each fitting example comes once a pass", () => {
    const lengths = fc.array(fc.integer({ min: 2, max: 14 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(lengths, fc.integer({ min: 1, max: 3 }), (given, batch) => {
        const seq = 10;
        fc.pre(given.some((length) => length <= seq + 1));
        const rows = new PackedExamples(source(given), batch, seq);
        const seen: number[] = [];
        for (let step = 0; step < 40; step++) {
          const { ids, targets, documents } = rows.next();
          for (let start = 0; start < ids.length; ) {
            const index = documents[start];
            let end = start;
            while (end < ids.length && documents[end] === index && (end === start || end % seq !== 0)) end++;
            if (index >= 0) {
              const { ids: whole } = source(given)(index);
              expect(Array.from(ids.slice(start, end))).toEqual(whole.slice(0, -1));
              expect(Array.from(targets.slice(start, end))).toEqual(whole.slice(1));
              seen.push(index);
            }
            start = end;
          }
        }
        expect(new Set(seen).size).toBe(seen.length);
        // First fit keeps the order but for the examples that wait.
        const fitting = (i: number) => given[i % given.length] <= seq + 1;
        const furthest = seen.reduce((most, i) => Math.max(most, i), 0);
        const all = Array.from({ length: furthest + 1 }, (_, i) => i).filter(fitting);
        const missing = all.filter((i) => !seen.includes(i));
        expect(missing.every((i) => rows.snapshot().waiting.includes(i))).toBe(true);
        expect(seen.every(fitting)).toBe(true);
      }),
      { seed: 5, numRuns: 60 },
    );
  });

  it("go on from a snapshot, as JSON, as if they had never stopped", () => {
    const lengths = [3, 9, 5, 2, 12, 7, 4];
    const [undisturbed, broken] = [
      new PackedExamples(source(lengths), 2, 10),
      new PackedExamples(source(lengths), 2, 10),
    ];
    for (let i = 0; i < 5; i++) expect(broken.next()).toEqual(undisturbed.next());
    const state = JSON.parse(JSON.stringify(broken.snapshot()));
    broken.next();
    const resumed = new PackedExamples(source(lengths), 2, 10, state);
    for (let i = 0; i < 5; i++) expect(resumed.next()).toEqual(undisturbed.next());
  });

  it("go on at the next example of a stream that an older version packed", () => {
    const packed = { nextDocument: 5, ids: [1, 2], trained: [true, true], documents: [4, 4] };
    const rows = new PackedExamples(source([3, 4, 5]), 1, 10, packed);
    expect(rows.next().documents[0]).toBe(5);
  });

  it("do not hang where no example fits", () => {
    expect(() => new PackedExamples(source([12]), 1, 10).next()).toThrow(/do not fit 10 tokens.*sequence/);
    expect(new PackedExamples(source([11]), 1, 10).next().trained).toBe(10);
  });

  it("train what is not marked, in rows of either kind", () => {
    const document: Document = { ids: [0, 1, 2, 3, 4, 5], trainFrom: 2, untrained: [[3, 5]] };
    expect([0, 1, 2, 3, 4, 5].map((i) => isTrained(document, i))).toEqual([
      false,
      false,
      true,
      false,
      false,
      true,
    ]);
    expect(Array.from(new PackedExamples(() => document, 1, 5).next().weights)).toEqual([0, 1, 0, 0, 1]);
  });
});
