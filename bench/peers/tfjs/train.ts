/**
 * The TensorFlow.js peer (WebAssembly, SIMD): the training step of the benchmark's decoder: forward, backward,
 * global-norm clipping, AdamW. 4 layers, width 256, 4 heads, SwiGLU 704, vocabulary 512, sequence 256, batch 16,
 * float32. The protocol is that of ../pytorch_train.py.
 *
 *   npm install && npx tsx train.ts [--steps N] [--warmup N] [--interactive]
 *
 * One thread: the backend switches its threads off on Node (tensorflow/tfjs#3830), and its threaded module, started by
 * force with Workers of ours, still made a pool of one.
 *
 * What the backend cannot do well is done by hand, so that it is measured at its best: its fast product (XNNPACK) takes
 * only two plain matrices, while transposed or batched operands, which its own gradients use, run at 1 to 2 GFLOP/s. So
 * products have a gradient of ours that transposes first, and attention multiplies head by head.
 */
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";

const { values: options } = parseArgs({
  options: {
    steps: { type: "string", default: "2" },
    warmup: { type: "string", default: "1" },
    interactive: { type: "boolean", default: false },
  },
});
await tf.setBackend("wasm");
await tf.ready();

type Weights = Record<string, tf.Tensor>;
type CustomGradient = Parameters<typeof tf.customGrad>[0];

const LAYERS = 4;
const WIDTH = 256;
const HEADS = 4;
const FFN = 704;
const VOCAB = 512;
const SEQ = 256;
const BATCH = 16;
const HEAD_DIM = WIDTH / HEADS;
const ADAM = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1, rate: 1e-3 };
const CLIP = 1;

/** A small generator (mulberry32), so that both JavaScript peers get the same weights and ids. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const random = generator(1);
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

function tensor(shape: number[], value: () => number): tf.Tensor {
  return tf.tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value), shape);
}

function initialParameters(): Weights {
  const matrix = (rows: number, cols: number) => tensor([rows, cols], () => normal() * 0.02);
  const ones = () => tensor([WIDTH], () => 1);
  const parameters: Weights = { embed: matrix(VOCAB, WIDTH), norm: ones(), head: matrix(WIDTH, VOCAB) };
  for (let layer = 0; layer < LAYERS; layer++) {
    parameters[`${layer}.attentionNorm`] = ones();
    for (const name of ["q", "k", "v", "o"]) parameters[`${layer}.${name}`] = matrix(WIDTH, WIDTH);
    parameters[`${layer}.mlpNorm`] = ones();
    parameters[`${layer}.gate`] = matrix(WIDTH, FFN);
    parameters[`${layer}.up`] = matrix(WIDTH, FFN);
    parameters[`${layer}.down`] = matrix(FFN, WIDTH);
  }
  return parameters;
}

/** a · b of two matrices; its gradient transposes, then multiplies plain matrices. */
const product = tf.customGrad(((a: tf.Tensor, b: tf.Tensor, save: tf.GradSaveFunc) => {
  save([a, b]);
  return {
    value: tf.matMul(a, b),
    gradFunc: (dy: tf.Tensor, [x, y]: tf.Tensor[]) => [
      tf.tidy(() => tf.matMul(dy, tf.transpose(y))),
      tf.tidy(() => tf.matMul(tf.transpose(x), dy)),
    ],
  };
}) as CustomGradient) as (a: tf.Tensor, b: tf.Tensor) => tf.Tensor;

/** a [n, x, y] · b [n, y, z], one plain product at a time. */
function batched(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  const right = tf.unstack(b);
  return tf.stack(
    tf.unstack(a).map((matrix, i) => tf.matMul(matrix as tf.Tensor2D, right[i] as tf.Tensor2D)),
  );
}

const flip = (x: tf.Tensor) => tf.transpose(x, [0, 2, 1]);
const causal = tf.tensor(
  Float32Array.from({ length: SEQ * SEQ }, (_, i) => (i % SEQ > Math.floor(i / SEQ) ? -1e9 : 0)),
  [1, SEQ, SEQ],
);

