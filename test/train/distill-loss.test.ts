/** The loss of on-policy distillation against closed forms in float64. */
import { afterAll, describe, expect, it } from "vitest";
import { grad } from "../../src/graph/grad.ts";
import { input, reshape } from "../../src/graph/ops.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { Random } from "../../src/lib/random.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { f32, type HostValue, host, i32, type Session } from "../../src/runtime/session.ts";
import { estimates } from "../../src/train/distill-loss.ts";
import { furthest } from "./tiny.ts";

const VOCAB = 5;
const sessions: Session[] = [];
afterAll(async () => {
  for (const session of sessions) await session.release();
});

/** One row of `tokens` completion tokens: loss, measurements, and the gradient by the logits. */
async function run(estimate: keyof typeof estimates, tokens: number, feeds: Record<string, HostValue>) {
  const graph = new Graph();
  const perToken = (name: string) => input(graph, name, "f32", [1, "completionTokens"]);
  const logits = input(graph, "logits", "f32", ["completionTokens", VOCAB]);
  const { loss, measurements } = estimates[estimate](graph, {
    logits,
    targets: input(graph, "targets", "i32", ["completionTokens"]),
    weights: perToken("weights"),
    placed: (x) => reshape(x, [1, "completionTokens"]),
    perToken,
    loads: () => ({}),
  });
  for (const [name, value] of Object.entries({ loss, ...measurements, gradient: grad(loss, [logits])[0] }))
    graph.output(name, value);
  const session = await new Engine({ threads: 1 }).session(graph, "test");
  sessions.push(session);
  const found = await session.run({ targets: i32(new Array(tokens).fill(0)), ...feeds });
  return Object.fromEntries(
    Object.entries(found).map(([name, value]) => [name, Array.from(host(value).data as Float32Array)]),
  );
}

const logSoftmax = (logits: readonly number[]): number[] => {
  const most = Math.max(...logits);
  const total = Math.log(logits.reduce((sum, value) => sum + Math.exp(value - most), 0)) + most;
  return logits.map((value) => value - total);
};

const random = new Random(3, "distill");
const draw = (scale = 1): number[] => Array.from({ length: VOCAB }, () => scale * random.normal());

/** KL(p || q) and its gradient by the logits of p: p_v (log p_v - log q_v - KL). */
function divergence(logits: readonly number[], teacher: readonly number[]) {
  const log = logSoftmax(logits);
  const ratios = log.map((value, v) => value - teacher[v]);
  const kl = log.reduce((sum, value, v) => sum + Math.exp(value) * ratios[v], 0);
  return { kl, gradient: log.map((value, v) => Math.exp(value) * (ratios[v] - kl)) };
}

describe("the full divergence", () => {
  const logits = [draw(), draw(2), draw()];
  const teachers = [0, 1].map(() => logits.map(() => logSoftmax(draw(2))));
  const weights = [0.5, 0, 0.25];
  const judgeWeights = [1, 0.3];
  const feeds = {
    logits: f32(logits.flat(), [3, VOCAB]),
    judgements: f32(teachers.flat(2), [2, 3, VOCAB]),
    judgeWeights: f32(judgeWeights, [2, 1]),
    weights: f32(weights, [1, 3]),
  };

  it("is the weighted sum over judges and tokens, with its gradient", async () => {
    const found = await run("full", 3, feeds);
    const each = teachers.map((teacher) => logits.map((row, t) => divergence(row, teacher[t])));
    const loss = each.flatMap((judge, i) => judge.map(({ kl }, t) => judgeWeights[i] * weights[t] * kl));
    expect(found.loss[0]).toBeCloseTo(
      loss.reduce((sum, value) => sum + value, 0),
      5,
    );
    expect(
      furthest(
        found.judgeKl,
        each.map((judge) => judge.reduce((sum, { kl }) => sum + kl, 0)),
      ),
    ).toBeLessThan(2e-5);
    const gradient = logits.flatMap((_, t) =>
      Array.from({ length: VOCAB }, (_, v) =>
        each.reduce((sum, judge, i) => sum + judgeWeights[i] * weights[t] * judge[t].gradient[v], 0),
      ),
    );
    expect(furthest(found.gradient, gradient)).toBeLessThan(2e-6);
  });

  it("has the gradient of finite differences in float64", () => {
    const [row, teacher] = [logits[1], teachers[0][1]];
    const { gradient } = divergence(row, teacher);
    const step = 1e-5;
    const differences = row.map((_, v) => {
      const at = (by: number) => divergence(row.with(v, row[v] + by), teacher).kl;
      return (at(step) - at(-step)) / (2 * step);
    });
    expect(furthest(differences, gradient)).toBeLessThan(1e-8);
  });

  it("is 0 with no gradient where the teacher is the student", async () => {
    const same = logits.map(logSoftmax);
    const found = await run("full", 3, {
      ...feeds,
      judgements: f32([...same, ...same].flat(), [2, 3, VOCAB]),
    });
    expect(Math.abs(found.loss[0])).toBeLessThan(1e-6);
    expect(furthest(found.gradient, new Array(3 * VOCAB).fill(0))).toBeLessThan(1e-6);
  });
});

it("one sample's gradient is the full one in the mean over what the student may sample", async () => {
  const logits = draw();
  const teacher = logSoftmax(draw(2));
  const log = logSoftmax(logits);
  // A position for each token that may come, weighted by its probability.
  const found = await run("sample", VOCAB, {
    logits: f32(
      log.flatMap(() => logits),
      [VOCAB, VOCAB],
    ),
    targets: i32(log.map((_, v) => v)),
    weights: f32(log.map(Math.exp), [1, VOCAB]),
    old: f32(log, [1, VOCAB]),
    advantage: f32(
      log.map((value, v) => teacher[v] - value),
      [1, VOCAB],
    ),
  });
  const { kl, gradient } = divergence(logits, teacher);
  expect(found.loss[0]).toBeCloseTo(kl, 5);
  const mean = gradient.map((_, v) =>
    log.reduce((sum, _, position) => sum + found.gradient[position * VOCAB + v], 0),
  );
  expect(furthest(mean, gradient)).toBeLessThan(2e-6);
});
