/** Perplexity of a text in windows of 512 tokens, ours against llama.cpp's (with keys and values in f32) on the same file. */

import type { LoadedModel } from "../src/checkpoint/folder.ts";
import { asValues } from "../src/checkpoint/values.ts";
import { sourceOf } from "../src/checkpoint/weights.ts";
import { causalMask } from "../src/models/masks.ts";
import { Engine } from "../src/runtime/engine.ts";
import { host, i32, scalar } from "../src/runtime/session.ts";
import { Scorer, traceScore } from "../src/sample/scorer.ts";
import { type BakedOptions, bakedParameters, openBaked } from "../src/sample/weights.ts";
import { LlamaCpp } from "../test/checkpoint/gguf/llama-cpp.ts";
import { ggufOf, type Precision } from "./real-model-sides.ts";
import type { Row } from "./rows.ts";

/** The beginning of Newton's Opticks (4th edition, 1730), in the public domain: 2,269 tokens. */
export const TEXT = new URL("texts/opticks.txt", import.meta.url);

const WINDOW = 512;

/** Whole windows only; each is read on its own, and its first token is given. */
export function windows(ids: readonly number[]): number[][] {
  return Array.from({ length: Math.floor(ids.length / WINDOW) }, (_, i) =>
    ids.slice(i * WINDOW, (i + 1) * WINDOW),
  );
}

/** Ours, in f32. */
export async function perplexity(
  model: Pick<LoadedModel, "config" | "parameters">,
  parts: readonly number[][],
): Promise<number> {
  const scorer = await Scorer.create(model.config, new Engine());
  const parameters = asValues(model.parameters);
  const logProbs: number[] = [];
  for (const part of parts)
    logProbs.push(...(await scorer.score(parameters, feedsOf(part), 1)).subarray(0, -1));
  await scorer.release();
  return fromLogProbs(logProbs);
}

/** Ours, with weights and activations rounded as `options` say. */
export async function roundedPerplexity(
  { config, parameters }: Pick<LoadedModel, "config" | "parameters">,
  parts: readonly number[][],
  options: BakedOptions,
): Promise<number> {
  const source = sourceOf(parameters);
  const graph = traceScore(config, "shared", (graph, specs) =>
    bakedParameters(graph, specs, source, options),
  );
  const session = await openBaked(graph, new Engine());
  const logProbs: number[] = [];
  for (const part of parts) {
    const { logProbs: found } = await session.run({ ...feedsOf(part), inverseTemperature: scalar(1) });
    logProbs.push(...(host(found).data as Float32Array).subarray(0, -1));
  }
  await session.release();
  return fromLogProbs(logProbs);
}

function feedsOf(part: readonly number[]) {
  const shape = [1, part.length];
  return {
    ids: i32([...part], shape),
    positions: i32([...part.keys()], shape),
    mask: causalMask(part.length),
    targets: i32([...part.slice(1), 0], shape),
  };
}

async function llamaPerplexity(gguf: string, parts: readonly number[][]): Promise<number> {
  const llama = await LlamaCpp.open(gguf, WINDOW);
  const logProbs: number[] = [];
  for (const part of parts) logProbs.push(...(await llama.logProbs(part)));
  await llama.close();
  return fromLogProbs(logProbs);
}

/** e to the mean of -log p. */
const fromLogProbs = (values: readonly number[]): number =>
  Math.exp(-values.reduce((total, value) => total + value, 0) / values.length);

/**
 * The row of the issue is the file as it came, Q4_1. llama.cpp rounds activations to 8 bits there, we compute in f32; a
 * file in F32 shows what is left without that.
 */
export async function perplexities(file: string, model: LoadedModel, ids: readonly number[]): Promise<Row[]> {
  const parts = windows(ids);
  const available = await LlamaCpp.available();
  const mine = available ? await perplexity(model, parts) : Number.NaN;
  const rows: Row[] = [];
  for (const [precision, suffix] of [
    ["Q4_1", ""],
    ["F32", "-f32"],
  ] as [Precision, string][]) {
    const theirs = available ? await llamaPerplexity(ggufOf(precision, model, file), parts) : Number.NaN;
    rows.push({
      name: `real-model/perplexity-difference${suffix}`,
      value: Math.abs(mine / theirs - 1),
      unit: "relative",
      atMost: 0.01,
      note: available
        ? `${mine.toFixed(4)} against ${theirs.toFixed(4)}, ${parts.length} x ${WINDOW} tokens`
        : "the peer is not installed",
    });
  }
  return rows;
}
