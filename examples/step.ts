/** A training step as an open file: loss, gradients and AdamW in one `.onnx`, which another program runs, here ONNX Runtime. */
import * as ort from "onnxruntime-node";
import {
  adamW,
  Engine,
  Graph,
  grad,
  input,
  matmul,
  mean,
  mul,
  saveModelFile,
  stepScalars,
  stepScalarValues,
  sub,
} from "sputnik-r1/graph";

const graph = new Graph();
const [x, y] = [input(graph, "x", "f32", [64, 3]), input(graph, "y", "f32", [64, 1])];
const [weight, m, v] = ["weight", "m", "v"].map((name) => input(graph, name, "f32", [3, 1]));
const error = sub(matmul(x, weight), y);
const loss = mean(mul(error, error), [0, 1]);
const options = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0 };
const next = adamW(weight, grad(loss, [weight])[0], null, m, v, stepScalars(graph), options);
graph.output("loss", loss);
for (const [name, tensor] of Object.entries({ weight: next.parameter, m: next.m, v: next.v }))
  graph.output(`${name}.next`, tensor);

const path = process.argv[2] ?? "step.onnx";
saveModelFile(new Engine().lower(graph, "step", { composed: true }), path);

// From here on nothing of Sputnik computes.
const session = await ort.InferenceSession.create(path);
const random = Float32Array.from({ length: 192 }, (_, i) => Math.sin(i * i));
const truth = [0.5, -1, 2];
const targets = Float32Array.from({ length: 64 }, (_, row) =>
  truth.reduce((sum, factor, column) => sum + factor * random[3 * row + column], 0),
);
const zeros = () => new ort.Tensor("float32", new Float32Array(3), [3, 1]);
let state: Record<string, ort.Tensor> = { weight: zeros(), m: zeros(), v: zeros() };
for (let step = 1; step <= 200; step++) {
  const scalars = Object.entries(stepScalarValues(step, 0.05, 0, 0.9, 0.99));
  const results = await session.run({
    ...state,
    x: new ort.Tensor("float32", random, [64, 3]),
    y: new ort.Tensor("float32", targets, [64, 1]),
    ...Object.fromEntries(
      scalars
        .filter(([name]) => session.inputNames.includes(name))
        .map(([name, value]) => [name, new ort.Tensor("float32", [value], [])]),
    ),
  });
  state = Object.fromEntries(["weight", "m", "v"].map((name) => [name, results[`${name}.next`]]));
  if (step % 50 === 0) console.log(`step ${step}: loss ${Number(results.loss.data[0]).toFixed(5)}`);
}
console.log(`weights ${[...(state.weight.data as Float32Array)].map((w) => w.toFixed(2)).join(", ")}`);
