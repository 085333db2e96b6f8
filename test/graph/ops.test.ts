/**
 * Every op of the registry, on every sample: the shape that its rule gives, the fused form against the composed one,
 * and the gradient against central differences. An op is tested by being written.
 */
import { describe, expect, it } from "vitest";
import { grad } from "../../src/graph/grad.ts";
import { type Sample, registeredOps } from "../../src/graph/op.ts";
import "../../src/graph/ops.ts";
import { input, mul, sum } from "../../src/graph/ops.ts";
import { Graph, type Tensor } from "../../src/graph/tensor.ts";
import { Random } from "../../src/runtime/random.ts";
import { allocate, Session, type Value } from "../../src/runtime/session.ts";

/** Ops that only a graph around them can show: sources without operands, and those whose result is an index. */
const WITHOUT_SAMPLES = ["input", "constant", "argmax"];

function draw(sample: Sample, seed: string): Value[] {
  return sample.inputs.map((spec, position) => {
    const value = allocate(spec.dtype ?? "f32", spec.shape);
    const random = new Random(seed, sample.label, position);
    const uniform = () => random.uniform();
    for (let i = 0; i < value.data.length; i++)
      (value.data as Float32Array)[i] = spec.values ? spec.values(uniform, i) : 2 * uniform() - 1;
    return value;
  });
}

function inputs(graph: Graph, sample: Sample): Tensor[] {
  return sample.inputs.map((spec, i) => input(graph, `x${i}`, spec.dtype ?? "f32", spec.shape));
}

const feed = (values: Value[]): Record<string, Value> => Object.fromEntries(values.map((v, i) => [`x${i}`, v]));

/** sum(weights ⊙ op(x)) with fixed, uneven weights: a gradient that is right only by symmetry is caught. */
function scalarLoss(out: Tensor, graph: Graph): Tensor {
  const weights = input(graph, "weights", "f32", out.shape);
  return sum(mul(out, weights));
}

function weightsFor(shape: readonly number[]): Value {
  const value = allocate("f32", shape);
  const random = new Random("weights", shape.length);
  for (let i = 0; i < value.data.length; i++) (value.data as Float32Array)[i] = random.uniform() + 0.5;
  return value;
}

describe("every op", () => {
  it("has samples", () => {
    const bare = registeredOps().filter((op) => op.samples.length === 0).map((op) => op.name);
    expect(bare.sort()).toEqual([...WITHOUT_SAMPLES].sort());
  });

  for (const op of registeredOps())
    for (const sample of op.samples)
      it(`${op.name}: ${sample.label}`, async () => {
        const values = draw(sample, op.name);
        const graph = new Graph();
        const operands = inputs(graph, sample);
        const out = sample.build(...operands);
        const shape = out.shape as number[];
        graph.output("out", out);
        const loss = scalarLoss(out, graph);
        graph.output("loss", loss);
        const differentiable = sample.differentiable ?? sample.inputs.flatMap((s, i) => ((s.dtype ?? "f32") === "f32" ? [i] : []));
        const empty = values.some((v) => v.data.length === 0);
        const gradients = differentiable.length === 0 ? [] : grad(loss, differentiable.map((i) => operands[i]));
        gradients.forEach((g, j) => {
          graph.output(`grad${differentiable[j]}`, g);
        });

        const session = await Session.create(graph, { threads: 1 });
        const slow = await Session.create(graph, { threads: 1, composed: true });
        const all = { ...feed(values), weights: weightsFor(shape) };
        const result = await session.run(all);
        const composed = await slow.run(all);

        // The shape rule and the lowering agree, and the fused form computes what the composed one does.
        expect(result.out.shape).toEqual(shape);
        for (const name of Object.keys(result)) {
          const [a, b] = [result[name].data as Float32Array, composed[name].data as Float32Array];
          for (let i = 0; i < a.length; i++) expect(Math.abs(a[i] - b[i])).toBeLessThanOrEqual(2e-6 * (1 + Math.abs(b[i])));
        }

        // Central differences in float64: the loss is f32, summed again here from the outputs.
        const weights = all.weights.data as Float32Array;
        const lossAt = async (): Promise<number> => {
          const { out: y } = await slow.run(all);
          let total = 0;
          for (let i = 0; i < y.data.length; i++) total += Number(y.data[i]) * weights[i];
          return total;
        };
        for (const position of differentiable) {
          const data = values[position].data as Float32Array;
          const gradient = result[`grad${position}`].data as Float32Array;
          expect(result[`grad${position}`].shape).toEqual(values[position].shape);
          if (empty) continue;
          for (let i = 0; i < Math.min(data.length, 24); i++) {
            const saved = data[i];
            const step = 2 ** -8;
            data[i] = saved + step;
            const high = await lossAt();
            data[i] = saved - step;
            const low = await lossAt();
            data[i] = saved;
            const numeric = (high - low) / (2 * step);
            // f32 noise / step is near 1e-5; the curvature term step²/6 · f''' near 1e-5 as well.
            expect(Math.abs(numeric - gradient[i]), `element ${i}: ${numeric} by differences, ${gradient[i]} by rule`).toBeLessThanOrEqual(
              2e-3 * Math.max(1, Math.abs(numeric)),
            );
          }
        }
        await session.release();
        await slow.release();
      });
});
