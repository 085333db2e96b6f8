/** Partial selection against a sort of everything. */
import { describe, expect, it } from "vitest";
import { Random } from "../../src/lib/random.ts";
import { likeliestIds, type Sampling, sampleToken } from "../../src/sample/sampling.ts";

const VOCABULARY = 3000;

/** Normal logits, or such that have only a few values, so that ties lie across every border. */
function logits(seed: number, tied: boolean): Float32Array {
  const random = new Random("likeliest", seed);
  return Float32Array.from({ length: VOCABULARY }, () =>
    tied ? Math.floor(random.uniform() * 6) : 3 * random.normal(),
  );
}

const sorted = (row: Float32Array): number[] =>
  Array.from(row, (_, i) => i).sort((a, b) => row[b] - row[a] || a - b);

/** `sampleToken` in the plainest way: everything is sorted. */
function sampledSlowly(row: Float32Array, { temperature, topK, topP = 1 }: Sampling, random: Random) {
  const peak = Math.max(...row);
  const weight = (id: number): number => Math.exp((row[id] - peak) / temperature);
  const likeliest = sorted(row).slice(0, topK);
  const nucleus = topP * likeliest.reduce((sum, id) => sum + weight(id), 0);
  const kept: number[] = [];
  let mass = 0;
  for (const id of likeliest) {
    kept.push(id);
    mass += weight(id);
    if (mass >= nucleus) break;
  }
  let rest = random.uniform() * mass;
  return kept.find((id) => {
    rest -= weight(id);
    return rest < 0;
  });
}

describe("the likeliest ids", () => {
  for (const tied of [false, true])
    it(`are those of a whole sort, ${tied ? "with" : "without"} ties`, () => {
      const row = logits(1, tied);
      const all = sorted(row);
      for (const count of [1, 2, 64, 500, 749, 750, 2999, VOCABULARY])
        expect(Array.from(likeliestIds(row, count))).toEqual(all.slice(0, count));
    });

  it.each<Sampling>([
    { temperature: 1, topK: 5 },
    { temperature: 1, topK: 200, topP: 0.9 },
    { temperature: 0.7, topP: 0.95 },
    // The whole vocabulary but its tail is the nucleus.
    { temperature: 2.5, topP: 0.999 },
  ])("are drawn as if everything were sorted: %o", (options) => {
    for (let seed = 0; seed < 30; seed++) {
      const row = logits(seed, seed % 3 === 0);
      const { id } = sampleToken(row, 0, VOCABULARY, options, new Random(seed));
      expect(id).toBe(sampledSlowly(row, options, new Random(seed)));
    }
  });
});
