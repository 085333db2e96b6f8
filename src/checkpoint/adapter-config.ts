/**
 * `adapter_config.json` as PEFT 0.21 writes it. Some fields are read, some must be off because they change the meaning of
 * the tensors, and the others change nothing once an adapter is trained.
 */
import { runInNewContext } from "node:vm";
import { z } from "zod";
import type { UserError } from "../lib/errors.ts";
import { mismatch } from "./errors.ts";
import { readJson } from "./json.ts";

/** How PEFT changes the base weight before the training, and again when it loads the adapter; `null`: not at all. */
export type Residual = "pissa" | "olora" | null;

export interface AdapterConfig {
  file: string;
  rank: number;
  residual: Residual;
  /** The adapter has the norms of the rows too (DoRA). */
  dora: boolean;
  /** Names of modules whose full weights are saved. */
  saved: readonly string[];
  /** Ids of the rows that are replaced, by the name of the embedding. */
  tokens: ReadonlyMap<string, readonly number[]>;
  /** Suffixes of parameters that are not a module's weight, such as the stacks of all experts. */
  parameters: readonly string[];
  /** Rank and scale s of the product s B A, for each of the modules. */
  scales(modules: readonly string[]): Map<string, { rank: number; scale: number }>;
}

const pattern = z.record(z.string().max(500), z.number().positive()).nullish();
const ids = z.array(z.int().nonnegative());

const schema = z.looseObject({
  peft_type: z.string(),
  r: z.int().positive().default(8),
  lora_alpha: z.number().positive().default(8),
  use_rslora: z.boolean().nullish(),
  use_dora: z.boolean().nullish(),
  rank_pattern: pattern,
  alpha_pattern: pattern,
  modules_to_save: z.array(z.string()).nullish(),
  trainable_token_indices: z.union([ids, z.record(z.string(), ids)]).nullish(),
  target_parameters: z.array(z.string()).nullish(),
  init_lora_weights: z.union([z.boolean(), z.string()]).nullish(),
});

/** Fields that are read here or show in the tensors, or that only the training and its tools need. */
const KNOWN = new Set([
  ...Object.keys(schema.shape),
  // These show in the tensors: magnitudes, biases, and the weights that have an adapter.
  ...["bias", "lora_bias", "target_modules", "exclude_modules"],
  ...["layers_to_transform", "layers_pattern", "ensure_weight_tying"],
  // PEFT sets this to false for linear layers, and our models have no others.
  "fan_in_fan_out",
  ...["task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping", "peft_version"],
  ...["lora_dropout", "runtime_config", "megatron_core", "qalora_group_size", "parent_library"],
  // Details of the initialisation that `init_lora_weights` names.
  ...["loftq_config", "eva_config", "corda_config", "lora_ga_config"],
]);

const TRAINED = "Merge it with PEFT where it was trained (merge_and_unload), save the model, and open that.";

/** Initialisations that leave the base weight as it is, so that W + s B A is right. */
const PLAIN = ["gaussian", "eva", "orthogonal", "mica"];

/** Why an adapter with another initialisation cannot be merged with the base model's weights. */
function refusedInit(init: string): string | null {
  const lower = init.toLowerCase();
  const convert =
    "Save it with path_initial_model_for_weight_conversion, which makes a plain LoRA adapter of it, or merge it where it was trained.";
  if (/^pissa_niter_\d+$/.test(lower))
    return `The base weights were changed by a random decomposition that cannot be repeated. ${convert}`;
  if (lower.startsWith("corda") || lower === "lora_ga")
    return `The base weights were changed by training data that the adapter does not hold. ${convert}`;
  if (lower === "loftq")
    return "The adapter belongs to quantised weights that LoftQ made of the base model. Merge it with PEFT onto these, and open the merged model.";
  return null;
}

