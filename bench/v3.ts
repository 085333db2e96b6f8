/** DeepSeek-V3's design against what its paper says of it and against the dense design, at sizes that run here. */

import { allParameters, type ModelConfig, modelOf } from "../src/models/architectures.ts";
import type { DecoderConfig } from "../src/models/config.ts";
import { countParameters, initialise } from "../src/models/layers.ts";
import { type V3Config, v3FromHuggingFace } from "../src/models/v3-config.ts";
import { Engine } from "../src/runtime/engine.ts";
import { host } from "../src/runtime/value.ts";
import { KvCache } from "../src/sample/cache.ts";
import { batchFeeds, languageModelLoss, mtpFeeds } from "../src/train/language-model.ts";
import { createTrainStep } from "../src/train/step.ts";
import { activeParameters } from "../test/models/v3-tiny.ts";
import { mtpSpeedup } from "./mtp.ts";
import { median, type Row } from "./rows.ts";
import { BATCH, MODEL, OPTIMIZER, ROUNDS, randomRows, SEQ, STEPS } from "./train.ts";
import { denseMinusV3 } from "./v3-race.ts";

export async function benchV3(): Promise<Row[]> {
  return [cacheRatio(), await moeStepOverDense(), await mtpSpeedup(), await denseMinusV3()];
}

// ── the cache ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Published sizes (arXiv 2412.19437, section 4.2) in two of the 61 layers: all are alike, and 61 of MHA are 8 MB a token. */
const PUBLISHED: V3Config = { ...v3FromHuggingFace({ model_type: "deepseek_v3" }), layers: 2 };

const MHA: DecoderConfig = {
  vocabSize: PUBLISHED.vocabSize,
  layers: PUBLISHED.layers,
  hiddenSize: PUBLISHED.hiddenSize,
  heads: PUBLISHED.heads,
  kvHeads: PUBLISHED.heads,
  headDim: PUBLISHED.valueDim,
  intermediateSize: PUBLISHED.intermediateSize,
  maxPositions: PUBLISHED.maxPositions,
  ropeTheta: PUBLISHED.ropeTheta,
  normEps: PUBLISHED.normEps,
  tieEmbeddings: false,
};

const [ROWS, TOKENS] = [2, 224];

/** What a cache has allocated once it has room for `TOKENS` tokens of `ROWS` rows. */
function bytesHeld(config: ModelConfig): number {
  const cache = new KvCache(modelOf(config).cacheLayers);
  cache.reset(ROWS);
  cache.ensure(TOKENS, ROWS);
  const buffers = new Set(Object.values(cache.feeds(ROWS)).map((value) => host(value).data.buffer));
  return [...buffers].reduce((total, { byteLength }) => total + byteLength, 0);
}

/**
 * How many times less the cache of multi-head latent attention holds than that of MHA of the same heads, measured, over
 * the same by the formulas of DeepSeek-V2's table 1 (arXiv 2405.04434): 2 n_h d_h l for MHA, (d_c + d_h^R) l for MLA.
 * 1 is the paper's saving to the last byte; less would be a cache that holds more than the paper says.
 */
function cacheRatio(): Row {
  const { heads, valueDim, kvLoraRank: latent, ropeDim, layers } = PUBLISHED;
  const [mha, mla] = [bytesHeld(MHA), bytesHeld(PUBLISHED)];
  const paper = { mha: 2 * heads * valueDim, mla: latent + ropeDim };
  const each = (bytes: number) => bytes / (ROWS * TOKENS * layers);
  return {
    name: "v3/cache-ratio-to-paper",
    value: (mha * paper.mla) / (mla * paper.mha),
    unit: "of the paper's saving",
    atLeast: 1,
    note: `${(mha / mla).toFixed(1)} x less: ${each(mla)} B a token and layer in f32 against ${each(mha)}; the paper's is ${(paper.mha / paper.mla).toFixed(1)} x`,
  };
}

// ── the step of a mixture of experts ────────────────────────────────────────────────────────────────────────────────

/** The model of `train/*` with V3's attention: 3 x 240 of 9 experts' inner width are active, against 720 dense. */
const MOE: V3Config = {
  architecture: "deepseek_v3",
  vocabSize: MODEL.vocabSize,
  layers: 4,
  hiddenSize: 256,
  heads: 4,
  queryLoraRank: null,
  kvLoraRank: 64,
  nopeDim: 64,
  ropeDim: 32,
  valueDim: 64,
  intermediateSize: 720,
  denseLayers: 0,
  moeIntermediateSize: 240,
  experts: 8,
  activeExperts: 2,
  sharedExperts: 1,
  groups: 1,
  activeGroups: 1,
  normaliseWeights: true,
  routedScale: 1,
  maxPositions: 256,
  ropeTheta: 10_000,
  yarn: null,
  normEps: 1e-6,
  mtpLayers: 0,
  tieEmbeddings: false,
};
const DENSE: V3Config = { ...MOE, denseLayers: MOE.layers };
/** The first steps take their memory from the system. */
const WARMUP = 4;

/** A whole step (loss with balancing, gradients, AdamW) of 8 experts of which 2 are chosen over a dense one's. */
async function moeStepOverDense(): Promise<Row> {
  const rows = randomRows();
  const feeds = { ...batchFeeds(rows), ...mtpFeeds(rows) };
  const side = async (config: V3Config) => {
    const specs = allParameters(config);
    const loss = languageModelLoss(
      config,
      { batch: BATCH, seq: SEQ, mask: "shared" },
      { balanceFactor: 1e-4, mtpFactor: 0 },
    );
    const step = await createTrainStep(specs, initialise(specs, 1), loss, OPTIMIZER, {
      engine: new Engine(),
    });
    const time = async (count: number): Promise<number> => {
      const times: number[] = [];
      for (let i = 0; i < count; i++) {
        const start = performance.now();
        await step.update([feeds], { lr: OPTIMIZER.lr, muonLr: 0 });
        times.push(performance.now() - start);
      }
      return median(times);
    };
    return { step, time };
  };
  const [dense, moe] = [await side(DENSE), await side(MOE)];
  await dense.time(WARMUP);
  await moe.time(WARMUP);
  const ratios: number[] = [];
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const ms = await dense.time(STEPS);
    times.push(ms);
    ratios.push((await moe.time(STEPS)) / ms);
  }
  await dense.step.release();
  await moe.step.release();
  const millions = (count: number) => `${(count / 1e6).toFixed(1)} M`;
  return {
    name: "v3/moe-step-over-dense",
    value: median(ratios),
    unit: "x the dense step",
    atMost: 1.2,
    spread: [Math.min(...ratios), Math.max(...ratios)],
    note: `${median(times).toFixed(0)} ms dense; ${millions(activeParameters(MOE))} active of ${millions(countParameters(allParameters(MOE)))} against ${millions(countParameters(allParameters(DENSE)))}`,
  };
}
