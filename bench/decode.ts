/**
 * Batch-64 decoding of the same model, 192 tokens after a prompt of 4, as a share of this machine's MatMul rate at
 * that batch: products of a layer's sizes with 64 rows.
 */
import { allParameters } from "../src/models/architectures.ts";
import { initialise } from "../src/models/layers.ts";
import { profileProgram } from "../src/plan/profile.ts";
import { Engine } from "../src/runtime/engine.ts";
import { measureMatmulRate } from "../src/runtime/measure.ts";
import { traceDecode } from "../src/sample/graphs.ts";
import { Sampler } from "../src/sample/sampler.ts";
import { median, type Row } from "./rows.ts";
import { MODEL } from "./train.ts";

const BATCH = 64;
const NEW_TOKENS = 192;
const ROUNDS = 7;
/** A layer's two kinds of product with 64 rows. */
const PRODUCTS = [
  { rows: BATCH, inner: MODEL.hiddenSize, cols: MODEL.intermediateSize },
  { rows: BATCH, inner: MODEL.intermediateSize, cols: MODEL.hiddenSize },
];

/** Mean window of the cache over the tokens. */
const WINDOW = 112;

/** Where the time of a step over the mean window goes: what limits the share, beside sampling, which is not in it. */
async function profile(): Promise<string> {
  const program = {
    name: "decode",
    graph: traceDecode(MODEL),
    sizes: { batch: BATCH, past: WINDOW },
    runsPerStep: 1,
  };
  const { seconds, byPath } = await profileProgram(program, MODEL.vocabSize, { runs: 50 });
  const share = (of: (path: string, ops: string) => boolean) =>
    byPath.reduce((total, row) => total + (of(row.path, row.ops) ? row.share : 0), 0);
  const attends = (path: string) => /^layers\.\d+\.attn$/.test(path);
  const attention = share(attends);
  const products = share((path, ops) => !attends(path) && /MatMul/.test(ops));
  const { layers, kvHeads, headDim } = MODEL;
  const bytes = 2 * 4 * layers * kvHeads * headDim * BATCH * WINDOW;
  const percent = (x: number) => `${(100 * x).toFixed(0)} %`;
  return (
    `a step of ${(1000 * seconds).toFixed(1)} ms in the engine: products and what surrounds them ${percent(products)}, attention ${percent(attention)} ` +
    `(${(bytes / 1e6).toFixed(0)} MB of cache at ${(bytes / 1e9 / (attention * seconds)).toFixed(0)} GB/s), the rest ${percent(1 - products - attention)}`
  );
}

export async function benchDecode(): Promise<Row[]> {
  const parameters = initialise(allParameters(MODEL), 1);
  const sampler = await Sampler.create(MODEL, new Engine());
  const requests = Array.from({ length: BATCH }, (_, i) => ({
    prompt: [1, 2, 3, i + 4],
    maxNewTokens: NEW_TOKENS,
    key: ["bench", i],
  }));
  const shares: number[] = [];
  const speeds: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const before = await measureMatmulRate(undefined, 100, PRODUCTS);
    const start = performance.now();
    const { flops, tokens } = await sampler.with(parameters)(requests, {
      sampling: { temperature: 1 },
      stopIds: new Set(),
    });
    const seconds = (performance.now() - start) / 1000;
    const after = await measureMatmulRate(undefined, 100, PRODUCTS);
    if (round === 0) continue;
    shares.push(flops / seconds / ((before + after) / 2));
    speeds.push(tokens / seconds);
  }
  await sampler.release();
  const spread: [number, number] = [Math.min(...shares), Math.max(...shares)];
  return [
    {
      name: "decode/matmul-share",
      value: median(shares),
      unit: "of the MatMul rate at batch 64",
      atLeast: 0.5,
      spread,
      note: `${median(speeds).toFixed(0)} tokens/s; ${await profile()}`,
    },
  ];
}
