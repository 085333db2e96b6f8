import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadModel } from "../../../src/checkpoint/folder.ts";
import { ggufArchitecture, toHuggingFaceConfig, toMetadata } from "../../../src/checkpoint/gguf/config.ts";
import { GgufFile } from "../../../src/checkpoint/gguf/file.ts";
import { exportGguf, loadGguf, withGguf } from "../../../src/checkpoint/gguf/model.ts";
import { Metadata, text, u32 } from "../../../src/checkpoint/gguf/values.ts";
import { writeGguf } from "../../../src/checkpoint/gguf/write.ts";
import { withSafetensors, writeSafetensors } from "../../../src/checkpoint/safetensors.ts";
import { allParameters, fromHuggingFace, toHuggingFace } from "../../../src/models/architectures.ts";
import { initialise } from "../../../src/models/layers.ts";
import { CompactTokenizer } from "../../../src/tokenizer/compact.ts";
import { tokenizerFrom } from "../../../src/tokenizer/load.ts";
import { temporaryFolder } from "../temporary.ts";
import { withRule } from "./rules.ts";

const folder = temporaryFolder();
const fixtures = new URL("../../fixtures/gguf/", import.meta.url).pathname;
const ARCHITECTURES = ["llama", "qwen2", "qwen3", "deepseek2"];
type Fields = Record<string, unknown>;
const configOf = (name: string): Fields =>
  JSON.parse(fs.readFileSync(join(fixtures, name, "config.json"), "utf8")) as Fields;

/** A model of 29 ids that has our own tokenizer. */
const config = {
  ...{
    vocabSize: 32,
    layers: 2,
    hiddenSize: 32,
    heads: 4,
    kvHeads: 2,
    headDim: 8,
    intermediateSize: 64,
    maxPositions: 64,
  },
  ...{ ropeTheta: 5000, normEps: 1e-5, tieEmbeddings: true },
};
const parameters = new Map(
  [...initialise(allParameters(config), 3)].map(([name, { shape, data }]) => [
    name,
    { shape, data: data as Float32Array },
  ]),
);
const model = { config, parameters, tokenizer: new CompactTokenizer() };
const shapes = () => new Map([...parameters].map(([name, { shape }]) => [name, shape]));

describe.each(ARCHITECTURES)("%s, a model by transformers", (architecture) => {
  const file = join(folder, `${architecture}.gguf`);
  exportGguf(join(fixtures, architecture), file, { dtype: "F32", tokenizer: false });
  const opened = new GgufFile(file);

  it("comes back with the same tensors, under the same names", () => {
    const { header } = opened;
    const source = new Map(
      [...header.tensors].map(([name, { shape }]) => [name, { shape, read: () => opened.read(name) }]),
    );
    const fields = toHuggingFaceConfig(header.metadata, source);
    expect(ggufArchitecture(file, fields)).toBe(architecture);
    // Without a tokenizer only the parts can be read, so give it one.
    const whole = join(folder, `${architecture}-whole.gguf`);
    rewrite(file, whole);
    withGguf(whole, ({ tensors }) =>
      withSafetensors(join(fixtures, architecture, "model.safetensors"), (stored) => {
        expect([...tensors.keys()].sort()).toEqual([...stored.header.tensors.keys()].sort());
        for (const [name, tensor] of tensors) {
          const { shape, data } = stored.readFloat32(name);
          expect(tensor.shape, name).toEqual(shape);
          expect(Buffer.from(tensor.read().buffer).equals(Buffer.from(data.buffer)), name).toBe(true);
          // Parts of some rows, in memory that is used again, which need not end with a head or an expert.
          const [width, rows] = [shape.at(-1)!, data.length / shape.at(-1)!];
          const step = Math.ceil(rows / 3) * width;
          const target = new Float32Array(step);
          for (let start = 0; start < data.length; start += step) {
            const count = Math.min(step, data.length - start);
            expect(tensor.read(start, count, target), name).toEqual(data.subarray(start, start + count));
          }
        }
      }),
    );
  });

  it("comes back with the same config", () => {
    const written = configOf(architecture);
    const source = new Map(
      [...opened.header.tensors].map(([name, { shape }]) => [name, { shape, read: () => opened.read(name) }]),
    );
    const fields = toHuggingFaceConfig(opened.header.metadata, source);
    for (const [field, value] of Object.entries(written)) {
      if (SAID_OTHERWISE.has(field)) continue;
      expect(fields[field], field).toEqual(value);
    }
    const rope = written.rope_parameters as Fields;
    expect(fields.rope_theta).toBe(rope.rope_theta);
    if (rope.rope_type === "default") expect(fields.rope_scaling).toBeNull();
    else {
      const { rope_theta: _, ...scaling } = rope;
      expect(fields.rope_scaling).toMatchObject(scaling);
    }
  });
});

