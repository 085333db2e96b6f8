/**
 * The jax-js peer (WebAssembly): the training step of the benchmark's decoder, written in jax-js as its users would,
 * jitted whole: forward, backward, global-norm clipping, AdamW. 4 layers, width 256, 4 heads, SwiGLU 704, vocabulary
 * 512, sequence 256, batch 16, float32. The protocol is that of ../pytorch_train.py.
 *
 *   npm install && npx tsx train.ts [--steps N] [--warmup N] [--threads N] [--interactive]
 */
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import type { numpy } from "@jax-js/jax";
import { installIteratorHelpers, installWebWorkers } from "./node20.ts";

const { values: options } = parseArgs({
  options: {
    steps: { type: "string", default: "2" },
    warmup: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    interactive: { type: "boolean", default: false },
  },
});
installIteratorHelpers();
// Before jax-js is loaded: it looks for `Worker` when its backend starts. One thread needs no pool.
if (Number(options.threads) > 1) installWebWorkers(Number(options.threads));
const { blockUntilReady, init, jit, nn, numpy: np, valueAndGrad } = await import("@jax-js/jax");
await init("wasm");

type Tensor = numpy.Array;
type Parameters = Record<string, Tensor>;

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

function tensor(shape: number[], value: () => number): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return np.array(Float32Array.from({ length: size }, value)).reshape(shape);
}

/** Weights are [in, out], so that no product needs a transpose. */
function initialParameters(): Parameters {
  const matrix = (rows: number, cols: number) => tensor([rows, cols], () => normal() * 0.02);
  const ones = () => tensor([WIDTH], () => 1);
  const parameters: Parameters = { embed: matrix(VOCAB, WIDTH), norm: ones(), head: matrix(WIDTH, VOCAB) };
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

function rmsNorm(x: Tensor, weight: Tensor): Tensor {
  const meanSquare = np.mean(np.square(x.ref), -1, { keepdims: true });
  return x.div(np.sqrt(meanSquare.add(1e-6))).mul(weight);
}

/** x [batch, seq, heads, headDim], tables [1, seq, 1, headDim / 2]. */
function rope(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  const [a, b] = np.split(x, 2, -1);
  const first = a.ref.mul(cos.ref).sub(b.ref.mul(sin.ref));
  const second = b.mul(cos).add(a.mul(sin));
  return np.concatenate([first, second], -1);
}

/** The mean cross-entropy of `targets` [batch · seq] after `ids` [batch · seq]; each argument is used up. */
function lossOf(parameters: Parameters, ids: Tensor, targets: Tensor, cos: Tensor, sin: Tensor): Tensor {
  const take = (name: string) => parameters[name];
  // A product with one-hot rows: its gradient is a product too, where a gather's would be a scatter.
  let x = np.matmul(nn.oneHot(ids, VOCAB), take("embed"));
  for (let layer = 0; layer < LAYERS; layer++) {
    const weight = (name: string) => take(`${layer}.${name}`);
    const normed = rmsNorm(x.ref, weight("attentionNorm"));
    const project = (name: string) =>
      np.matmul(normed.ref, weight(name)).reshape([BATCH, SEQ, HEADS, HEAD_DIM]);
    const q = rope(project("q"), cos.ref, sin.ref);
    const k = rope(project("k"), cos.ref, sin.ref);
    const mixed = nn.dotProductAttention(q, k, project("v"), { isCausal: true });
    normed.dispose();
    x = x.add(np.matmul(mixed.reshape([BATCH * SEQ, WIDTH]), weight("o")));
    const inner = rmsNorm(x.ref, weight("mlpNorm"));
    const hidden = nn.silu(np.matmul(inner.ref, weight("gate"))).mul(np.matmul(inner, weight("up")));
    x = x.add(np.matmul(hidden, weight("down")));
  }
  cos.dispose();
  sin.dispose();
  const logits = np.matmul(rmsNorm(x, take("norm")), take("head"));
  const picked = nn.logSoftmax(logits, -1).mul(nn.oneHot(targets, VOCAB));
  return np.sum(picked).mul(-1 / (BATCH * SEQ));
}

interface State {
  [key: string]: Parameters;
  parameters: Parameters;
  m: Parameters;
  v: Parameters;
}

/** One step; `corrections` = 1 / (1 - beta1^t), 1 / (1 - beta2^t). */
const trainStep = jit(
  (
    state: State,
    ids: Tensor,
    targets: Tensor,
    cos: Tensor,
    sin: Tensor,
    correction1: Tensor,
    correction2: Tensor,
  ) => {
    const refs = Object.fromEntries(Object.entries(state.parameters).map(([name, p]) => [name, p.ref]));
    const [loss, gradients] = valueAndGrad(lossOf)(refs, ids, targets, cos, sin) as [Tensor, Parameters];
    const squares = Object.values(gradients).map((g) => np.sum(np.square(g.ref)));
    const norm = np.sqrt(squares.reduce((a, b) => a.add(b)));
    const scale = np.minimum(np.reciprocal(norm.add(1e-6)).mul(CLIP), 1);
    const next: State = { parameters: {}, m: {}, v: {} };
    for (const [name, parameter] of Object.entries(state.parameters)) {
      const g = gradients[name].mul(scale.ref);
      const m = state.m[name].mul(ADAM.beta1).add(g.ref.mul(1 - ADAM.beta1));
      const v = state.v[name].mul(ADAM.beta2).add(np.square(g).mul(1 - ADAM.beta2));
      const denominator = np.sqrt(v.ref.mul(correction2.ref)).add(ADAM.epsilon);
      const update = m.ref.mul(correction1.ref).div(denominator).mul(ADAM.rate);
      next.parameters[name] = parameter.mul(1 - ADAM.rate * ADAM.decay).sub(update);
      next.m[name] = m;
      next.v[name] = v;
    }
    scale.dispose();
    correction1.dispose();
    correction2.dispose();
    return { loss, state: next };
  },
);

function makeStep(): () => Promise<number> {
  const parameters = initialParameters();
  const zeros = () =>
    Object.fromEntries(Object.entries(parameters).map(([name, p]) => [name, np.zeros(p.shape)]));
  let state: State = { parameters, m: zeros(), v: zeros() };
  const rows = Array.from({ length: BATCH }, () =>
    Array.from({ length: SEQ + 1 }, () => Math.floor(random() * VOCAB)),
  );
  const ids = np.array(Int32Array.from(rows.flatMap((row) => row.slice(0, -1))));
  const targets = np.array(Int32Array.from(rows.flatMap((row) => row.slice(1))));
  const table = (of: (angle: number) => number) => {
    const half = HEAD_DIM / 2;
    const angle = (i: number) => Math.floor(i / half) * 10000 ** (-(i % half) / half);
    return np
      .array(Float32Array.from({ length: SEQ * half }, (_, i) => of(angle(i))))
      .reshape([1, SEQ, 1, half]);
  };
  const cos = table(Math.cos);
  const sin = table(Math.sin);
  let step = 0;
  return async () => {
    step++;
    const correction = (beta: number) => np.array(1 / (1 - beta ** step));
    const result = trainStep(
      state,
      ids.ref,
      targets.ref,
      cos.ref,
      sin.ref,
      correction(ADAM.beta1),
      correction(ADAM.beta2),
    ) as { loss: Tensor; state: State };
    state = result.state;
    await blockUntilReady(state);
    return (await result.loss.data())[0];
  };
}

async function timed(step: () => Promise<number>, count: number) {
  const times: number[] = [];
  let loss = Number.NaN;
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    loss = await step();
    times.push(Math.round((performance.now() - start) * 100) / 100);
  }
  return { ms_per_step: times, loss };
}

