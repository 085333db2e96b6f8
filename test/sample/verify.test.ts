/** What verification gives is a sample of the target, whatever the draft was drawn from. */
import { describe, expect, it } from "vitest";
import { Random } from "../../src/lib/random.ts";
import {
  fillGumbel,
  keptIds,
  logitScale,
  type Sampling,
  softmaxWeights,
  verifyDraft,
} from "../../src/sample/sampling.ts";

const DRAWS = 20_000;
/** Rows of their own at an offset, so that a wrong offset shows. */
const logits = Float32Array.from([9, 9, 1.2, -0.4, 0.3, 2.0, -3, 0.9, 9]);
const drafted = Float32Array.from([7, 0.1, 0.4, 1.5, 1.9, 1, -1, 7]);
const [OFFSET, DRAFT_OFFSET, VOCABULARY] = [2, 1, 6];

/** Draws drafts from their own distribution and verifies each. */
function run(options: Sampling, random: Random) {
  const weights = softmaxWeights(logits, OFFSET, VOCABULARY, logitScale(options));
  const row = { logits, weights, offset: OFFSET, vocabSize: VOCABULARY };
  const counts = new Array<number>(VOCABULARY).fill(0);
  const noise = new Float32Array(VOCABULARY);
  let accepted = 0;
  const logProbs: number[] = [];
  for (let i = 0; i < DRAWS; i++) {
    fillGumbel(noise, options.temperature, random);
    const perturbed = noise.map((x, id) => x + drafted[DRAFT_OFFSET + id]);
    const id = perturbed.indexOf(Math.max(...perturbed));
    const token = verifyDraft(row, { id, logits: drafted, offset: DRAFT_OFFSET }, options, random);
    expect(token.accepted ? token.id : id).toBe(id);
    counts[token.id]++;
    if (token.accepted) accepted++;
    logProbs[token.id] = token.logProb;
  }
  const whole = weights.subarray(OFFSET).reduce((sum, w) => sum + w, 0);
  const kept = keptIds(row, options) ?? [0, 1, 2, 3, 4, 5];
  const mass = kept.reduce((sum, id) => sum + weights[OFFSET + id], 0);
  const p = counts.map((_, id) => (kept.includes(id) ? weights[OFFSET + id] / mass : 0));
  return { counts, accepted: accepted / DRAWS, p, logProbs, whole, weights };
}

const q = (() => {
  const weights = Array.from(drafted.subarray(DRAFT_OFFSET, DRAFT_OFFSET + VOCABULARY), Math.exp);
  return weights.map((w) => w / weights.reduce((sum, x) => sum + x));
})();

describe("verifyDraft", () => {
  it.each<[string, Sampling]>([
    ["T = 1", { temperature: 1 }],
    ["T = 0.7", { temperature: 0.7 }],
    ["top-k 2", { temperature: 1, topK: 2 }],
    ["top-p 0.75", { temperature: 1, topP: 0.75 }],
    ["top-k 4 of which top-p 0.8", { temperature: 1.3, topK: 4, topP: 0.8 }],
  ])(
    "%s: the target's distribution, and the share of drafts that Leviathan's theorem 3.5 names",
    (_name, options) => {
      const { counts, accepted, p, logProbs, whole, weights } = run(
        options,
        new Random(3, JSON.stringify(options)),
      );
      counts.forEach((count, id) => {
        const spread = Math.sqrt(DRAWS * p[id] * (1 - p[id]));
        // Four standard deviations: one of 16,000 such counts lies outside by chance, and the seed is fixed.
        expect(Math.abs(count - DRAWS * p[id]), `id ${id}`).toBeLessThanOrEqual(4 * spread);
      });
      const alpha = p.reduce((sum, share, id) => sum + Math.min(share, q[id]), 0);
      expect(Math.abs(accepted - alpha)).toBeLessThan(4 * Math.sqrt((alpha * (1 - alpha)) / DRAWS));
      // Of the whole distribution, before top-k and top-p.
      logProbs.forEach((logProb, id) => {
        expect(logProb).toBeCloseTo(Math.log(weights[OFFSET + id] / whole), 9);
      });
    },
  );

  it("greedy keeps the likeliest token alone and draws nothing", () => {
    const options = { temperature: 0 };
    const weights = softmaxWeights(logits, OFFSET, VOCABULARY, 1);
    const row = { logits, weights, offset: OFFSET, vocabSize: VOCABULARY };
    const random = new Random(1);
    const before = random.state();
    for (let id = 0; id < VOCABULARY; id++) {
      const token = verifyDraft(row, { id, logits: drafted, offset: DRAFT_OFFSET }, options, random);
      expect([token.id, token.accepted]).toEqual([3, id === 3]);
    }
    const noise = new Float32Array(4).fill(1);
    fillGumbel(noise, 0, random);
    expect([...noise]).toEqual([0, 0, 0, 0]);
    expect(random.state()).toEqual(before);
  });

  it("a draft from the target itself always stays", () => {
    const random = new Random(2);
    const options = { temperature: 1 };
    const weights = softmaxWeights(logits, OFFSET, VOCABULARY, 1);
    const row = { logits, weights, offset: OFFSET, vocabSize: VOCABULARY };
    for (let i = 0; i < 600; i++) {
      const token = verifyDraft(row, { id: i % VOCABULARY, logits, offset: OFFSET }, options, random);
      expect(token.accepted).toBe(true);
    }
  });

  it("the only token that top-k keeps always stays, however sure the draft is of it", () => {
    const weights = softmaxWeights(logits, OFFSET, VOCABULARY, 1);
    const row = { logits, weights, offset: OFFSET, vocabSize: VOCABULARY };
    // The target gives it 0.485 before top-k and 1 after; the draft gives it 0.9.
    const sure = Float32Array.from([0, 0, 0, Math.log(45), 0, 0]);
    const random = new Random(4);
    for (let i = 0; i < 200; i++) {
      const token = verifyDraft(row, { id: 3, logits: sure, offset: 0 }, { temperature: 1, topK: 1 }, random);
      expect([token.id, token.accepted]).toEqual([3, true]);
    }
  });

  it("a draft that top-k leaves out never stays, not at the smallest number either", () => {
    const zero = { uniform: () => 0 } as Random;
    const weights = softmaxWeights(logits, OFFSET, VOCABULARY, 1);
    const row = { logits, weights, offset: OFFSET, vocabSize: VOCABULARY };
    const token = verifyDraft(row, { id: 1, logits: drafted, offset: 1 }, { temperature: 1, topK: 2 }, zero);
    expect(token.accepted).toBe(false);
    expect([0, 3]).toContain(token.id);
  });
});