/** What GGUF does not keep, or what transformers 5 says in another place. */
const SAID_OTHERWISE = new Set([
  ...[
    "dtype",
    "transformers_version",
    "initializer_range",
    "attention_dropout",
    "use_cache",
    "use_sliding_window",
  ],
  ...["bos_token_id", "eos_token_id", "pad_token_id", "rope_parameters", "pretraining_tp", "layer_types"],
  ...["sliding_window", "max_window_layers", "num_nextn_predict_layers", "output_router_logits", "head_dim"],
  "qk_head_dim",
]);

/** The same file with the compact tokenizer's words and unused ones in it. */
function rewrite(from: string, to: string): void {
  const opened = new GgufFile(from);
  const { metadata, tensors } = opened.header;
  const plain = join(folder, "compact.gguf");
  exportGguf(model, plain);
  const other = new GgufFile(plain);
  for (const [key, value] of other.header.metadata)
    if (key.startsWith("tokenizer.")) metadata.set(key, value);
  writeGguf(
    to,
    metadata,
    [...tensors].map(([name, { shape }]) => ({
      name,
      shape,
      type: "F32",
      pieces: () => [opened.read(name)],
    })),
  );
  opened.close();
  other.close();
}

const NOTHING = new Float32Array();

describe("row order of q and k", () => {
  it("interleaves the halves of each head in llama", () => {
    // Rows numbered 0 to 31 in heads of 8: the second row of the file is the first head's row 4.
    const numbered = new Map(parameters);
    const name = "model.layers.0.self_attn.q_proj.weight";
    numbered.set(name, { shape: [32, 32], data: Float32Array.from({ length: 1024 }, (_, i) => i >> 5) });
    const file = join(folder, "rows.gguf");
    exportGguf({ ...model, parameters: numbered }, file, { dtype: "F32" });
    const opened = new GgufFile(file);
    const rows = [...opened.read("blk.0.attn_q.weight")].filter((_, i) => i % 32 === 0);
    expect(rows.slice(0, 16)).toEqual([0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]);
    expect(opened.header.metadata.count("llama.attention.head_count_kv")).toBe(2);
    opened.close();
  });
});

