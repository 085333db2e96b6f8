/**
 * Every op of the registry, on every sample and on random sizes: the shape that its rule gives, its gradient against
 * central differences in float64, and ONNX Runtime's float32, fused and composed, against float64. An op is tested by
 * being written.
 */
import { describe, expect, it } from "vitest";
import { grad } from "../../src/graph/grad.ts";
import { lower } from "../../src/graph/lower.ts";
import { type RegisteredOp, registeredOps } from "../../src/graph/op.ts";
import { cast, input, mul, sum } from "../../src/graph/ops.ts";
import "../../src/graph/recompute.ts";
import type { Sample } from "../../src/graph/samples.ts";
import { Graph, GraphError, type Tensor } from "../../src/graph/tensor.ts";
import { Random } from "../../src/lib/random.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { allocate, type HostValue, host } from "../../src/runtime/session.ts";
import { type Array64, interpret, toArray64 } from "./reference.ts";

/** Sources, which have no operands. */
const WITHOUT_SAMPLES = ["input", "constant", "weight"];

/** Truncation step² f‴/6 and rounding 1e-16/step are both near 1e-11; constants of the rule are rounded to f32, 6e-8. */
const STEP = 1e-5;
const GRADIENT_TOLERANCE = 1e-6;

/** A few dozen roundings of 6e-8, and kernels whose exp and tanh are polynomials good to about 1e-6. */
const F32_TOLERANCE = 1e-5;

/** Elements of an operand whose difference quotient is taken; larger ones are sampled evenly. */
const CHECKED_ELEMENTS = 16;

function draw(sample: Sample, seed: string): HostValue[] {
  return sample.inputs.map((spec, position) => {
    const value = allocate(spec.dtype ?? "f32", spec.shape);
    const random = new Random(seed, sample.label, position);
    const uniform = () => random.uniform();
    for (let i = 0; i < value.data.length; i++)
      (value.data as Float32Array)[i] = spec.values ? spec.values(uniform, i) : 2 * uniform() - 1;
    return value;
  });
}

interface Traced {
  graph: Graph;
  shape: number[];
  differentiable: number[];
}

/** The op's output, sum(weights ⊙ output) with uneven weights, so that nothing is right by symmetry, and its gradients. */
function trace(sample: Sample): Traced {
  const graph = new Graph();
  const operands: Tensor[] = sample.inputs.map((spec, i) =>
    input(graph, `x${i}`, spec.dtype ?? "f32", spec.shape),
  );
  const out = cast(sample.build(...operands), "f32");
  graph.output("out", out);
  const loss = sum(mul(out, input(graph, "weights", "f32", out.shape)));
  graph.output("loss", loss);
  const differentiable =
    sample.differentiable ?? sample.inputs.flatMap((spec, i) => ((spec.dtype ?? "f32") === "f32" ? [i] : []));
  const gradients =
    differentiable.length === 0
      ? []
      : grad(
          loss,
          differentiable.map((i) => operands[i]),
        );
  gradients.forEach((g, j) => {
    graph.output(`grad${differentiable[j]}`, g);
  });
  return { graph, shape: out.shape as number[], differentiable };
}

function checkGradients(traced: Traced, feeds: Record<string, Array64>): Record<string, Array64> {
  const whole = lower(traced.graph);
  for (const { domain, opType } of whole.model.nodes)
    expect(domain, `${opType} is no standard ONNX`).toBe("");
  const exact = interpret(whole, feeds);
  expect(exact.out.shape).toEqual(traced.shape);
  for (const position of traced.differentiable) {
    const operand = feeds[`x${position}`];
    const gradient = exact[`grad${position}`];
    expect(gradient.shape).toEqual(operand.shape);
    const stride = Math.max(1, Math.ceil(operand.data.length / CHECKED_ELEMENTS));
    for (let i = 0; i < operand.data.length; i += stride) {
      const lossAt = (value: number): number => {
        const data = operand.data.with(i, value);
        return interpret(whole, { ...feeds, [`x${position}`]: { ...operand, data } }).loss.data[0];
      };
      const numeric = (lossAt(operand.data[i] + STEP) - lossAt(operand.data[i] - STEP)) / (2 * STEP);
      const rule = gradient.data[i];
      const message = `operand ${position}, element ${i}: ${numeric} by differences, ${rule} by rule`;
      expect(Math.abs(numeric - rule), message).toBeLessThanOrEqual(
        GRADIENT_TOLERANCE * Math.max(1, Math.abs(numeric)),
      );
    }
  }
  return exact;
}

