/**
 * llama.cpp opens our files and says what we say. It runs where the benchmark's peer is installed: `npm ci` in
 * bench/peers/llama-cpp.
 */

import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { GgufFile } from "../../../src/checkpoint/gguf/file.ts";
import { exportGguf, loadGguf } from "../../../src/checkpoint/gguf/model.ts";
import { READ_OTHERWISE, SPLIT_RULES } from "../../../src/checkpoint/gguf/splits.ts";
import { f32 as f32Value, type MetadataValue, text, u32 } from "../../../src/checkpoint/gguf/values.ts";
import { writeGguf } from "../../../src/checkpoint/gguf/write.ts";
import { Random } from "../../../src/lib/random.ts";
import { allParameters } from "../../../src/models/architectures.ts";
import { initialise } from "../../../src/models/layers.ts";
import { f32, type HostValue } from "../../../src/runtime/session.ts";
import { CompactTokenizer } from "../../../src/tokenizer/compact.ts";
import { tokenizerFrom } from "../../../src/tokenizer/load.ts";
import type { Tokenizer } from "../../../src/tokenizer/tokenizer.ts";
import { generateNaively } from "../../sample/naive.ts";
import { temporaryFolder } from "../temporary.ts";
import { LlamaCpp } from "./llama-cpp.ts";
import { FUZZED, RULE_TEXTS, withRule } from "./rules.ts";

const folder = temporaryFolder();
const fixtures = new URL("../../fixtures/gguf/", import.meta.url).pathname;
const available = await LlamaCpp.available();

/** Weights N(0, 0.3): the likeliest token is ahead by far, so rounding does not decide. */
function lively(tokenizer: Tokenizer) {
  const config = {
    ...{
      vocabSize: tokenizer.vocabSize + 3,
      layers: 2,
      hiddenSize: 64,
      heads: 4,
      kvHeads: 2,
      headDim: 16,
      intermediateSize: 96,
    },
    ...{ maxPositions: 128, ropeTheta: 10000, normEps: 1e-5, tieEmbeddings: false },
  };
  // Multiples of 1/256 below 2: F16 holds them, so both types are the same model.
  const parameters = new Map<string, HostValue & { data: Float32Array }>();
  for (const [name, { shape, data }] of initialise(allParameters(config), 5)) {
    const random = new Random("lively", name);
    const one = name.includes("norm") ? 1 : 0;
    const rounded = Float32Array.from(
      data as Float32Array,
      () => Math.round((one + 0.3 * random.normal()) * 256) / 256,
    );
    parameters.set(name, f32(rounded, shape) as HostValue & { data: Float32Array });
  }
  return { config, parameters, tokenizer };
}

async function withLlamaCpp(file: string, use: (llama: LlamaCpp) => Promise<void>): Promise<void> {
  const llama = await LlamaCpp.open(file);
  try {
    await use(llama);
  } finally {
    await llama.close();
  }
}