describe("our model", () => {
  it.each(["F32", "F16", "Q8_0"] as const)("in %s comes back as near as the type allows", (dtype) => {
    const file = join(folder, `${dtype}.gguf`);
    exportGguf(model, file, { dtype, name: "tiny" });
    const loaded = loadGguf(file, shapes);
    expect(loaded.config).toEqual(config);
    expect(loaded.tokenizer).toBeInstanceOf(CompactTokenizer);
    expect((loaded.tokenizer as CompactTokenizer).words).toBe("countdown");
    expect([...loaded.tokenizer.stopIds]).toEqual([2]);
    expect([...loaded.parameters.keys()].sort()).toEqual([...parameters.keys()].sort());
    for (const [name, { data, shape }] of parameters) {
      const found = loaded.parameters.get(name)!;
      expect(found.shape).toEqual(shape);
      // Half a step of 11 bits, or of the block's largest / 127 (weights are N(0, 0.02), so below 0.1).
      const allowed = dtype === "F32" ? 0 : dtype === "F16" ? 2 ** -11 : undefined;
      for (const [i, value] of data.entries()) {
        const limit = allowed === undefined ? 0.1 / 127 / 2 : allowed * Math.abs(value) + 2 ** -25;
        expect(Math.abs(found.data[i]! - value)).toBeLessThanOrEqual(name.includes("norm") ? 0 : limit);
      }
    }
  });

  it.each([
    ["deepseek-coder", 1],
    ["deepseek-v3", 0],
  ])("says where llama.cpp reads the texts of %s otherwise", (name, count) => {
    const tokenizer = tokenizerFrom(withRule(name));
    const rows = { ...config, vocabSize: tokenizer.vocabSize };
    const table = { shape: [rows.vocabSize, 32], data: new Float32Array(rows.vocabSize * 32) };
    const model = {
      config: rows,
      tokenizer,
      parameters: new Map(parameters).set("model.embed_tokens.weight", table),
    };
    const notes = exportGguf(model, join(folder, `${name}-notes.gguf`));
    expect(notes).toHaveLength(count);
    for (const note of notes) expect(note).toContain(name);
  });

  it("written again from a GGUF file keeps the chat template and every stop id", () => {
    const first = join(folder, "first.gguf");
    const generation = { eos_token_id: [2, 3, 4] };
    const tokenizer = tokenizerFrom(withRule("qwen2"), { generationConfig: generation });
    const rows = { ...config, vocabSize: tokenizer.vocabSize };
    const table = { shape: [rows.vocabSize, 32], data: new Float32Array(rows.vocabSize * 32) };
    const talking = {
      config: rows,
      tokenizer,
      parameters: new Map(parameters).set("model.embed_tokens.weight", table),
      tokenizerConfig: { chat_template: "{{ messages }}" },
    };
    exportGguf(talking, first);
    const second = join(folder, "second.gguf");
    exportGguf(loadGguf(first), second);
    const { tokenizerConfig, tokenizer: read } = loadGguf(second);
    expect(tokenizerConfig.chat_template).toBe("{{ messages }}");
    expect([...read.stopIds].sort()).toEqual([2, 3, 4]);
  });

  it("says which ends of an answer a file has no room for, and keeps a template for tools", () => {
    const generationConfig = { eos_token_id: [2, 10, 11, 12] };
    const tokenizer = tokenizerFrom(withRule("qwen2"), { generationConfig });
    const rows = { ...config, vocabSize: tokenizer.vocabSize };
    const table = { shape: [rows.vocabSize, 32], data: new Float32Array(rows.vocabSize * 32) };
    const chat_template = { default: "D", tool_use: "T" };
    const file = join(folder, "ends.gguf");
    const notes = exportGguf(
      {
        ...{ config: rows, tokenizer, tokenizerConfig: { chat_template } },
        parameters: new Map(parameters).set("model.embed_tokens.weight", table),
      },
      file,
    );
    const word = (withRule("qwen2").model as { vocab: Record<string, number> }).vocab;
    const lost = Object.keys(word).find((one) => word[one] === 12)!;
    expect(notes).toEqual([
      `the format has no field for more stop tokens: llama.cpp does not stop at ${lost}.`,
    ]);
    const { tokenizer: read, tokenizerConfig } = loadGguf(file);
    expect([...read.stopIds].sort((a, b) => a - b)).toEqual([2, 10, 11]);
    expect(tokenizerConfig.chat_template).toEqual([
      { name: "default", template: "D" },
      { name: "tool_use", template: "T" },
    ]);
  });

  it("as exported from a folder is the same file as from memory, up to the chat template", () => {
    const source = new URL("../../../models/", import.meta.url).pathname;
    const shipped = join(source, fs.readdirSync(source)[0]!);
    exportGguf(shipped, join(folder, "a.gguf"), { dtype: "F32" });
    exportGguf(loadModel(shipped), join(folder, "b.gguf"), { dtype: "F32" });
    expect(fs.readFileSync(join(folder, "a.gguf")).equals(fs.readFileSync(join(folder, "b.gguf")))).toBe(
      true,
    );
  });
});

