/**
 * Tensors of a GGUF model by their Hugging Face names, both ways. Most are renamed only; the others:
 * - "llama": ggml turns neighbouring dimensions of a head by RoPE where Hugging Face turns dimension i with i + half,
 *   so the rows of q and k are interleaved: half, half -> pairs. "qwen2" and "qwen3" keep Hugging Face's order, and
 *   "deepseek2" has pairs in both.
 * - "deepseek2": experts are stacked, and kv_b_proj is split in its keys (transposed) and values, as the absorbed form
 *   of multi-head latent attention uses them (arXiv 2405.04434, section 2.1.2).
 */

import type { UserError } from "../../lib/errors.ts";
import { LIMITS } from "../../models/checks.ts";
import { mismatch, tensorIn } from "../errors.ts";
import type { StoredTensor, TensorSource } from "../weights.ts";

/** What the mapping has to know of a model. */
export interface TensorLayout {
  /** Whether the rows of queries and keys are stored as the pairs that RoPE turns. */
  pairedHeads: boolean;
  layers: number;
  heads: number;
  kvHeads: number;
  /** Routed experts of a layer; 0 in a dense model. */
  experts: number;
  /** Widths of one head of kv_b_proj; 0 without latent attention. */
  nope: number;
  vHead: number;
}

/** GGUF name to Hugging Face name, without ".weight" or ".bias" and, in a block, without the block's prefix. */
const WHOLE = { token_embd: "model.embed_tokens", output_norm: "model.norm", output: "lm_head" };
const BLOCK = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  attn_output: "self_attn.o_proj",
  attn_q_a: "self_attn.q_a_proj",
  attn_q_a_norm: "self_attn.q_a_layernorm",
  attn_q_b: "self_attn.q_b_proj",
  attn_kv_a_mqa: "self_attn.kv_a_proj_with_mqa",
  attn_kv_a_norm: "self_attn.kv_a_layernorm",
  attn_kv_b: "self_attn.kv_b_proj",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
  ffn_gate_inp: "mlp.gate",
  ffn_gate_shexp: "mlp.shared_experts.gate_proj",
  ffn_up_shexp: "mlp.shared_experts.up_proj",
  ffn_down_shexp: "mlp.shared_experts.down_proj",
};
const [TO_HF, TO_GGUF] = [
  { ...WHOLE, ...BLOCK },
  Object.fromEntries(Object.entries({ ...WHOLE, ...BLOCK }).map(([gguf, hf]) => [hf, gguf])),
] as [Record<string, string>, Record<string, string>];
/** The router's bias, whose endings do not follow the rule. */
const ROUTER_BIAS = { gguf: "exp_probs_b.bias", hf: "mlp.gate.e_score_correction_bias" };
const EXPERT = /^mlp\.experts\.(\d+)\.(gate|up|down)_proj\.weight$/;
const EXPERTS = /^ffn_(gate|up|down)_exps\.weight$/;

/** Holds the frequencies of scaled RoPE: it becomes a part of the config (see rope.ts). */
export const ROPE_FREQS = "rope_freqs.weight";

