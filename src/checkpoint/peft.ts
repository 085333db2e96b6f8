/**
 * LoRA adapters in the format of Hugging Face's PEFT: `adapter_model.safetensors` and `adapter_config.json`. Merging adds
 * an adapter to its base model, W + s B A (arXiv 2106.09685, section 4.1).
 */
import { join } from "node:path";
import { makeFolder, replaceFile } from "../lib/disk.ts";
import type { UserError } from "../lib/errors.ts";
import { type LoraOptions, weightOf } from "../models/lora.ts";
import { type AdapterConfig, readAdapterConfig } from "./adapter-config.ts";
import { mismatch, tensorIn } from "./errors.ts";
import { subtractLeading, subtractPrincipal } from "./residual.ts";
import { type Parameter, withSafetensors, writeSafetensors } from "./safetensors.ts";
import { refusePickles } from "./shards.ts";
import { EMBEDDING, HEAD } from "./weights.ts";

const WEIGHTS = "adapter_model.safetensors";
const CONFIG = "adapter_config.json";

/** Writes both files. `tensors` have PEFT's names, `base` says which model the adapter belongs to. */
export function saveAdapter(
  folder: string,
  adapter: { lora: LoraOptions; tensors: ReadonlyMap<string, Parameter>; base: string },
): void {
  const { lora, tensors, base } = adapter;
  makeFolder(folder);
  const stored = new Map(
    [...tensors].map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape, data }]),
  );
  writeSafetensors(join(folder, WEIGHTS), stored, { metadata: { format: "pt" } });
  const modules = new Set([...tensors.keys()].map((name) => weightOf(name)?.weight.split(".").at(-2)));
  const config = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: base,
    r: lora.rank,
    lora_alpha: lora.alpha,
    target_modules: [...modules].sort(),
    lora_dropout: 0,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
  };
  replaceFile(join(folder, CONFIG), `${JSON.stringify(config, null, 2)}\n`);
}

/** The tensors of an adapter for one module. */
interface Pieces {
  A?: Parameter;
  B?: Parameter;
  /** `A` and `B` belong to an embedding: [rank, rows] and [width, rank]. */
  embedding?: true;
  /** Bias of B, added to the module's own. */
  shift?: Parameter;
  /** DoRA's norms of the rows (of the columns, for an embedding). */
  magnitude?: Parameter;
  /** Rows that replace those of an embedding. */
  rows?: Parameter;
  /** Full tensors that replace the model's. */
  weight?: Parameter;
  bias?: Parameter;
}

const PREFIX = "base_model.model.";
/** What PEFT's names add to a module's name, and what tensor that is. */
const ENDINGS: readonly [RegExp, keyof Pieces][] = [
  [/\.lora_A\.weight$/, "A"],
  [/\.lora_B\.weight$/, "B"],
  [/\.lora_embedding_A$/, "A"],
  [/\.lora_embedding_B$/, "B"],
  [/\.lora_B\.bias$/, "shift"],
  [/\.lora_magnitude_vector(\.weight)?$/, "magnitude"],
  [/\.token_adapter\.trainable_tokens_delta$/, "rows"],
  [/(\.base_layer)?\.weight$/, "weight"],
  [/(\.base_layer)?\.bias$/, "bias"],
];

/**
 * Merges the adapter into the parameters, in place, as PEFT's `merge_and_unload` does: W + s B A, one row at a time.
 * @throws UserError for another kind of adapter, an empty one, and a tensor that is missing, left over or mis-shaped
 */