/** @throws UserError naming a field whose meaning is not built here, and what to do */
export function readAdapterConfig(file: string): AdapterConfig {
  const wrong = (field: string, expected: string, found: unknown, remedy = TRAINED): UserError => {
    const shown = (JSON.stringify(found) ?? "nothing").slice(0, 200);
    return mismatch(`${file}, key ${field}`, expected, shown, remedy);
  };
  const json = readJson(file);
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    const remedy = "Is this the adapter_config.json of PEFT?";
    throw wrong(path.join("."), "an adapter as PEFT saves it", message, remedy);
  }
  const config = parsed.data;
  if (config.peft_type !== "LORA")
    throw wrong("peft_type", '"LORA", the one kind that is read', config.peft_type);
  for (const [field, value] of Object.entries(config))
    if (!KNOWN.has(field) && !isOff(value))
      throw wrong(field, "null: what it turns on is not built here", value);
  const init = config.init_lora_weights ?? true;
  const residual = residualOf(init);
  if (typeof init === "string" && residual === null && !PLAIN.includes(init.toLowerCase())) {
    const remedy = refusedInit(init) ?? TRAINED;
    throw wrong("init_lora_weights", `true, ${PLAIN.join(", ")}, pissa or olora`, init, remedy);
  }
  const tokens = config.trainable_token_indices ?? {};
  const { r, lora_alpha: alpha } = config;
  return {
    ...{ file, rank: r, residual, dora: config.use_dora === true },
    saved: config.modules_to_save ?? [],
    parameters: config.target_parameters ?? [],
    tokens: new Map(Object.entries(Array.isArray(tokens) ? { embed_tokens: tokens } : tokens)),
    scales(modules) {
      const patterns = (field: "rank_pattern" | "alpha_pattern"): (number | null)[] =>
        matching(config[field] ?? {}, modules, (keys) => wrong(field, "patterns that can be read", keys));
      const [ranks, alphas] = [patterns("rank_pattern"), patterns("alpha_pattern")];
      const scaled = modules.map((module, i) => {
        const rank = ranks[i] ?? r;
        const scale = (alphas[i] ?? alpha) / (config.use_rslora ? Math.sqrt(rank) : rank);
        return [module, { rank, scale }] as const;
      });
      return new Map(scaled);
    },
  };
}

function residualOf(init: boolean | string): Residual {
  return typeof init === "string" && /^(pissa|olora)$/i.test(init) ? (init.toLowerCase() as Residual) : null;
}

const isOff = (value: unknown): boolean =>
  value === null || value === false || (typeof value === "object" && Object.keys(value).length === 0);

/** A time limit, since the patterns come from a file that nobody has checked. */
const MATCH_MS = 2000;

/**
 * For each module the value of the first pattern that matches the end of its name, as PEFT's `get_pattern_key` finds it;
 * null for none. The patterns are untrusted regular expressions, so they run with a time limit.
 */
function matching(
  patterns: Readonly<Record<string, number>>,
  modules: readonly string[],
  wrong: (keys: string) => UserError,
): (number | null)[] {
  const names = Object.keys(patterns);
  // Python spells the ends of a text and a number of repetitions differently.
  const ends: Record<string, string> = { "\\A": "^", "\\Z": "$" };
  const keys = names.map((key) =>
    key.replace(/\\[\s\S]/g, (pair) => ends[pair] ?? pair).replace(/\{,(?=\d+\})/g, "{0,"),
  );
  if (keys.length === 0) return modules.map(() => null);
  const code = `JSON.stringify(modules.map((name) => tests.findIndex((test) => test.test(name))))`;
  const prepare = `const tests = JSON.parse(keys).map((key) => new RegExp("^(?:.*\\\\.)?(?:" + key + ")$"));
    const modules = JSON.parse(names);`;
  try {
    const context = { keys: JSON.stringify(keys), names: JSON.stringify(modules) };
    const found: unknown = runInNewContext(`${prepare} ${code}`, context, { timeout: MATCH_MS });
    return (JSON.parse(String(found)) as number[]).map((at) => (at < 0 ? null : patterns[names[at]!]!));
  } catch (error) {
    throw wrong(`${names.join(", ")} (${error instanceof Error ? error.message : String(error)})`);
  }
}