/** GFLOP/s of [4096, 256] x [256, 704]: the best and the median of 10. */
async function matmulRate() {
  const a = tensor([4096, 256], normal);
  const b = tensor([256, 704], normal);
  const rates: number[] = [];
  for (let i = 0; i < 12; i++) {
    const start = performance.now();
    const product = np.matmul(a.ref, b.ref);
    await product.blockUntilReady();
    if (i >= 2) rates.push((2 * 4096 * 256 * 704) / (performance.now() - start) / 1e6);
    product.dispose();
  }
  rates.sort((x, y) => x - y);
  a.dispose();
  b.dispose();
  return { gflops: rates[rates.length - 1], gflops_median: rates[rates.length >> 1] };
}

const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);

const step = makeStep();
const start = performance.now();
const { loss: firstLoss } = await timed(step, 1);
const first = (performance.now() - start) / 1000;
await timed(step, Math.max(0, Number(options.warmup) - 1));
const about = {
  peer: "jax-js",
  mode: "wasm",
  version: "0.1.25",
  threads: Number(options.threads),
  compile_seconds: Math.round(first * 100) / 100,
  first_loss: firstLoss,
};
if (options.interactive) {
  say({ ready: true, ...about });
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, count] = line.trim().split(/\s+/);
    if (command === "quit") break;
    if (command === "step") say(await timed(step, Number(count ?? 1)));
    else if (command === "matmul") say(await matmulRate());
    else say({ error: `unknown command "${line}"; expected: step N, matmul, quit` });
  }
} else {
  const run = await timed(step, Number(options.steps));
  const median = [...run.ms_per_step].sort((a, b) => a - b)[run.ms_per_step.length >> 1];
  say({
    ...about,
    ...run,
    tokens_per_second: Math.round(((BATCH * SEQ) / median) * 1000),
    ...(await matmulRate()),
  });
}
process.exit(0);