describe.skipIf(!available)("llama.cpp", () => {
  const model = lively(tokenizerFrom(withRule("deepseek-v3")));
  const prompts = Array.from({ length: 20 }, (_, i) => {
    const words = RULE_TEXTS[i % RULE_TEXTS.length]!.slice(i, i + 12) || "a";
    return [model.tokenizer.bosId!, ...model.tokenizer.encode(words)].slice(0, 20);
  });

  it.each(["F32", "F16"] as const)("continues 20 prompts as we do, token for token, in %s", async (dtype) => {
    const requests = prompts.map((prompt, i) => ({ prompt, maxNewTokens: 16, key: ["greedy", i] }));
    const options = { sampling: { temperature: 0 }, stopIds: new Set<number>() };
    const ours = await generateNaively(model.config, model.parameters, requests, options);
    const file = join(folder, `${dtype}.gguf`);
    exportGguf(model, file, { dtype });
    await withLlamaCpp(file, async (llama) => {
      for (const [i, prompt] of prompts.entries())
        expect(await llama.greedy(prompt, 16), `prompt ${i}`).toEqual(ours[i]!.ids);
    });
    expect(new Set(ours.flatMap(({ ids }) => ids)).size).toBeGreaterThan(20);
  });

  it.each(["llama", "qwen2", "qwen3", "deepseek2"])(
    "continues as transformers does: %s",
    async (architecture) => {
      const source = join(folder, architecture);
      fs.cpSync(join(fixtures, architecture), source, { recursive: true });
      // node-llama-cpp cannot open a file without words; these ids have none, so any 29 will do.
      fs.writeFileSync(join(source, "tokenizer.json"), JSON.stringify(new CompactTokenizer().toJSON()));
      const file = join(folder, `${architecture}.gguf`);
      exportGguf(source, file, { dtype: "F32" });
      const cases = JSON.parse(fs.readFileSync(join(source, "greedy.json"), "utf8")) as {
        prompt: number[];
        continuation: number[];
      }[];
      await withLlamaCpp(file, async (llama) => {
        for (const { prompt, continuation } of cases)
          expect(await llama.greedy(prompt, continuation.length)).toEqual(continuation);
      });
    },
  );

  it.each(Object.keys(SPLIT_RULES))("cuts texts as we do: %s", async (name) => {
    const tokenizer = tokenizerFrom(withRule(name));
    const file = join(folder, `${name}.gguf`);
    exportGguf(lively(tokenizer), file);
    await withLlamaCpp(file, async (llama) => {
      const fuzzed = READ_OTHERWISE.includes(name) ? [] : FUZZED;
      for (const one of [...RULE_TEXTS, ...fuzzed]) {
        // llama.cpp does not normalise.
        const text = SPLIT_RULES[name]!.normalizer === null ? one : one.normalize("NFC");
        expect(llama.encode(text), text).toEqual(tokenizer.encode(text));
      }
    });
  });

  it("reads our closed vocabulary", async () => {
    const tokenizer = new CompactTokenizer();
    const file = join(folder, "compact.gguf");
    exportGguf(lively(tokenizer), file);
    const thought =
      "82, 27, 11 make 44\n<think>\n82 - 27 = 55, 55 - 11 = 44, yes!\n</think>\n<answer>(82 - 27) - 11</answer>";
    await withLlamaCpp(file, async (llama) => {
      expect(llama.encode(thought)).toEqual(tokenizer.encode(thought, { specials: true }));
    });
  });

  /** The file with other metadata. */
  function changed(file: string, entries: [string, MetadataValue][]): string {
    const opened = new GgufFile(file);
    const tensors = [...opened.header.tensors].map(([name, { shape }]) => {
      return { name, shape, type: "F32" as const, pieces: () => [opened.read(name)] };
    });
    const to = join(folder, "changed.gguf");
    writeGguf(to, new Map([...opened.header.metadata, ...entries]), tensors);
    opened.close();
    return to;
  }

  const yarn: [string, MetadataValue][] = [
    ["llama.rope.scaling.type", text("yarn")],
    ["llama.rope.scaling.factor", f32Value(4)],
  ];
  it.each<[string, [string, MetadataValue][]]>([
    ["none", []],
    ["by the key of 2023", [["llama.rope.scale_linear", f32Value(4)]]],
    ["by a factor without a type", [["llama.rope.scaling.factor", f32Value(4)]]],
    [
      "as none, in spite of a factor",
      [
        ["llama.rope.scaling.factor", f32Value(4)],
        ["llama.rope.scaling.type", text("none")],
      ],
    ],
    ["by YaRN", [...yarn, ["llama.rope.scaling.original_context_length", u32(32)]]],
    ["by YaRN over all positions", yarn],
    ["by YaRN with an attention factor", [...yarn, ["llama.rope.scaling.attn_factor", f32Value(0.5)]]],
  ])("scales positions as we do: %s", async (_, entries) => {
    const plain = join(folder, "plain-positions.gguf");
    exportGguf(model, plain, { dtype: "F32" });
    const file = changed(plain, entries);
    const read = loadGguf(file);
    const values = new Map([...read.parameters].map(([name, { shape, data }]) => [name, f32(data, shape)]));
    const requests = prompts.slice(0, 6).map((prompt, i) => ({ prompt, maxNewTokens: 24, key: ["rope", i] }));
    const options = { sampling: { temperature: 0 }, stopIds: new Set<number>() };
    const ours = await generateNaively(read.config, values, requests, options);
    await withLlamaCpp(file, async (llama) => {
      for (const [i, { prompt }] of requests.entries())
        expect(await llama.greedy(prompt, 24), `prompt ${i}`).toEqual(ours[i]!.ids);
    });
  });

  it("ends answers where we do", async () => {
    const words = [
      "<|eot_id|>",
      "<|im_end|>",
      "<|end|>",
      "<end_of_turn>",
      "<|endoftext|>",
      "<|eom_id|>",
      "<EOT>",
    ];
    const others = ["<|end_of_text|>", "<|file_sep|>", "<|fim_pad|>", "<|im_start|>", "<|fim_middle|>"];
    const json = structuredClone(withRule("qwen2")) as {
      added_tokens: { id: number; content: string; special: boolean }[];
    };
    let id = tokenizerFrom(json).vocabSize;
    for (const content of [...words, ...others])
      json.added_tokens.push({ ...json.added_tokens[0]!, id: id++, content, special: true });
    const file = join(folder, "ends.gguf");
    const talking = lively(tokenizerFrom(json));
    exportGguf(talking, file);
    const { stopIds } = loadGguf(file).tokenizer;
    expect(stopIds.size).toBeGreaterThan(9);
    await withLlamaCpp(file, async (llama) => {
      for (let one = 0; one < id; one++) expect(llama.ends(one), `id ${one}`).toBe(stopIds.has(one));
    });
  });
});
