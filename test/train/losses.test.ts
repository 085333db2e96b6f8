/** The losses by name against the papers' formulas in float64, with gradients by central differences. */
import { describe, expect, it } from "vitest";
import { grad } from "../../src/graph/grad.ts";
import { greater, input, sum, where } from "../../src/graph/ops.ts";
import { Graph, type Tensor } from "../../src/graph/tensor.ts";
import { Random } from "../../src/lib/random.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { f32, host } from "../../src/runtime/value.ts";
import { type LossName, losses, type TokenLoss } from "../../src/train/losses.ts";
import { furthest } from "./tiny.ts";

const [ROWS, SEQ] = [3, 6];
const engine = new Engine({ threads: 1 });
const random = new Random(7, "losses");
const draw = (low: number, high: number) =>
  Array.from({ length: ROWS * SEQ }, () => low + (high - low) * random.uniform());

/** Padding at the end of two rows; a prompt, without advantage and mask, at their beginning. */
const present = draw(0, 1).map((_, i) => (i % SEQ < SEQ - Math.floor(i / SEQ) ? 1 : 0));
const trained = present.map((p, i) => (p === 1 && i % SEQ > 1 ? 1 : 0));
const only = (values: number[]) => values.map((value, i) => value * trained[i]);
const values: Record<string, number[]> = {
  logProbs: draw(-3, -0.1),
  sampled: draw(-3, -0.1),
  advantages: only(draw(-2, 2)),
  weights: only(draw(0, 1)),
  mask: trained,
};

type Row = Record<string, number[]>;
const rowsOf = (all: Record<string, number[]>): Row[] =>
  Array.from({ length: ROWS }, (_, row) =>
    Object.fromEntries(
      Object.entries(all).map(([name, list]) => [name, list.slice(row * SEQ, (row + 1) * SEQ)]),
    ),
  );
const bounded = (ratio: number, low: number, high: number) => Math.min(Math.max(ratio, low), high);
const pessimistic = (ratio: number, a: number, low: number, high: number) =>
  -Math.min(ratio * a, bounded(ratio, low, high) * a);

/** Each row's loss in float64. `fixed` is the log-probability where no gradient flows. */
const formulas: Record<LossName, (row: Row, fixed: number[], s: Record<string, number>) => number[]> = {
  cross_entropy: ({ weights, logProbs }) => logProbs.map((l, i) => -weights[i] * l),
  importance_sampling: ({ logProbs, sampled, advantages }) =>
    logProbs.map((l, i) => -Math.exp(l - sampled[i]) * advantages[i]),
  ppo: ({ logProbs, sampled, advantages }, _, { clipLow, clipHigh }) =>
    logProbs.map((l, i) => pessimistic(Math.exp(l - sampled[i]), advantages[i], clipLow, clipHigh)),
  gspo: ({ logProbs, sampled, advantages, mask }, fixed, { clipLow, clipHigh }) => {
    const count = mask.reduce((a, b) => a + b, 0);
    const mean = fixed.reduce((total, l, i) => total + mask[i] * (l - sampled[i]), 0) / count;
    const ratio = (i: number) => Math.exp(mean + logProbs[i] - fixed[i]);
    return advantages.map((a, i) => pessimistic(ratio(i), a, clipLow, clipHigh));
  },
  cispo: ({ logProbs, sampled, advantages }, fixed, { clipLow, clipHigh }) =>
    logProbs.map((l, i) => -bounded(Math.exp(fixed[i] - sampled[i]), clipLow, clipHigh) * advantages[i] * l),
  dro: ({ logProbs, sampled, advantages }, _, { beta }) =>
    logProbs.map((l, i) => -(l * advantages[i] - 0.5 * beta * (l - sampled[i]) ** 2)),
  stable_reinforce: ({ logProbs, sampled, advantages, mask }, fixed, { klCoefficient }) =>
    logProbs.map((l, i) => {
      const weight = Math.min(Math.exp(fixed[i] - sampled[i]), 1);
      return mask[i] * (0.5 * klCoefficient * (l - sampled[i]) ** 2 - weight * advantages[i] * l);
    }),
};

function expectedLoss(name: LossName, all: Record<string, number[]>, settings: Record<string, number>) {
  const fixed = rowsOf(values);
  return rowsOf(all)
    .flatMap((row, i) => formulas[name](row, fixed[i].logProbs, settings))
    .map((loss, i) => (present[i] === 1 ? loss : 0));
}

async function traced(loss: TokenLoss, settings: Record<string, number>) {
  const graph = new Graph();
  const tensors = Object.fromEntries(
    ["logProbs", "present", ...loss.inputs].map((name) => [name, input(graph, name, "f32", [ROWS, SEQ])]),
  ) as Record<string, Tensor>;
  const { logProbs } = tensors;
  const kept = greater(tensors.present, 0);
  const one = where(kept, loss.perToken({ logProbs, present: kept, inputs: tensors }, settings), 0);
  graph.output("loss", one);
  graph.output("gradient", grad(sum(one), [logProbs])[0]);
  const session = await engine.session(graph, "loss");
  const feeds = Object.fromEntries(
    Object.keys(tensors).map((name) => [name, f32(name === "present" ? present : values[name], [ROWS, SEQ])]),
  );
  const outputs = await session.run(feeds);
  await session.release();
  return {
    loss: [...host(outputs.loss).data].map(Number),
    gradient: [...host(outputs.gradient).data].map(Number),
  };
}

describe("a loss by name", () => {
  for (const name of Object.keys(losses) as LossName[]) {
    const defaults: Record<string, number> = losses[name].settings;
    const narrow = Object.fromEntries(
      Object.entries(defaults).map(([key, value]) => [key, key === "beta" ? 3 * value : 1 + (value - 1) / 4]),
    );
    it.each([defaults, narrow])(`${name} is the formula, with %j`, async (settings) => {
      const found = await traced(losses[name] as unknown as TokenLoss, settings);
      const wanted = expectedLoss(name, values, settings);
      expect(furthest(found.loss, wanted)).toBeLessThan(1e-5);
      const step = 1e-6;
      found.gradient.forEach((gradient, i) => {
        const at = (sign: number) => {
          const moved = values.logProbs.map((l, j) => (j === i ? l + sign * step : l));
          const all = expectedLoss(name, { ...values, logProbs: moved }, settings);
          return all.reduce((a, b) => a + b, 0);
        };
        expect(gradient).toBeCloseTo((at(1) - at(-1)) / (2 * step), 4);
      });
    });
  }

  it("gives no infinity for a ratio beyond what f32 holds", async () => {
    const [before, sampled] = [values.logProbs, values.sampled];
    values.sampled = sampled.map(() => -500);
    for (const name of ["importance_sampling", "ppo", "gspo", "cispo", "stable_reinforce"] as const) {
      const { loss, gradient } = await traced(losses[name] as unknown as TokenLoss, losses[name].settings);
      expect([...loss, ...gradient].every(Number.isFinite)).toBe(true);
    }
    Object.assign(values, { logProbs: before, sampled });
  });
});