async function check(sample: Sample, seed: string): Promise<void> {
  const values = draw(sample, seed);
  const traced = trace(sample);
  const feeds: Record<string, HostValue> = Object.fromEntries(values.map((value, i) => [`x${i}`, value]));
  feeds.weights = draw(
    { ...sample, inputs: [{ shape: traced.shape, values: (random) => random() + 0.5 }] },
    "weights",
  )[0];
  const exact = checkGradients(
    traced,
    Object.fromEntries(Object.entries(feeds).map(([n, v]) => [n, toArray64(v)])),
  );
  for (const composed of [false, true]) {
    const session = await new Engine({ threads: 1 }).session(traced.graph, "test", { composed });
    const result = await session.run(feeds);
    for (const [name, { shape, data }] of Object.entries(exact)) {
      const found = result[name];
      const form = `${name}, ${composed ? "composed" : "fused"}`;
      expect(found.shape, form).toEqual(shape);
      const worst = data.reduce(
        (most, v, i) => Math.max(most, Math.abs(Number(host(found).data[i]) - v) / Math.max(1, Math.abs(v))),
        0,
      );
      expect(worst, form).toBeLessThanOrEqual(F32_TOLERANCE);
    }
    await session.release();
  }
}

/**
 * The sample with other sizes: each different size is replaced by a random one, so sizes that had to be equal stay
 * equal. `null` where values depend on the sizes (ids, masks).
 */
function resized(op: RegisteredOp, sample: Sample, random: Random): Sample | null {
  if (sample.inputs.some(({ dtype, values }) => (dtype ?? "f32") !== "f32" || (values?.length ?? 0) > 1))
    return null;
  // Size 0 only on axes on which a sample of the op has it: a mean of nothing means nothing.
  const empty = new Set(
    op.samples.flatMap((s) => axes(s).flatMap(([axis, dim]) => (dim === 0 ? [axis] : []))),
  );
  const sizes = new Map<number, number>([[1, 1]]);
  const size = (old: number): number => {
    if (!sizes.has(old)) {
      const mayBeEmpty = axes(sample).some(([axis, dim]) => dim === old && empty.has(axis));
      sizes.set(old, random.pick(mayBeEmpty ? [0, 1, 2, 3, 5, 7] : [1, 2, 3, 5, 7]));
    }
    return sizes.get(old) as number;
  };
  const inputs = sample.inputs.map((spec) => ({ ...spec, shape: spec.shape.map(size) }));
  return { ...sample, label: inputs.map(({ shape }) => `[${shape}]`).join(" "), inputs };
}

/** Each axis of each operand, with its size. */
function axes(sample: Sample): [axis: string, dim: number][] {
  return sample.inputs.flatMap(({ shape }, operand) =>
    shape.map((dim, axis): [string, number] => [`${operand}.${axis}`, dim]),
  );
}

describe("every op", () => {
  it("has samples", () => {
    const bare = registeredOps()
      .filter((op) => op.samples.length === 0)
      .map((op) => op.name);
    expect(bare.sort()).toEqual([...WITHOUT_SAMPLES].sort());
  });

  for (const op of registeredOps())
    for (const sample of op.samples) it(`${op.name}: ${sample.label}`, () => check(sample, op.name));
});

describe("on random sizes", () => {
  const ROUNDS = 3;
  /** Their samples have sizes in the attributes, or ids and masks that follow the sizes. */
  const FIXED = new Set<string>();

  for (const op of registeredOps())
    if (op.samples.length > 0)
      it(op.name, async () => {
        let checked = 0;
        for (const sample of op.samples)
          for (let round = 0; round < ROUNDS; round++) {
            const other = resized(op, sample, new Random("sizes", op.name, sample.label, round));
            if (other === null) continue;
            try {
              trace(other);
            } catch (error) {
              // Sizes that stand in the op's attributes (a split, a reshape) are refused when they do not fit.
              expect(error).toBeInstanceOf(GraphError);
              continue;
            }
            await check(other, op.name);
            checked++;
          }
        if (checked === 0) FIXED.add(op.name);
      });

  it("reaches all ops but those whose samples fix the sizes", () => {
    expect([...FIXED].sort()).toMatchInlineSnapshot(`
      [
        "attend",
        "combine",
        "dequantised",
        "dispatch",
        "gather",
        "gatherRows",
        "jointAttention",
        "oneHot",
        "quantisedLinear",
        "rope",
        "route",
        "scatter",
        "scatterAdd",
        "segmentSum",
        "takeAlongAxis",
        "tokenLogProbs",
      ]
    `);
  });
});
