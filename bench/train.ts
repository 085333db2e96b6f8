/**
 * The training step of a 4-layer, width-256 dense decoder (sequence 256, batch 16, vocabulary 512, AdamW) against this
 * machine's MatMul rate, PyTorch on the CPU and the best JavaScript peer; all sides alternate in one run.
 */

import type { LanguageModelBatch } from "../src/data/packing.ts";
import { Random } from "../src/lib/random.ts";
import { allParameters } from "../src/models/architectures.ts";
import { initialise } from "../src/models/layers.ts";
import { measureMatmulRate } from "../src/runtime/measure.ts";
import { batchFeeds, languageModelLoss } from "../src/train/language-model.ts";
import { TrainStep } from "../src/train/step.ts";
import { Peer } from "./peer.ts";
import { median, type Row } from "./rows.ts";

export const MODEL = {
  vocabSize: 512,
  layers: 4,
  hiddenSize: 256,
  heads: 4,
  kvHeads: 4,
  headDim: 64,
  intermediateSize: 704,
  maxPositions: 256,
  ropeTheta: 10_000,
  normEps: 1e-6,
  tieEmbeddings: false,
};
export const [BATCH, SEQ] = [16, 256];
export const ROUNDS = 7;
export const STEPS = 3;

export const OPTIMIZER = {
  kind: "adamw" as const,
  lr: 1e-3,
  betas: [0.9, 0.95] as [number, number],
  epsilon: 1e-8,
  weightDecay: 0.1,
  clip: 1,
  momentum: 0,
};

/** Random ids, each of which is trained. */
export function randomRows(): LanguageModelBatch {
  const random = new Random(1, "bench");
  const tokens = BATCH * SEQ;
  const ids = () => Int32Array.from({ length: tokens }, () => random.integer(0, MODEL.vocabSize - 1));
  const weights = new Float32Array(tokens).fill(1 / tokens);
  return { ids: ids(), targets: ids(), weights, batch: BATCH, seq: SEQ };
}

export async function benchTrain(): Promise<Row[]> {
  const specs = allParameters(MODEL);
  const created = performance.now();
  const step = await TrainStep.create(
    specs,
    initialise(specs, 1),
    languageModelLoss(MODEL, { batch: BATCH, seq: SEQ, mask: "shared" }),
    OPTIMIZER,
  );
  const sessionSeconds = (performance.now() - created) / 1000;
  const tokens = BATCH * SEQ;
  const batch = batchFeeds(randomRows());
  const flops = step.flopsOf({});
  const ours = async (count: number): Promise<number[]> => {
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const start = performance.now();
      await step.step(batch, { lr: 1e-3, muonLr: 0 });
      times.push(performance.now() - start);
    }
    return times;
  };
  await ours(3);

  const shares: number[] = [];
  const rates: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = await measureMatmulRate();
    const ms = median(await ours(STEPS));
    const after = await measureMatmulRate();
    rates.push(flops / ms / 1e6);
    shares.push(flops / (ms / 1000) / ((before + after) / 2));
  }
  const rows: Row[] = [
    {
      name: "train/matmul-share",
      value: median(shares),
      unit: "of the MatMul rate",
      atLeast: 0.75,
      spread: extent(shares),
      note: `${median(rates).toFixed(0)} GFLOP/s, ${Math.round((tokens * median(rates) * 1e9) / flops)} tokens/s`,
    },
    { name: "train/session-seconds", value: sessionSeconds, unit: "s", atMost: 5 },
  ];
  for (const [name, atLeast, open, count] of [
    ["train/vs-pytorch-eager", 1.1, () => Peer.pytorch("eager"), STEPS],
    ["train/vs-pytorch-compile", 1, () => Peer.pytorch("compile"), STEPS],
    // Of the two JavaScript peers jax-js is the faster: bench/peers/README.md has both.
    ["train/vs-js", 4, () => Peer.jaxJs(), 1],
  ] as const) {
    const peer = await open();
    if (peer === null) {
      rows.push({ name, value: Number.NaN, unit: "x faster", atLeast, note: "the peer is not installed" });
      continue;
    }
    const ratios: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < (count === 1 ? 3 : ROUNDS); round++) {
      const mine = median(await ours(STEPS));
      const other = median(await peer.steps(count));
      theirs.push(other);
      ratios.push(other / mine);
    }
    await peer.quit();
    rows.push({
      name,
      value: median(ratios),
      unit: "x faster",
      atLeast,
      spread: extent(ratios),
      note: `peer ${median(theirs).toFixed(0)} ms a step`,
    });
  }
  await step.release();
  return rows;
}

const extent = (values: readonly number[]): [number, number] => [Math.min(...values), Math.max(...values)];
