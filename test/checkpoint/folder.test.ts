import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadModel, type Model, saveModel } from "../../src/checkpoint/folder.ts";
import type { Parameter } from "../../src/checkpoint/safetensors.ts";
import { withSafetensors, writeSafetensors } from "../../src/checkpoint/safetensors.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";
import { temporaryFolder } from "./temporary.ts";

const root = temporaryFolder();
let next = 0;
const folderName = () => join(root, `model-${next++}`);

const config: DecoderConfig = {
  vocabSize: 32,
  layers: 1,
  hiddenSize: 8,
  heads: 2,
  kvHeads: 1,
  headDim: 4,
  intermediateSize: 12,
  maxPositions: 16,
  ropeTheta: 10000,
  normEps: 1e-6,
  tieEmbeddings: false,
};
const EMBEDDING = "model.embed_tokens.weight";
const HEAD = "lm_head.weight";

function parameter(shape: number[], start: number): Parameter {
  const size = shape.reduce((product, n) => product * n, 1);
  return { shape, data: Float32Array.from({ length: size }, (_, i) => Math.sin(start + i)) };
}
const parameters = new Map([
  [EMBEDDING, parameter([32, 8], 0)],
  ["model.norm.weight", parameter([8], 1)],
  [HEAD, parameter([32, 8], 2)],
]);
const model: Model = { config, parameters, tokenizer: new CompactTokenizer() };
const shapes = ({ tieEmbeddings }: Pick<DecoderConfig, "tieEmbeddings">) =>
  new Map(
    [...parameters]
      .filter(([name]) => !tieEmbeddings || name !== HEAD)
      .map(([name, { shape }]) => [name, shape]),
  );

function saved(change: Partial<Model> = {}): string {
  const folder = folderName();
  saveModel(folder, { ...model, ...change });
  return folder;
}
function edit(folder: string, file: string, change: Record<string, unknown>): void {
  const path = join(folder, file);
  fs.writeFileSync(path, JSON.stringify({ ...JSON.parse(fs.readFileSync(path, "utf8")), ...change }));
}
/** Writes the weights as given, unchecked. */
function store(folder: string, weights: Iterable<[string, Parameter]>, file = "model.safetensors"): void {
  const tensors = new Map([...weights].map(([name, one]) => [name, { dtype: "F32" as const, ...one }]));
  writeSafetensors(join(folder, file), tensors);
}