/** softmax(q kᵀ / sqrt(headDim) + mask) v on [batch · heads, seq, headDim], with its gradient. */
const attention = tf.customGrad(((q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, save: tf.GradSaveFunc) => {
  const scale = HEAD_DIM ** -0.5;
  const weights = tf.tidy(() => tf.softmax(tf.add(tf.mul(batched(q, flip(k)), scale), causal)));
  save([q, k, v, weights]);
  return {
    value: tf.tidy(() => batched(weights, v)),
    gradFunc: (dy: tf.Tensor, [queries, keys, values, p]: tf.Tensor[]) => {
      const dv = tf.tidy(() => batched(flip(p), dy));
      const ds = tf.tidy(() => {
        const dp = batched(dy, flip(values));
        return tf.mul(tf.mul(p, tf.sub(dp, tf.sum(tf.mul(dp, p), -1, true))), scale);
      });
      return [tf.tidy(() => batched(ds, keys)), tf.tidy(() => batched(flip(ds), queries)), dv];
    },
  };
}) as CustomGradient) as (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => tf.Tensor;

function rmsNorm(x: tf.Tensor, weight: tf.Tensor): tf.Tensor {
  return tf.mul(tf.div(x, tf.sqrt(tf.add(tf.mean(tf.square(x), -1, true), 1e-6))), weight);
}

const half = HEAD_DIM / 2;
const table = (of: (angle: number) => number) =>
  tf.tensor(
    Float32Array.from({ length: SEQ * half }, (_, i) =>
      of(Math.floor(i / half) * 10000 ** (-(i % half) / half)),
    ),
    [1, SEQ, half],
  );
const cos = table(Math.cos);
const sin = table(Math.sin);

/** x [batch · heads, seq, headDim]. */
function rope(x: tf.Tensor): tf.Tensor {
  const [a, b] = tf.split(x, 2, -1);
  return tf.concat([tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))], -1);
}

function lossOf(parameters: Weights, ids: tf.Tensor, targets: tf.Tensor): tf.Scalar {
  // A product with one-hot rows: a gather's gradient would need UnsortedSegmentSum, which the backend lacks.
  let x = product(ids, parameters.embed);
  for (let layer = 0; layer < LAYERS; layer++) {
    const weight = (name: string) => parameters[`${layer}.${name}`];
    const normed = rmsNorm(x, weight("attentionNorm"));
    const project = (name: string) =>
      tf.reshape(
        tf.transpose(tf.reshape(product(normed, weight(name)), [BATCH, SEQ, HEADS, HEAD_DIM]), [0, 2, 1, 3]),
        [BATCH * HEADS, SEQ, HEAD_DIM],
      );
    const mixed = attention(rope(project("q")), rope(project("k")), project("v"));
    const merged = tf.transpose(tf.reshape(mixed, [BATCH, HEADS, SEQ, HEAD_DIM]), [0, 2, 1, 3]);
    x = tf.add(x, product(tf.reshape(merged, [BATCH * SEQ, WIDTH]), weight("o")));
    const inner = rmsNorm(x, weight("mlpNorm"));
    const gate = product(inner, weight("gate"));
    const hidden = tf.mul(tf.mul(gate, tf.sigmoid(gate)), product(inner, weight("up")));
    x = tf.add(x, product(hidden, weight("down")));
  }
  const logits = product(rmsNorm(x, parameters.norm), parameters.head);
  return tf.neg(tf.div(tf.sum(tf.mul(tf.logSoftmax(logits), targets)), BATCH * SEQ)) as tf.Scalar;
}

