/**
 * How a family of models stands in llama.cpp's GGUF files: a part of its record. `checkpoint/gguf` reads and writes files by
 * it. Configs are the content of a Hugging Face `config.json`; keys are without the architecture's name before each.
 */
import type { Fields } from "./checks.ts";

/** A value of the metadata. */
export type GgufValue =
  | { type: "U32" | "F32"; value: number }
  | { type: "BOOL"; value: boolean }
  | { type: "STRING"; value: string };

export const u32 = (value: number): GgufValue => ({ type: "U32", value });
export const f32 = (value: number): GgufValue => ({ type: "F32", value });
export const flag = (value: boolean): GgufValue => ({ type: "BOOL", value });
export const text = (value: string): GgufValue => ({ type: "STRING", value });

/** Keys and values in the order of the file. */
export type GgufEntries = [key: string, value: GgufValue][];

/** Metadata as a family reads it. A look-up fails with file and key if the value is missing or of another type. */
export interface GgufReader {
  has(key: string): boolean;
  /** A whole number, 0 or more. */
  count<T = never>(key: string, ...fallback: [T?]): number | T;
  number<T = never>(key: string, ...fallback: [T?]): number | T;
  text<T = never>(key: string, ...fallback: [T?]): string | T;
  flag<T>(key: string, fallback: T): boolean | T;
  /** The error for a key whose value is not what was expected. */
  wrong(key: string, expected: string, remedy?: string): Error;
}

/** A tensor of each block that a file holds otherwise than `model.safetensors` does; names are with their ending. */
export type GgufTensor = { gguf: string; name: string } & (
  | /** ggml turns neighbouring dimensions of a head by RoPE: the rows of each head are pairs of its two halves. */
  { kind: "paired"; heads: number }
  /** One tensor [count, ...shape] of many, whose numbers are at the `*` of `name`. */
  | { kind: "stacked"; count: number }
  /**
   * A projection [heads · (nope + vHead), latent] as two tensors: its keys [heads, latent, nope], called `gguf`, and its
   * values [heads, vHead, latent], as the absorbed form of MLA uses them (arXiv 2405.04434, section 2.1.2).
   */
  | { kind: "split"; values: string; heads: number; nope: number; vHead: number }
);

export interface GgufFormat {
  /** `general.architecture`. */
  architecture: string;
  /**
   * Hugging Face's names by GGUF's, beside `COMMON_NAMES`, in a block without the block's prefix. A name without an ending
   * stands for its ".weight" and its ".bias".
   */
  names: Readonly<Record<string, string>>;
  /** Tensors of which not only the name differs. */
  tensors(config: Fields): GgufTensor[];
  /** Whether queries, keys and values have biases by design, so that a config has no field for them. */
  biases?: boolean;
  rope: {
    /** The field with a head's width, where Llama 3's scaling is stored as a tensor of factors of the frequencies. */
    factors?: string;
    /** Whether YaRN's magnitude is DeepSeek's (mscale, mscale_all_dim) and not the paper's. */
    mscale?: boolean;
  };
  /** What the file says of a config beyond what all families do. */
  write(config: Fields): GgufEntries;
  /**
   * The fields of a config beyond those of all families.
   * @param shared the fields of all families
   * @throws UserError for a feature that is not known here, naming the key
   */
  read(metadata: GgufReader, shared: Fields): Fields;
}

/** `GgufFormat.names` of what every family has; the first three are outside of the blocks. */
export const COMMON_NAMES: Readonly<Record<string, string>> = {
  ...{ token_embd: "model.embed_tokens", output_norm: "model.norm", output: "lm_head" },
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_output: "self_attn.o_proj",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

/** Counts that both formats have, under different names; without a fallback the file must have the key. */
export type GgufCounts = readonly (readonly [gguf: string, hf: string, fallback?: number])[];

/** A count of the metadata, the sum of these fields. */
export const countOf = (config: Fields, gguf: string, ...fields: string[]): GgufEntries[number] => [
  gguf,
  u32(fields.reduce((total, field) => total + Number(config[field]), 0)),
];

export const writeCounts = (table: GgufCounts, config: Fields): GgufEntries =>
  table.map(([gguf, hf]) => countOf(config, gguf, hf));

export const readCounts = (table: GgufCounts, metadata: GgufReader): Fields =>
  Object.fromEntries(
    table.map(([gguf, hf, fallback]) => [
      hf,
      fallback === undefined ? metadata.count(gguf) : metadata.count(gguf, fallback),
    ]),
  );