export function mergeAdapter(folder: string, parameters: ReadonlyMap<string, Parameter>): void {
  const config = readAdapterConfig(join(folder, CONFIG));
  refusePickles(folder, WEIGHTS);
  withSafetensors(join(folder, WEIGHTS), (opened) => {
    const modules = new Map<string, Pieces>();
    for (const name of opened.header.tensors.keys()) {
      const [ending, kind] = ENDINGS.find(([pattern]) => pattern.test(name)) ?? [];
      if (kind === undefined || !name.startsWith(PREFIX))
        throw mismatch(
          tensorIn(opened.file, name),
          "a part of an adapter of this model",
          "another name",
          OTHER,
        );
      const module = name.slice(PREFIX.length).replace(ending!, "");
      const pieces = modules.get(module) ?? {};
      if (name.includes(".lora_embedding_")) pieces.embedding = true;
      modules.set(module, Object.assign(pieces, { [kind]: opened.readFloat32(name) }));
    }
    if (modules.size === 0)
      throw mismatch(
        opened.file,
        "the tensors of an adapter",
        "none: the file is empty",
        "Save the adapter again: where a model is spread over processes, gather the weights before that.",
      );
    const wrong: Adapter["wrong"] = (name, expected, found, remedy = OTHER) =>
      mismatch(tensorIn(opened.file, PREFIX + name), expected, found, remedy);
    const adapter = { config, parameters, modules, wrong };
    checkComplete(adapter);
    checkTied(adapter);
    const scales = config.scales([...modules.keys()].map((module) => parameterName(adapter, module)));
    for (const [module, pieces] of modules) {
      const { rank, scale } = scales.get(parameterName(adapter, module))!;
      if (EXPERTS.test(module)) mergeExperts(adapter, module, pieces, rank, scale);
      else mergeModule(adapter, module, pieces, rank, scale);
    }
  });
}

interface Adapter {
  config: AdapterConfig;
  parameters: ReadonlyMap<string, Parameter>;
  modules: ReadonlyMap<string, Pieces>;
  /** The error for a tensor of the file, named without PEFT's prefix. */
  wrong(name: string, expected: string, found: string, remedy?: string): UserError;
}

const OTHER = "The adapter belongs to another model, or the file is incomplete.";

/** Checks that the file holds the tensors that the config names. */
function checkComplete({ config, modules, wrong }: Adapter): void {
  const holds = (name: string, kind: keyof Pieces): boolean =>
    [...modules].some(([module, pieces]) => `.${module}`.includes(`.${name}`) && pieces[kind] !== undefined);
  for (const name of config.saved)
    if (!holds(name, "weight"))
      throw wrong(`…${name}.weight`, "it, since modules_to_save names it", "nothing");
  for (const name of config.tokens.keys())
    if (!holds(name, "rows"))
      throw wrong(`…${name}`, "rows, since trainable_token_indices names it", "nothing");
  for (const [module, { A, B, magnitude, shift }] of modules)
    if ((A === undefined) !== (B === undefined) || (A === undefined && (magnitude ?? shift) !== undefined))
      throw wrong(`${module}.lora_${A === undefined ? "A" : "B"}`, "both halves", "one alone");
    else if (config.dora && A !== undefined && magnitude === undefined)
      throw wrong(`${module}.lora_magnitude_vector`, "it, since use_dora is on", "nothing");
}

/**
 * A tied model has one matrix for embedding and output. An adapter of one of the two was trained while the other stayed
 * as it was, which one matrix cannot express; PEFT's merge changes both and gives another model than the trained one.
 */
function checkTied({ parameters, modules, wrong }: Adapter): void {
  if (parameters.has(HEAD)) return;
  const [embedding, head] = [EMBEDDING, HEAD].map((name) => modules.get(name.replace(/\.weight$/, "")));
  const full = (pieces?: Pieces): Float32Array | undefined => (pieces?.A ? undefined : pieces?.weight?.data);
  const same = full(embedding)?.every((value, i) => value === full(head)?.[i]) ?? false;
  const changed = [embedding, head].some((pieces) => pieces?.A !== undefined || full(pieces) !== undefined);
  if (!changed || same) return;
  throw wrong(
    (head ?? embedding) === head ? HEAD : EMBEDDING,
    "embedding and output matrix to change together, as the model ties the two",
    "an adapter of one of them",
    "Untie the base model first: store lm_head.weight beside the embedding and set tie_word_embeddings to false in its config.json. Then merge the adapter into that.",
  );
}

