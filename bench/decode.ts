/**
 * Batch-64 decoding of the same model, 192 tokens after a prompt of 4, as a share of this machine's MatMul rate at
 * that batch: products of a layer's sizes with 64 rows.
 */
import { decoderParameters } from "../src/models/dense.ts";
import { initialise } from "../src/models/layers.ts";
import { measureMatmulRate } from "../src/runtime/measure.ts";
import { Sampler } from "../src/sample/engine.ts";
import { median, type Row } from "./rows.ts";
import { MODEL } from "./train.ts";

const BATCH = 64;
const NEW_TOKENS = 192;
const ROUNDS = 7;
/** A layer's two kinds of product with 64 rows. */
const PRODUCTS = [
  { rows: BATCH, inner: MODEL.width, cols: MODEL.ffn },
  { rows: BATCH, inner: MODEL.ffn, cols: MODEL.width },
];

export async function benchDecode(): Promise<Row[]> {
  const parameters = initialise(decoderParameters(MODEL), 1);
  const sampler = await Sampler.create(MODEL);
  const requests = Array.from({ length: BATCH }, (_, i) => ({
    prompt: [1, 2, 3, i + 4],
    maxNewTokens: NEW_TOKENS,
    key: ["bench", i],
  }));
  const shares: number[] = [];
  const speeds: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const before = await measureMatmulRate(100, undefined, PRODUCTS);
    const start = performance.now();
    const { flops, tokens } = await sampler.generate(parameters, requests, {
      temperature: 1,
      stopIds: new Set(),
    });
    const seconds = (performance.now() - start) / 1000;
    const after = await measureMatmulRate(100, undefined, PRODUCTS);
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
      note: `${median(speeds).toFixed(0)} tokens/s`,
    },
  ];
}