describe("round trip", () => {
  it("restores config, parameters and tokenizer", () => {
    const folder = folderName();
    const files = saveModel(folder, { ...model, generation: { temperature: 0.6 } });
    expect(fs.readdirSync(folder).sort()).toEqual(files.sort());
    expect(files).toEqual([
      ...["config.json", "generation_config.json", "model.safetensors"],
      ...["tokenizer.json", "tokenizer_config.json"],
    ]);
    const loaded = loadModel(folder, shapes);
    expect(loaded.config).toEqual(config);
    expect(loaded.parameters).toEqual(new Map([...parameters].sort()));
    expect(loaded.tokenizer).toBeInstanceOf(CompactTokenizer);
    expect(loaded.generation).toEqual({
      temperature: 0.6,
      bos_token_id: 1,
      eos_token_id: 2,
      pad_token_id: 0,
    });
  });

  it("writes what transformers reads", () => {
    const read = (file: string) => JSON.parse(fs.readFileSync(join(folder, file), "utf8"));
    const folder = saved();
    expect(read("config.json")).toMatchObject({
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      hidden_size: 8,
      intermediate_size: 12,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 1,
      head_dim: 4,
      vocab_size: 32,
      max_position_embeddings: 16,
      rope_theta: 10000,
      rms_norm_eps: 1e-6,
      tie_word_embeddings: false,
      torch_dtype: "float32",
      bos_token_id: 1,
      eos_token_id: 2,
      pad_token_id: 0,
    });
    expect(read("tokenizer_config.json")).toMatchObject({
      bos_token: "<bos>",
      eos_token: "<eos>",
      pad_token: "<pad>",
    });
    expect(withSafetensors(join(folder, "model.safetensors"), ({ header }) => header.metadata)).toEqual({
      format: "pt",
    });
  });

  it("keeps other files, and every stop id of a trained tokenizer (A4)", () => {
    const json = trainBpe(["ab ab ab"], { vocabSize: 262 });
    const tokenizer = new BpeTokenizer(json, { generationConfig: { eos_token_id: [2, 9] } });
    const folder = folderName();
    fs.mkdirSync(folder);
    fs.writeFileSync(join(folder, "README.md"), "mine");
    const wide = { ...config, vocabSize: 264 };
    saveModel(folder, { config: wide, tokenizer, parameters: new Map([["a", parameter([2], 0)]]) });
    const loaded = loadModel(folder);
    expect([...loaded.tokenizer.stopIds]).toEqual([2, 9]);
    expect([loaded.tokenizer.bosId, loaded.tokenizer.eosId, loaded.tokenizer.padId]).toEqual([1, 2, 0]);
    expect(loaded.tokenizer.encode("ab")).toEqual(tokenizer.encode("ab"));
    expect(fs.readFileSync(join(folder, "README.md"), "utf8")).toBe("mine");
  });

  it("rounds to bf16 on request", () => {
    const folder = folderName();
    const exact = new Map([["a", { shape: [2], data: Float32Array.of(1 + 2 ** -8, 3) }]]);
    saveModel(folder, { ...model, parameters: exact }, { dtype: "BF16" });
    expect(loadModel(folder).parameters.get("a")!.data).toEqual(Float32Array.of(1, 3));
  });

  it("reads shards", () => {
    const folder = saved();
    fs.rmSync(join(folder, "model.safetensors"));
    const [first, ...rest] = parameters;
    store(folder, [first!], "a.safetensors");
    store(folder, rest, "b.safetensors");
    const weight_map = Object.fromEntries(
      [...parameters.keys()].map((name, i) => [name, `${i === 0 ? "a" : "b"}.safetensors`]),
    );
    fs.writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map }));
    expect(loadModel(folder, shapes).parameters.size).toBe(3);
    edit(folder, "model.safetensors.index.json", { weight_map: { a: "../a.safetensors" } });
    expect(() => loadModel(folder)).toThrow(/files of this folder/);
  });
});

