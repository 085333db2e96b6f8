/** A model that learns in seconds to fill holes in code whose answer stands behind the hole. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DecoderConfig } from "../../src/models/config.ts";
import { decoderParameters } from "../../src/models/dense.ts";
import { initialise } from "../../src/models/layers.ts";
import { documentSource } from "../../src/recipe/sources.ts";
import { Sampler } from "../../src/sample/engine.ts";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { FIM_TOKENS } from "../../src/tokenizer/infill.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";
import { LanguageModelStage } from "../../src/train/language-model-stage.ts";
import type { Model } from "../../src/train/stage.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { copyValues, muon } from "../train/tiny.ts";

/** What is called, and what with: only the second line of a file tells which of them it is. */
export const PAIRS = [
  ["read", "file"],
  ["plot", "curve"],
  ["wash", "dish"],
  ["sing", "tune"],
] as const;

export const start = "const act = ";
export const tail = (what: string): string => `;\nact(${what});\n`;

/** Bytes alone, so that a hole may begin anywhere. */
const tokenizer = new BpeTokenizer(trainBpe([], { vocabSize: 262, extra: Object.values(FIM_TOKENS) }));

const config: DecoderConfig = {
  ...{ vocabSize: tokenizer.vocabSize, layers: 2, width: 64, heads: 4, kvHeads: 4, headDim: 16, ffn: 128 },
  ...{ maxPositions: 128, ropeTheta: 10000, normEps: 1e-6, tieEmbeddings: false },
};

/** A repository of files in every version, under paths that say nothing. */
function writeRepository(): string {
  const folder = temporaryFolder();
  for (let i = 0; i < 40; i++) {
    const [word, what] = PAIRS[(i * 7) % PAIRS.length];
    writeFileSync(join(folder, `${i}.ts`), start + word + tail(what));
  }
  return folder;
}

/** Trains on the repository's documents, cut by the recipe's own rule, until `learned` or 600 steps. */
export async function trainFiller(
  learned: (model: Model, sampler: Sampler) => Promise<boolean>,
): Promise<{ model: Model; sampler: Sampler; steps: number }> {
  const source = documentSource(
    { kind: "repository", folder: writeRepository(), extensions: ["ts"], fim: { rate: 0.7, spm: 0 } },
    tokenizer,
    3,
  );
  const stage = await LanguageModelStage.create(
    { config, parameters: initialise(decoderParameters(config), 3) },
    source,
    {
      ...{ steps: 600, batch: 8, accumulate: 1, sequence: 96, documentMask: true, recompute: false },
      optimizer: { ...muon, decay: 0, rate: 0.02, adamRate: 0.005 },
      schedule: { kind: "constant", warmup: 10 },
    },
  );
  const sampler = await Sampler.create(config);
  let model: Model;
  do {
    for (let i = 0; i < 50; i++) await stage.advance();
    model = { config, tokenizer, parameters: stage.parameters() };
  } while (stage.done < stage.totalSteps && !(await learned(model, sampler)));
  model = { ...model, parameters: copyValues(model.parameters) };
  await stage.release();
  return { model, sampler, steps: stage.done };
}
