/** A model that learns in seconds to fill holes in code whose answer stands behind the hole. */

import { fimDocument } from "../../src/data/fill-in-the-middle.ts";
import type { DocumentSource } from "../../src/data/packing.ts";
import { Random } from "../../src/lib/random.ts";
import { allParameters } from "../../src/models/architectures.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { initialise } from "../../src/models/layers.ts";
import { Engine } from "../../src/runtime/engine.ts";
import type { HostValue, Value } from "../../src/runtime/session.ts";
import type { InferenceModel } from "../../src/sample/inference.ts";
import { Sampler } from "../../src/sample/sampler.ts";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { FIM_TOKENS } from "../../src/tokenizer/infill.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";
import { LanguageModelStage } from "../../src/train/language-model-stage.ts";
import type { LanguageModelOptions } from "../../src/train/options.ts";
import type { Model } from "../../src/train/stage.ts";
import { copyValues, muon, tinyContext } from "../train/tiny.ts";

/** A value and its name: only the end of a line tells which value stands before it. */
export const PAIRS = [
  ["17", "red"],
  ["42", "sky"],
  ["58", "fox"],
  ["93", "sun"],
] as const;

export const start = "a=";
export const tail = (name: string): string => `;//${name}\n`;

/** Bytes alone, so that a hole may begin anywhere. */
const tokenizer = new BpeTokenizer(trainBpe([], { vocabSize: 262, extra: Object.values(FIM_TOKENS) }));

const config: DecoderConfig = {
  ...{
    vocabSize: tokenizer.vocabSize,
    layers: 2,
    hiddenSize: 64,
    heads: 4,
    kvHeads: 4,
    headDim: 16,
    intermediateSize: 128,
  },
  ...{ maxPositions: 128, ropeTheta: 10000, normEps: 1e-6, tieEmbeddings: false },
};

const options: LanguageModelOptions = {
  kind: "pretrain",
  ...{ steps: 1500, batch: 8, accumulate: 1, sequence: 96, documentMask: true, recompute: false },
  optimizer: { ...muon, weightDecay: 0, lr: 0.02, adamLr: 0.005 },
  schedule: { kind: "constant", warmup: 10 },
};
const create = (source: DocumentSource, steps = options.steps): Promise<LanguageModelStage> =>
  LanguageModelStage.create(
    { config, parameters: initialise(allParameters(config), 3) },
    source,
    { ...options, steps },
    tinyContext,
  );

/** A model that says the alphabet, from anywhere and without an end. */
export async function trainTalker(): Promise<Model> {
  const alphabet = "abcdefghijklmnopqrstuvwxyz".repeat(5);
  const stage = await create((index) => {
    const from = new Random(3, "from", index).integer(0, 25);
    return { ids: tokenizer.encode(alphabet.slice(from, from + 96)), trainFrom: 0 };
  }, 60);
  while (stage.done < stage.totalSteps) await stage.advance();
  const parameters = copyValues(stage.parameters());
  await stage.release();
  return { config, tokenizer, parameters };
}

/** Trains on the lines, cut by the recipe's own rule, until `learned` or 1,500 steps. */
export async function trainFiller(learned: (model: InferenceModel) => Promise<boolean>): Promise<{
  model: InferenceModel;
  parameters: ReadonlyMap<string, HostValue>;
  release: () => Promise<void>;
  steps: number;
}> {
  const source: DocumentSource = (index) => {
    const [value, name] = PAIRS[index % PAIRS.length];
    return fimDocument(
      tokenizer,
      start + value + tail(name),
      { rate: 0.8, spm: 0 },
      new Random(3, "cut", index),
    );
  };
  const stage = await create(source);
  const sampler = await Sampler.create(config, new Engine());
  const answering = (parameters: ReadonlyMap<string, Value>): InferenceModel => ({
    ...{ config, tokenizer, generate: sampler.with(parameters) },
  });
  do for (let i = 0; i < 50; i++) await stage.advance();
  while (stage.done < stage.totalSteps && !(await learned(answering(stage.parameters()))));
  const parameters = copyValues(stage.parameters());
  await stage.release();
  return { model: answering(parameters), parameters, release: () => sampler.release(), steps: stage.done };
}