describe("shards", () => {
  const INDEX = "model.safetensors.index.json";
  const weightsOf = (folder: string) =>
    fs
      .readdirSync(folder)
      .filter((name) => name.startsWith("model"))
      .sort();

  it("splits above a size, in order, with an index that transformers reads", () => {
    const folder = folderName();
    // Embedding and head have 1024 bytes each, the norm 32.
    expect(saveModel(folder, model, { shardBytes: 1056 }).sort()).toEqual(fs.readdirSync(folder).sort());
    expect(weightsOf(folder)).toEqual([
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      INDEX,
    ]);
    expect(JSON.parse(fs.readFileSync(join(folder, INDEX), "utf8"))).toEqual({
      metadata: { total_size: 2080 },
      weight_map: {
        [HEAD]: "model-00002-of-00002.safetensors",
        [EMBEDDING]: "model-00001-of-00002.safetensors",
        "model.norm.weight": "model-00001-of-00002.safetensors",
      },
    });
    expect(loadModel(folder, shapes).parameters).toEqual(new Map([...parameters].sort()));
  });

  it("gives a tensor above the size a shard of its own, and counts stored bytes", () => {
    const folder = folderName();
    saveModel(folder, model, { shardBytes: 1 });
    expect(weightsOf(folder)).toHaveLength(4);
    saveModel(folder, model, { shardBytes: 528, dtype: "BF16" });
    expect(JSON.parse(fs.readFileSync(join(folder, INDEX), "utf8")).metadata).toEqual({ total_size: 1040 });
  });

  it("replaces one file by shards and shards by one file", () => {
    const folder = saved();
    const other = new Map([...parameters].map(([name, { shape }]) => [name, parameter([...shape], 9)]));
    saveModel(folder, { ...model, parameters: other }, { shardBytes: 1056 });
    expect(weightsOf(folder)).not.toContain("model.safetensors");
    expect(loadModel(folder, shapes).parameters).toEqual(new Map([...other].sort()));
    saveModel(folder, model);
    expect(weightsOf(folder)).toEqual(["model.safetensors"]);
    expect(loadModel(folder, shapes).parameters).toEqual(new Map([...parameters].sort()));
  });

  it("DeepSeek's names with six digits are read by their index, and replaced", () => {
    const folder = folderName();
    saveModel(folder, model, { shardBytes: 1056 });
    const index = fs.readFileSync(join(folder, INDEX), "utf8").replaceAll("-of-00002.", "-of-000002.");
    fs.writeFileSync(join(folder, INDEX), index);
    for (const name of weightsOf(folder).filter((one) => one !== INDEX))
      fs.renameSync(join(folder, name), join(folder, name.replace("-of-00002.", "-of-000002.")));
    expect(loadModel(folder, shapes).parameters).toEqual(new Map([...parameters].sort()));
    saveModel(folder, model);
    expect(weightsOf(folder)).toEqual(["model.safetensors"]);
  });

  it("a missing and a truncated shard are named (C5)", () => {
    const folder = folderName();
    saveModel(folder, model, { shardBytes: 1056 });
    const second = join(folder, "model-00002-of-00002.safetensors");
    const size = fs.statSync(second).size;
    fs.truncateSync(second, size - 1024);
    expect(() => loadModel(folder, shapes)).toThrow(`${second}: expected ${size} bytes`);
    fs.rmSync(second);
    expect(() => loadModel(folder, shapes)).toThrow(
      `${second}: expected a safetensors file, found no such file`,
    );
  });

  it("a tensor in two shards", () => {
    const folder = folderName();
    saveModel(folder, model, { shardBytes: 1056 });
    store(folder, parameters, "model-00001-of-00002.safetensors");
    expect(() => loadModel(folder, shapes)).toThrow(/tensor lm_head.weight: expected each tensor once/);
  });
});

describe("the chat template", () => {
  const template = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}\u00e9\ud83d\ude42";

  it("survives saving and loading, beside other fields of tokenizer_config.json", () => {
    const folder = saved({ tokenizerConfig: { chat_template: template, padding_side: "left" } });
    const { tokenizerConfig } = loadModel(folder, shapes);
    expect(tokenizerConfig).toMatchObject({
      chat_template: template,
      padding_side: "left",
      eos_token: "<eos>",
    });
    const again = saved({ tokenizerConfig });
    expect(loadModel(again, shapes).tokenizerConfig).toEqual(tokenizerConfig);
  });

  it("in a file of its own counts for more, and is saved in tokenizer_config.json", () => {
    const folder = saved({ tokenizerConfig: { chat_template: "old" } });
    fs.writeFileSync(join(folder, "chat_template.jinja"), template);
    const { tokenizerConfig } = loadModel(folder, shapes);
    expect(tokenizerConfig.chat_template).toBe(template);
    saveModel(folder, { ...model, tokenizerConfig });
    expect(fs.existsSync(join(folder, "chat_template.jinja"))).toBe(false);
    expect(loadModel(folder, shapes).tokenizerConfig).toEqual(tokenizerConfig);
  });
});

describe("a template for tools in a folder beside the usual one", () => {
  it("is read by its name, and saved with it", () => {
    const folder = saved({ tokenizerConfig: { chat_template: "old" } });
    fs.mkdirSync(join(folder, "additional_chat_templates"));
    fs.writeFileSync(join(folder, "additional_chat_templates", "tool_use.jinja"), "T");
    expect(loadModel(folder, shapes).tokenizerConfig.chat_template).toBe("old");
    fs.writeFileSync(join(folder, "chat_template.jinja"), "D");
    const { tokenizerConfig } = loadModel(folder, shapes);
    expect(tokenizerConfig.chat_template).toEqual([
      { name: "default", template: "D" },
      { name: "tool_use", template: "T" },
    ]);
    saveModel(folder, { ...model, tokenizerConfig });
    expect(fs.readdirSync(join(folder, "additional_chat_templates"))).toEqual([]);
    expect(loadModel(folder, shapes).tokenizerConfig).toEqual(tokenizerConfig);
  });
});