/** The tensors of a GGUF file under Hugging Face names. @throws UserError for a name that is not known. */
export function toHuggingFaceTensors(file: string, source: TensorSource, layout: TensorLayout): TensorSource {
  const result = new Map<string, StoredTensor>();
  for (const [name, tensor] of source) {
    if (name === ROPE_FREQS) continue;
    const { prefix, rest } = split(name, /^blk\.(\d+)\.(.+)$/, "model.layers.");
    const experts = EXPERTS.exec(rest);
    if (experts !== null) {
      const [count = 0, ...shape] = tensor.shape;
      // Before a name is made for each.
      if (count !== layout.experts || count > LIMITS.experts)
        throw unknown(file, name, `the ${layout.experts} experts of the metadata, at most ${LIMITS.experts}`);
      const size = shape.reduce((product, n) => product * n, 1);
      for (let e = 0; e < count; e++)
        result.set(`${prefix}mlp.experts.${e}.${experts[1]}_proj.weight`, {
          shape,
          read: (start = 0, length = size, target) => tensor.read(e * size + start, length, target),
        });
    } else if (rest === "attn_k_b.weight") {
      const values = source.get(name.replace("attn_k_b", "attn_v_b"));
      const [heads = 0, latent = 0, nope = 0] = tensor.shape;
      const vHead = values?.shape[1] ?? 0;
      if (values === undefined || String(values.shape) !== String([heads, vHead, latent]))
        throw unknown(file, name, "attn_v_b beside attn_k_b, both [heads, …]");
      result.set(`${prefix}self_attn.kv_b_proj.weight`, {
        shape: [heads * (nope + vHead), latent],
        read: (start, count) =>
          range(joinKeysValues(tensor.read(), values.read(), { heads, latent, nope, vHead }), start, count),
      });
    } else if (rest !== "attn_v_b.weight") {
      const heads = pairedHeads(rest, layout);
      result.set(prefix + translated(file, name, rest, TO_HF, ROUTER_BIAS.gguf, ROUTER_BIAS.hf), {
        shape: tensor.shape,
        read: heads === 0 ? tensor.read : (start, count) => readHalves(tensor, heads, start, count),
      });
    }
  }
  return result;
}

const range = (data: Float32Array, start = 0, count = data.length - start): Float32Array =>
  data.subarray(start, start + count);

/** One tensor to be written, its data in pieces. */
export interface NamedPieces {
  name: string;
  shape: readonly number[];
  pieces(): Iterable<Float32Array>;
}

/**
 * The tensors of a GGUF file from a model's. Layers beyond the last (multi-token prediction) are left out, as
 * llama.cpp's own converter does. @throws UserError for a name that is not known, or an expert that is missing.
 */
export function toGgufTensors(file: string, source: TensorSource, layout: TensorLayout): NamedPieces[] {
  const result: NamedPieces[] = [];
  for (const [name, { shape, read }] of source) {
    const { prefix, rest, index } = split(name, /^model\.layers\.(\d+)\.(.+)$/, "blk.");
    if (index >= layout.layers) continue;
    const expert = EXPERT.exec(rest);
    if (expert !== null) {
      if (expert[1] !== "0") continue;
      const one = (e: number) => name.replace(".experts.0.", `.experts.${e}.`);
      const all = Array.from(
        { length: layout.experts },
        (_, e) => source.get(one(e)) ?? missing(file, one(e)),
      );
      result.push({
        name: `${prefix}ffn_${expert[2]}_exps.weight`,
        shape: [layout.experts, ...shape],
        *pieces() {
          for (const tensor of all) yield tensor.read();
        },
      });
    } else if (rest === "self_attn.kv_b_proj.weight") {
      const { heads, nope, vHead } = layout;
      const latent = shape[1]!;
      const halves = () => splitKeysValues(read(), { heads, latent, nope, vHead });
      result.push(
        { name: `${prefix}attn_k_b.weight`, shape: [heads, latent, nope], pieces: () => [halves().keys] },
        { name: `${prefix}attn_v_b.weight`, shape: [heads, vHead, latent], pieces: () => [halves().values] },
      );
    } else {
      const gguf = translated(file, name, rest, TO_GGUF, ROUTER_BIAS.hf, ROUTER_BIAS.gguf);
      const pieces = () => [permuteRows(read(), shape, pairedHeads(gguf, layout), "pairs")];
      result.push({ name: prefix + gguf, shape, pieces });
    }
  }
  return result;
}

function split(name: string, block: RegExp, prefix: string): { prefix: string; rest: string; index: number } {
  const [, index, rest] = block.exec(name) ?? [];
  if (index === undefined || rest === undefined) return { prefix: "", rest: name, index: -1 };
  return { prefix: `${prefix}${index}.`, rest, index: Number(index) };
}