/** The name by which PEFT's patterns know what a module's adapter changes. */
function parameterName(adapter: Adapter, module: string): string {
  if (!EXPERTS.test(module)) return module;
  return module.replace(/(\.base_layer)?$/, `.${expertParameter(adapter, module)}`);
}

function mergeModule(adapter: Adapter, module: string, pieces: Pieces, rank: number, scale: number): void {
  const { config, parameters, wrong } = adapter;
  // A tied model has the embedding only.
  const name = `${module}.weight`;
  const weight = parameters.get(name) ?? (name === HEAD ? parameters.get(EMBEDDING) : undefined);
  if (weight === undefined && (pieces.bias === undefined || pieces.A !== undefined))
    throw wrong(module, "a weight of this model", "none of that name");
  const biasName = `${module}.bias`;
  if (pieces.bias !== undefined) replace(adapter, biasName, parameters.get(biasName), pieces.bias);
  if (weight === undefined) return;
  if (pieces.weight !== undefined) replace(adapter, name, weight, pieces.weight);
  if (pieces.rows !== undefined) replaceRows(adapter, module, weight, pieces.rows);
  const { A, B, embedding, shift, magnitude } = pieces;
  if (A === undefined || B === undefined) return;
  const [rows, columns] = weight.shape as [number, number];
  const [down, up] = embedding ? [transposed(B), transposed(A)] : [A, B];
  checkShape(adapter, `${module}.lora_A`, down, [rank, columns]);
  checkShape(adapter, `${module}.lora_B`, up, [rows, rank]);
  // A base weight stored with the adapter is already the residual, and PEFT subtracts nothing from embeddings.
  const residual = pieces.weight === undefined && !embedding ? config.residual : null;
  if (residual === "pissa") subtractPrincipal({ rows, columns, data: weight.data }, rank);
  if (residual === "olora") subtractLeading({ rows, columns, data: weight.data }, rank, scale);
  addProduct(weight.data, up.data, down.data, { out: rows, rank, width: columns, scale });
  if (magnitude !== undefined) setNorms(adapter, module, weight, magnitude.data, embedding === true);
  if (shift === undefined) return;
  const bias = parameters.get(biasName);
  if (bias === undefined)
    throw wrong(
      `${module}.lora_B.bias`,
      "a bias of the model to add it to",
      "none",
      "A model of this family has no place for it, so PEFT cannot merge it either: train the adapter without lora_bias.",
    );
  checkShape(adapter, `${module}.lora_B.bias`, shift, bias.shape);
  for (let i = 0; i < bias.data.length; i++) bias.data[i]! += scale * shift.data[i]!;
}

/** All experts of a layer. transformers keeps them in two stacks; PEFT may wrap one inside the other. */
const EXPERTS = /\.mlp\.experts(\.base_layer)?$/;

/** PEFT wraps the stacks in the order of the module's parameters, so the inner one is the first. */
function expertParameter({ config, modules }: Adapter, module: string): "gate_up_proj" | "down_proj" {
  if (module.endsWith(".base_layer")) return "gate_up_proj";
  if (modules.has(`${module}.base_layer`)) return "down_proj";
  return config.parameters.some((name) => /(^|\.)down_proj$/.test(name)) ? "down_proj" : "gate_up_proj";
}