describe("the tied pair (C3, C4)", () => {
  const tied = { ...config, tieEmbeddings: true };
  const embedding = parameters.get(EMBEDDING)!;
  const norm: [string, Parameter] = ["model.norm.weight", parameters.get("model.norm.weight")!];
  const tiedFolder = (...pair: [string, Parameter][]) => {
    const folder = saved({ config: tied, parameters: new Map([[EMBEDDING, embedding], norm]) });
    store(folder, [norm, ...pair]);
    return folder;
  };

  it("untied without a head: the tensor, the file and both remedies", () => {
    const folder = saved();
    store(
      folder,
      [...parameters].filter(([name]) => name !== HEAD),
    );
    expect(() => loadModel(folder, shapes)).toThrow(
      `${join(folder, "model.safetensors")}, tensor ${HEAD}: expected it to be stored, found 2 others. ` +
        "Set tie_word_embeddings to true in config.json if the output matrix is the embedding, or store the matrix.",
    );
  });

  it.each([
    [
      "both and equal",
      [
        [EMBEDDING, embedding],
        [HEAD, embedding],
      ],
    ],
    ["the head alone", [[HEAD, embedding]]],
    ["the embedding alone", [[EMBEDDING, embedding]]],
  ] as [string, [string, Parameter][]][])("tied, stored %s: loads one copy", (_, pair) => {
    const { parameters: read } = loadModel(tiedFolder(...pair), shapes);
    expect(read).toEqual(new Map([norm, [EMBEDDING, embedding]]));
  });

  it("tied but different: both are named", () => {
    const folder = tiedFolder([EMBEDDING, embedding], [HEAD, parameters.get(HEAD)!]);
    expect(() => loadModel(folder, shapes)).toThrow(
      /tensor lm_head.weight: expected the values of model.embed_tokens.weight.*first at element 0/,
    );
    expect(() => saveModel(folderName(), { ...model, config: tied })).toThrow(/lm_head.weight/);
  });

  it("exports one copy", () => {
    const folder = saved({
      config: tied,
      parameters: new Map([
        [EMBEDDING, embedding],
        [HEAD, embedding],
      ]),
    });
    const stored = withSafetensors(join(folder, "model.safetensors"), ({ header }) => [
      ...header.tensors.keys(),
    ]);
    expect(stored).toEqual([EMBEDDING]);
  });
});

describe("what does not fit", () => {
  it("a missing, an extra and a mis-shaped tensor are named", () => {
    const folder = saved();
    const all = [...parameters];
    store(
      folder,
      all.filter(([name]) => name !== "model.norm.weight"),
    );
    expect(() => loadModel(folder, shapes)).toThrow(/tensor model.norm.weight: expected it to be stored/);
    store(folder, [...all, ["model.extra", parameter([1], 0)]]);
    expect(() => loadModel(folder, shapes)).toThrow(/tensor model.extra: expected only the 3 tensors/);
    store(folder, [...all, ["model.norm.weight", parameter([2, 4], 0)]]);
    expect(() => loadModel(folder, shapes)).toThrow(
      /tensor model.norm.weight: expected shape \[8\], found \[2, 4\]/,
    );
    store(folder, [...all, ["model.layers.0.self_attn.rotary_emb.inv_freq", parameter([2], 0)]]);
    expect(loadModel(folder, shapes).parameters.size).toBe(3);
  });

  it.each(["config.json", "tokenizer.json", "model.safetensors"])("a missing %s is named", (file) => {
    const folder = saved();
    fs.rmSync(join(folder, file));
    expect(() => loadModel(folder)).toThrow(`${join(folder, file)}: expected a`);
  });

  it("a cut config.json, and a tokenizer of another model", () => {
    const folder = saved();
    edit(folder, "config.json", { vocab_size: 20 });
    expect(() => loadModel(folder)).toThrow(/at most 20 ids \(vocab_size\), found 29/);
    fs.truncateSync(join(folder, "config.json"), 40);
    expect(() => loadModel(folder)).toThrow(/config.json: expected a JSON file/);
  });
});