/** A fixture with another config. */
function copyOf(name: string, change: Fields): string {
  const copy = fs.mkdtempSync(join(folder, "copy-"));
  fs.cpSync(join(fixtures, name), copy, { recursive: true });
  fs.writeFileSync(join(copy, "config.json"), JSON.stringify({ ...configOf(name), ...change }));
  return copy;
}

describe("a folder's config counts as it is understood", () => {
  const written = (source: string) => {
    const file = join(folder, "understood.gguf");
    exportGguf(source, file, { dtype: "F32", tokenizer: false });
    const opened = new GgufFile(file);
    opened.close();
    return opened.header;
  };

  it("fields of V3 that are absent have transformers' defaults, not zeros", () => {
    const absent = { norm_topk_prob: undefined, routed_scaling_factor: undefined };
    const { metadata } = written(copyOf("deepseek2", absent));
    expect(metadata.flag("deepseek2.expert_weights_norm", null)).toBe(true);
    expect(metadata.number("deepseek2.expert_weights_scale")).toBe(2.5);
  });

  it("a Mistral without a window is written as the Llama that it is", () => {
    const { metadata } = written(copyOf("llama", { model_type: "mistral", sliding_window: null }));
    expect(metadata.text("general.architecture")).toBe("llama");
  });

  it("a tied folder that stores the output matrix alone has an embedding", () => {
    const source = copyOf("qwen2", {});
    const stored = withSafetensors(join(source, "model.safetensors"), (opened) =>
      [...opened.header.tensors.keys()].map(
        (name) => [name.replace("model.embed_tokens", "lm_head"), opened.readFloat32(name)] as const,
      ),
    );
    const tensors = new Map(stored.map(([name, one]) => [name, { dtype: "F32" as const, ...one }]));
    writeSafetensors(join(source, "model.safetensors"), tensors);
    expect(written(source).tensors.has("token_embd.weight")).toBe(true);
  });
});

