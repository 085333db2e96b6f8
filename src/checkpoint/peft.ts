/**
 * LoRA adapters in the format of Hugging Face's PEFT: `adapter_model.safetensors` and `adapter_config.json`. An adapter is
 * merged into the model that it belongs to, W + s B A (arXiv 2106.09685, section 4.1).
 */
import fs from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { adapterName, type LoraOptions, weightOf } from "../models/lora.ts";
import { type FileSystem, guarded, replaceFile } from "./disk.ts";
import { CheckpointError } from "./errors.ts";
import { readJson } from "./json.ts";
import { type Parameter, withSafetensors, writeSafetensors } from "./safetensors.ts";

const WEIGHTS = "adapter_model.safetensors";
const CONFIG = "adapter_config.json";

/** Writes both files. `tensors` have PEFT's names, `base` says which model the adapter belongs to. */
export function saveAdapter(
  folder: string,
  adapter: { lora: LoraOptions; tensors: ReadonlyMap<string, Parameter>; base: string },
  { disk = fs }: { disk?: FileSystem } = {},
): void {
  const { lora, tensors, base } = adapter;
  guarded(folder, () => disk.mkdirSync(folder, { recursive: true }));
  const stored = new Map(
    [...tensors].map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape, data }]),
  );
  writeSafetensors(join(folder, WEIGHTS), stored, { metadata: { format: "pt" }, disk });
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
  replaceFile(join(folder, CONFIG), [Buffer.from(`${JSON.stringify(config, null, 2)}\n`)], disk);
}

/** What would change the meaning of the tensors has to be off. */
const configSchema = z.looseObject({
  peft_type: z.literal("LORA"),
  r: z.int().positive(),
  lora_alpha: z.number().positive(),
  use_rslora: z.boolean().default(false),
  use_dora: z.literal(false).default(false),
  fan_in_fan_out: z.literal(false).default(false),
  bias: z.literal("none").default("none"),
  modules_to_save: z.null().default(null),
  rank_pattern: z.strictObject({}).nullable().default(null),
  alpha_pattern: z.strictObject({}).nullable().default(null),
});

/**
 * Adds the adapter to the parameters, in place, one row at a time.
 * @throws CheckpointError for another kind of adapter, and for a tensor that is missing, left over or mis-shaped
 */
export function mergeAdapter(folder: string, parameters: ReadonlyMap<string, Parameter>): void {
  const file = join(folder, CONFIG);
  const config = configSchema.safeParse(readJson(file));
  if (!config.success) {
    const { path, message } = config.error.issues[0];
    throw new CheckpointError({
      file,
      place: `key ${path.join(".")}`,
      expected: "a plain LoRA adapter: no DoRA, biases, patterns or further modules",
      found: message,
      remedy: "Merge this adapter with PEFT and open the merged model.",
    });
  }
  const { r, lora_alpha: alpha, use_rslora } = config.data;
  const scale = alpha / (use_rslora ? Math.sqrt(r) : r);
  withSafetensors(join(folder, WEIGHTS), (opened) => {
    for (const name of opened.header.tensors.keys()) {
      const half = weightOf(name);
      const weight = parameters.get(half?.weight ?? "");
      const wrong = (expected: string, found: string): CheckpointError =>
        new CheckpointError({
          file: opened.file,
          tensor: name,
          expected,
          found,
          remedy: "The adapter belongs to another model, or the file is not whole.",
        });
      if (half === null || weight === undefined) throw wrong("half of a weight of this model", "none");
      if (half.which === "B") continue;
      const up = adapterName(half.weight, "B");
      if (!opened.header.tensors.has(up)) throw wrong(`${up} beside it`, "it alone");
      const [down, above] = [opened.readFloat32(name), opened.readFloat32(up)];
      const [out, width] = weight.shape;
      if (String(down.shape) !== String([r, width])) throw wrong(`shape [${r}, ${width}]`, `[${down.shape}]`);
      if (String(above.shape) !== String([out, r]))
        throw wrong(`B [${out}, ${r}] beside it`, `[${above.shape}]`);
      addProduct(weight.data, above.data, down.data, { out, rank: r, width, scale });
    }
    for (const name of opened.header.tensors.keys()) {
      const half = weightOf(name) as NonNullable<ReturnType<typeof weightOf>>;
      if (half.which === "B" && !opened.header.tensors.has(adapterName(half.weight, "A")))
        throw new CheckpointError({
          file: opened.file,
          tensor: name,
          expected: `${adapterName(half.weight, "A")} beside it`,
          found: "it alone",
          remedy: "The file is not whole: copy it again.",
        });
    }
  });
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
