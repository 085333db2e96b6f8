/** What recipes of a step or two begin from. */

import { join } from "node:path";
import { type Model, saveModel } from "../../src/checkpoint/folder.ts";
import { allParameters } from "../../src/models/architectures.ts";
import { initialise } from "../../src/models/layers.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { asParameters } from "../support/parameters.ts";
import { tinyConfig } from "../train/tiny.ts";

/** A model folder; `fields` are its further files. */
export function tinyModelFolder(fields: Partial<Pick<Model, "generation">> = {}): string {
  const folder = join(temporaryFolder(), "model");
  saveModel(folder, {
    config: tinyConfig,
    tokenizer: new CompactTokenizer(),
    parameters: asParameters(initialise(allParameters(tinyConfig), 1)),
    ...fields,
  });
  return folder;
}

/** Attempts at problems of two numbers, in rows of 48 tokens. */
export const TINY_DATA = `data: { kind: countdown-attempts, numbers: [2], hint: 0.3, singles: 0, maxAttempts: 1, goOn: 0.5, maxResult: 100 }
    sequence: 48`;