function makeStep(): () => number {
  const parameters = initialParameters();
  const names = Object.keys(parameters);
  const variables = Object.fromEntries(
    names.map((name) => [name, tf.variable(parameters[name], true, name)]),
  );
  const zeros = () => names.map((name) => tf.variable(tf.zeros(parameters[name].shape), false));
  const m = zeros();
  const v = zeros();
  const rows = Array.from({ length: BATCH }, () =>
    Array.from({ length: SEQ + 1 }, () => Math.floor(random() * VOCAB)),
  );
  const oneHot = (ids: number[]) => tf.cast(tf.oneHot(tf.tensor1d(ids, "int32"), VOCAB), "float32");
  const ids = oneHot(rows.flatMap((row) => row.slice(0, -1)));
  const targets = oneHot(rows.flatMap((row) => row.slice(1)));
  let step = 0;
  return () => {
    step++;
    const correction1 = 1 / (1 - ADAM.beta1 ** step);
    const correction2 = 1 / (1 - ADAM.beta2 ** step);
    return tf.tidy(() => {
      const { value, grads } = tf.variableGrads(() => lossOf(variables, ids, targets));
      const squares = names.map((name) => tf.sum(tf.square(grads[name])));
      const norm = tf.sqrt(tf.addN(squares));
      const scale = tf.minimum(tf.div(CLIP, tf.add(norm, 1e-6)), 1);
      names.forEach((name, i) => {
        const g = tf.mul(grads[name], scale);
        m[i].assign(tf.add(tf.mul(m[i], ADAM.beta1), tf.mul(g, 1 - ADAM.beta1)));
        v[i].assign(tf.add(tf.mul(v[i], ADAM.beta2), tf.mul(tf.square(g), 1 - ADAM.beta2)));
        const denominator = tf.add(tf.sqrt(tf.mul(v[i], correction2)), ADAM.epsilon);
        const update = tf.mul(tf.div(m[i], denominator), ADAM.rate * correction1);
        variables[name].assign(tf.sub(tf.mul(variables[name], 1 - ADAM.rate * ADAM.decay), update));
      });
      return value.dataSync()[0];
    });
  };
}

function timed(step: () => number, count: number) {
  const times: number[] = [];
  let loss = Number.NaN;
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    loss = step();
    times.push(Math.round((performance.now() - start) * 100) / 100);
  }
  return { ms_per_step: times, loss };
}

/** GFLOP/s of [4096, 256] x [256, 704]: the best and the median of 10. */
function matmulRate() {
  const a = tensor([4096, 256], normal) as tf.Tensor2D;
  const b = tensor([256, 704], normal) as tf.Tensor2D;
  const rates: number[] = [];
  for (let i = 0; i < 12; i++) {
    const start = performance.now();
    const c = tf.matMul(a, b);
    if (i >= 2) rates.push((2 * 4096 * 256 * 704) / (performance.now() - start) / 1e6);
    c.dispose();
  }
  rates.sort((x, y) => x - y);
  tf.dispose([a, b]);
  return { gflops: rates[rates.length - 1], gflops_median: rates[rates.length >> 1] };
}

const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);

const step = makeStep();
const start = performance.now();
const { loss: firstLoss } = timed(step, 1);
const first = (performance.now() - start) / 1000;
timed(step, Math.max(0, Number(options.warmup) - 1));
const about = {
  peer: "tfjs",
  mode: "wasm",
  version: tf.version.tfjs,
  threads: 1,
  compile_seconds: Math.round(first * 100) / 100,
  first_loss: firstLoss,
};
if (options.interactive) {
  say({ ready: true, ...about });
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, count] = line.trim().split(/\s+/);
    if (command === "quit") break;
    if (command === "step") say(timed(step, Number(count ?? 1)));
    else if (command === "matmul") say(matmulRate());
    else say({ error: `unknown command "${line}"; expected: step N, matmul, quit` });
  }
} else {
  const run = timed(step, Number(options.steps));
  const median = [...run.ms_per_step].sort((a, b) => a - b)[run.ms_per_step.length >> 1];
  say({ ...about, ...run, tokens_per_second: Math.round(((BATCH * SEQ) / median) * 1000), ...matmulRate() });
}
process.exit(0);