describe("refused", () => {
  const file = join(folder, "refused.gguf");
  it("an architecture that is not known, with those that are", () => {
    writeGguf(file, new Map([["general.architecture", text("mamba")]]), []);
    expect(() => loadGguf(file)).toThrow(
      /key general.architecture: expected one of llama, qwen2, qwen3, deepseek2, found "mamba"/,
    );
    expect(() => toMetadata("x", { model_type: "gpt_neox" })).toThrow(
      /model_type: expected llama, qwen2, qwen3, deepseek_v3, found "gpt_neox"/,
    );
  });

  it("a missing number, a missing tensor and one too many", () => {
    writeGguf(file, new Map([["general.architecture", text("llama")]]), []);
    expect(() => loadGguf(file)).toThrow(/key llama.vocab_size: expected a whole number, found nothing/);
    exportGguf(model, file);
    const more = () => new Map([...shapes(), ["model.more.weight", [1]]]);
    expect(() => loadGguf(file, more)).toThrow(/tensor model.more.weight: expected it to be stored/);
    const odd = new Map(parameters).set("model.layers.0.odd.weight", {
      shape: [1],
      data: Float32Array.of(1),
    });
    expect(() => exportGguf({ ...model, parameters: odd }, file)).toThrow(/tensor model.layers.0.odd.weight/);
  });

  it("an expert that is missing", () => {
    const fields = configOf("deepseek2");
    const copy = copyOf("deepseek2", { n_routed_experts: Number(fields.n_routed_experts) + 4 });
    expect(() => exportGguf(copy, file, { tokenizer: false })).toThrow(
      /tensor .*mlp\.experts\.8\.\w+_proj\.weight.*: expected it to be stored/,
    );
  });

  it("a tied pair that differs, an output matrix that is missing, more words than rows", () => {
    const head = parameters.get("model.embed_tokens.weight")!;
    const other = { ...head, data: head.data.map((x) => x + 1) };
    const both = (lm: typeof head) => ({
      ...model,
      parameters: new Map(parameters).set("lm_head.weight", lm),
    });
    exportGguf(both(head), file);
    expect(loadGguf(file, shapes).config.tieEmbeddings).toBe(true);
    expect(() => exportGguf(both(other), file)).toThrow(/lm_head.weight: expected the values of/);
    expect(() => exportGguf({ ...model, config: { ...config, tieEmbeddings: false } }, file)).toThrow(
      /lm_head.weight: expected it to be stored.*Set tie_word_embeddings to true/,
    );
    const few = { ...config, vocabSize: 20 };
    const rows = { shape: [20, 32], data: head.data.slice(0, 640) };
    const short = new Map(parameters).set("model.embed_tokens.weight", rows);
    expect(() => exportGguf({ ...model, config: few, parameters: short }, file)).toThrow(/at most 20 ids/);
  });

  it("scaled positions that the format has no field for", () => {
    const llama = configOf("llama");
    const metadata = (rope_scaling: unknown) => {
      const understood = fromHuggingFace({ ...llama, rope_parameters: undefined, rope_scaling });
      return new Map(toMetadata("x", toHuggingFace(understood, { bosId: null, eosIds: [], padId: null })));
    };
    const value = (scaling: unknown, key: string) =>
      metadata(scaling).get(`llama.rope.scaling.${key}`)?.value;
    expect(() => metadata({ type: "dynamic", factor: 2 })).toThrow(
      /expected linear, yarn or llama3, found "dynamic"/,
    );
    for (const change of [{ mscale: 0.5, mscale_all_dim: 1 }, { attention_factor: 2 }, { truncate: false }])
      expect(() => metadata({ rope_type: "yarn", factor: 2, ...change })).toThrow(
        /expected YaRN as in its paper/,
      );
    expect(value({ type: "linear", factor: 2 }, "factor")).toBe(2);
    // The ratio of the lengths.
    const ratio = { rope_type: "yarn", factor: null, original_max_position_embeddings: 16 };
    expect(value(ratio, "factor")).toBe(Number(llama.max_position_embeddings) / 16);
  });

  it("DeepSeek-V2's routers", () => {
    exportGguf(join(fixtures, "deepseek2"), file, { tokenizer: false });
    const { metadata, tensors } = new GgufFile(file).header;
    metadata.set("deepseek2.expert_gating_func", u32(1));
    const source = new Map([...tensors].map(([name, { shape }]) => [name, { shape, read: () => NOTHING }]));
    expect(() => toHuggingFaceConfig(metadata, source)).toThrow(
      /expert_gating_func: expected 2 \(sigmoid\), found 1.*DeepSeek-V2/,
    );
  });

  it("frequency factors that are not Llama 3's", () => {
    exportGguf(join(fixtures, "llama"), file, { dtype: "F32", tokenizer: false });
    const opened = new GgufFile(file);
    const source = new Map(
      [...opened.header.tensors].map(([name, { shape }]) => [name, { shape, read: () => opened.read(name) }]),
    );
    const factors = opened.read("rope_freqs.weight");
    factors[1]! *= 1.1;
    source.set("rope_freqs.weight", { shape: [factors.length], read: () => factors });
    expect(() => toHuggingFaceConfig(opened.header.metadata, source)).toThrow(
      /tensor rope_freqs.weight: expected the factors/,
    );
    opened.close();
  });

  it("a number that F16 has no room for", () => {
    const name = "lm_head.weight";
    const large = new Map(parameters).set(name, {
      shape: [32, 32],
      data: new Float32Array(1024).fill(70000),
    });
    const untied = { ...model, config: { ...config, tieEmbeddings: false }, parameters: large };
    expect(() => exportGguf(untied, file)).toThrow(
      /tensor output.weight: expected numbers below 65520.*Write F32/,
    );
    expect(fs.existsSync(`${file}.tmp`)).toBe(false);
  });

  it("a value of another type", () => {
    const metadata = new Metadata("f", [["k", u32(1)]]);
    expect(() => metadata.text("k")).toThrow("f, key k: expected a text, found 1 of type U32");
  });
});