/** A is [experts · rank, in], expert by expert; B is [out, rank · experts] with the experts interleaved. */
function mergeExperts(adapter: Adapter, module: string, { A, B }: Pieces, rank: number, scale: number): void {
  const { config, parameters, wrong } = adapter;
  const layer = module.replace(/\.base_layer$/, "");
  const stack = expertParameter(adapter, module) === "down_proj" ? ["down"] : ["gate", "up"];
  const experts: Parameter[][] = [];
  for (let e = 0; parameters.has(`${layer}.${e}.${stack[0]}_proj.weight`); e++)
    experts.push(stack.map((part) => parameters.get(`${layer}.${e}.${part}_proj.weight`)!));
  const [first] = experts;
  if (first === undefined || A === undefined || B === undefined)
    throw wrong(module, "adapters of experts of this model", "others");
  if (config.residual !== null)
    throw wrong(module, "a plain initialisation", config.residual, "PEFT has none for experts.");
  const [rows, width] = first[0]!.shape as [number, number];
  checkShape(adapter, `${module}.lora_A`, A, [experts.length * rank, width]);
  checkShape(adapter, `${module}.lora_B`, B, [rows * stack.length, rank * experts.length]);
  for (const [e, parts] of experts.entries()) {
    const down = A.data.subarray(e * rank * width, (e + 1) * rank * width);
    for (const [p, { data }] of parts.entries()) {
      const up = Float32Array.from(
        { length: rows * rank },
        (_, i) => B.data[((p * rows + Math.floor(i / rank)) * rank + (i % rank)) * experts.length + e]!,
      );
      addProduct(data, up, down, { out: rows, rank, width, scale });
    }
  }
}

function replace(adapter: Adapter, name: string, target: Parameter | undefined, source: Parameter): void {
  if (target === undefined) throw adapter.wrong(name, "a weight of this model", "none of that name");
  const resized = "The vocabulary was resized: give the base model as many rows.";
  checkShape(adapter, name, source, target.shape, name === EMBEDDING || name === HEAD ? resized : OTHER);
  target.data.set(source.data);
}

function replaceRows(adapter: Adapter, module: string, target: Parameter, rows: Parameter): void {
  const name = `${module}.token_adapter`;
  const { tokens } = adapter.config;
  const ids = [...tokens].find(([ending]) => `.${module}`.endsWith(`.${ending}`))?.[1] ?? [];
  const [vocabulary, width] = target.shape as [number, number];
  checkShape(adapter, name, rows, [ids.length, width]);
  for (const [i, id] of ids.entries()) {
    if (id >= vocabulary) throw adapter.wrong(name, `ids below ${vocabulary}`, String(id));
    target.data.set(rows.data.subarray(i * width, (i + 1) * width), id * width);
  }
}

function checkShape(
  { wrong }: Adapter,
  name: string,
  { shape }: Parameter,
  expected: readonly number[],
  remedy?: string,
): void {
  if (String(shape) === String(expected)) return;
  throw wrong(name, `shape [${expected.join(", ")}]`, `[${shape.join(", ")}]`, remedy);
}

function transposed({ shape, data }: Parameter): Parameter {
  const [rows, columns] = shape as [number, number];
  const result = new Float32Array(data.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) result[j * rows + i] = data[i * columns + j]!;
  return { shape: [columns, rows], data: result };
}

/** DoRA (arXiv 2402.09353, eq. 5): scales each row (of an embedding: each column) to its trained norm. */
function setNorms(
  { wrong }: Adapter,
  module: string,
  { shape, data }: Parameter,
  norms: Float32Array,
  ofColumns: boolean,
): void {
  const [rows, columns] = shape as [number, number];
  const count = ofColumns ? columns : rows;
  if (norms.length !== count)
    throw wrong(`${module}.lora_magnitude_vector`, `${count} numbers`, String(norms.length));
  const squares = new Float64Array(count);
  for (let i = 0; i < data.length; i++)
    squares[ofColumns ? i % columns : Math.floor(i / columns)]! += data[i]! ** 2;
  for (let i = 0; i < data.length; i++) {
    const at = ofColumns ? i % columns : Math.floor(i / columns);
    data[i]! *= norms[at]! / Math.sqrt(squares[at]!);
  }
}

/** target [out, width] += scale · up [out, rank] · down [rank, width], each row summed in f64. */
function addProduct(
  target: Float32Array,
  up: Float32Array,
  down: Float32Array,
  { out, rank, width, scale }: { out: number; rank: number; width: number; scale: number },
): void {
  const row = new Float64Array(width);
  for (let i = 0; i < out; i++) {
    row.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = scale * up[i * rank + k];
      for (let j = 0; j < width; j++) row[j] += factor * down[k * width + j];
    }
    for (let j = 0; j < width; j++) target[i * width + j] += row[j];
  }
}