function translated(
  file: string,
  name: string,
  rest: string,
  names: Record<string, string>,
  oddFrom: string,
  oddTo: string,
): string {
  if (rest === oddFrom) return oddTo;
  const [, base = "", ending = ""] = /^(.+)(\.weight|\.bias)$/.exec(rest) ?? [];
  if (Object.hasOwn(names, base)) return names[base]! + ending;
  throw unknown(file, name, "a tensor of a llama, qwen2, qwen3 or deepseek2 model");
}

function unknown(file: string, tensor: string, expected: string): UserError {
  const remedy = "The model has a part that is not known here; leaving it out would compute something else.";
  return mismatch(tensorIn(file, tensor), expected, "another", remedy);
}

function missing(file: string, tensor: string): never {
  const remedy = "The config and the weights belong to different models, or a shard is missing.";
  throw mismatch(tensorIn(file, tensor), "it to be stored", "nothing", remedy);
}

/** Heads whose rows are interleaved in the file; 0 where the order is the same. */
function pairedHeads(gguf: string, { pairedHeads, heads, kvHeads }: TensorLayout): number {
  if (!pairedHeads) return 0;
  return gguf.startsWith("attn_q.") ? heads : gguf.startsWith("attn_k.") ? kvHeads : 0;
}

/** Rows of each head: first half, second half <-> pairs of one of each. */
function permuteRows(
  data: Float32Array,
  shape: readonly number[],
  heads: number,
  to: "pairs" | "halves",
): Float32Array {
  if (heads === 0) return data;
  const width = data.length / shape[0]!;
  const headDim = shape[0]! / heads;
  const out = new Float32Array(data.length);
  for (let row = 0; row < shape[0]!; row++) {
    const inHead = row % headDim;
    const paired = row - inHead + 2 * (inHead % (headDim / 2)) + Math.floor(inHead / (headDim / 2));
    const [from, at] = to === "pairs" ? [row, paired] : [paired, row];
    out.set(data.subarray(from * width, (from + 1) * width), at * width);
  }
  return out;
}

/** Elements of a tensor whose file has the rows of each head in pairs: complete heads are read and reordered. */
function readHalves({ shape, read }: StoredTensor, heads: number, start = 0, count?: number): Float32Array {
  const size = shape.reduce((product, n) => product * n, 1);
  const head = size / heads;
  const end = start + (count ?? size - start);
  const [first, last] = [Math.floor(start / head), Math.ceil(end / head)];
  const rows = [((last - first) * shape[0]!) / heads, ...shape.slice(1)];
  const halves = permuteRows(read(first * head, (last - first) * head), rows, last - first, "halves");
  return halves.subarray(start - first * head, end - first * head);
}

interface LatentShape {
  heads: number;
  latent: number;
  nope: number;
  vHead: number;
}

/** kv_b_proj [heads · (nope + vHead), latent] -> keys [heads, latent, nope], values [heads, vHead, latent]. */
function splitKeysValues(
  joined: Float32Array,
  { heads, latent, nope, vHead }: LatentShape,
): { keys: Float32Array; values: Float32Array } {
  const keys = new Float32Array(heads * latent * nope);
  const values = new Float32Array(heads * vHead * latent);
  for (let head = 0; head < heads; head++) {
    const start = head * (nope + vHead) * latent;
    for (let row = 0; row < nope; row++)
      for (let i = 0; i < latent; i++)
        keys[(head * latent + i) * nope + row] = joined[start + row * latent + i]!;
    values.set(
      joined.subarray(start + nope * latent, start + (nope + vHead) * latent),
      head * vHead * latent,
    );
  }
  return { keys, values };
}

/** The way back. */
function joinKeysValues(
  keys: Float32Array,
  values: Float32Array,
  { heads, latent, nope, vHead }: LatentShape,
): Float32Array {
  const joined = new Float32Array(heads * (nope + vHead) * latent);
  for (let head = 0; head < heads; head++) {
    const start = head * (nope + vHead) * latent;
    for (let row = 0; row < nope; row++)
      for (let i = 0; i < latent; i++)
        joined[start + row * latent + i] = keys[(head * latent + i) * nope + row]!;
    joined.set(values.subarray(head * vHead * latent, (head + 1) * vHead * latent), start + nope * latent);
  }
  return joined;
}
