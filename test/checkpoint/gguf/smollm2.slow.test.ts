/**
 * A real model, SmolLM2-135M-Instruct, from its GGUF file (Q4_1) to answers. Its weights are no part of the repository:
 * SPUTNIK_SMOLLM2 names the file, or `npm run bench -- real-model` has fetched it before.
 */

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { perplexity, windows } from "../../../bench/perplexity.ts";
import { findSmolLm2 } from "../../../bench/smollm2.ts";
import type { LoadedModel } from "../../../src/checkpoint/folder.ts";
import { loadGguf } from "../../../src/checkpoint/gguf/model.ts";
import { asValues } from "../../../src/checkpoint/values.ts";
import { expectedShapes } from "../../../src/checkpoint/weights.ts";
import { Engine } from "../../../src/runtime/engine.ts";
import { Sampler } from "../../../src/sample/sampler.ts";
import { type Chat, chatOf, encodeChat } from "../../../src/tokenizer/chat.ts";

/** Of the text's first 512 tokens, by llama.cpp (node-llama-cpp 3.21.1) on the same file. */
const LLAMA_CPP = 25.535;

const file = findSmolLm2();
const reason = file === null ? ", skipped: its weights are not here, set SPUTNIK_SMOLLM2" : "";

describe.skipIf(file === null)(`SmolLM2-135M-Instruct${reason}`, () => {
  let model: LoadedModel;
  let sampler: Sampler;
  beforeAll(async () => {
    model = loadGguf(file as string, expectedShapes);
    sampler = await Sampler.create(model.config, new Engine());
  }, 300_000);
  afterAll(() => sampler?.release());

  it.each([
    ["What is the capital of France?", /Paris/],
    ["What is the capital of Japan?", /Tokyo/],
    ["What is 2 + 2?", /\b4\b|four/i],
    ["Which planet do we live on?", /Earth/],
  ])("answers %j by its chat template", async (content, expected) => {
    const chat = chatOf(model.tokenizerConfig) as Chat;
    const prompt = encodeChat(model.tokenizer, chat, [{ role: "user", content }], {
      addGenerationPrompt: true,
    });
    const { generations } = await sampler.with(asValues(model.parameters))(
      [{ prompt, maxNewTokens: 48, key: ["answer"] }],
      { sampling: { temperature: 0 }, stopIds: model.tokenizer.stopIds },
    );
    expect(model.tokenizer.decode(generations[0].ids)).toMatch(expected);
  });

  it("finds the beginning of Newton's Opticks as likely as llama.cpp does", async () => {
    const text = readFileSync(new URL("../../../bench/texts/opticks.txt", import.meta.url), "utf8");
    const ids = model.tokenizer.encode(text);
    const value = await perplexity(model, windows(ids).slice(0, 1));
    // A wrong rotation or order of heads gives hundreds.
    expect(value / LLAMA_CPP).toBeGreaterThan(0.99);
    expect(value / LLAMA_CPP).toBeLessThan(1.01);
  });
});
