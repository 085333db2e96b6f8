/** The sides of the real-model benchmark: our sampler, llama.cpp and transformers.js, each decoding the same prompts. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type LoadedModel, saveModel } from "../src/checkpoint/folder.ts";
import { exportGguf } from "../src/checkpoint/gguf/model.ts";
import { sourceOf } from "../src/checkpoint/weights.ts";
import { Engine } from "../src/runtime/engine.ts";
import { Sampler } from "../src/sample/sampler.ts";
import { baked } from "../src/sample/weights.ts";
import { Peer } from "./peer.ts";
import { Rate } from "./peers/rate.ts";
import { CACHE } from "./smollm2.ts";

/** What the matrices are held in; both sides of a row hold them in the same. */
export type Precision = "F32" | "Q8_0" | "Q4_1";

/** The same work for everyone: greedy, `tokens` new ids after each prompt, on `threads` threads. */
export interface Task {
  prompts: readonly (readonly number[])[];
  tokens: number;
  threads: number;
}

export interface Decoded {
  /** Tokens a second of all rows together, prompts left out. */
  rate: number;
  /** New ids of each row. */
  ids: number[][];
}

export interface Side {
  decode(rows: number): Promise<Decoded>;
  close(): Promise<void>;
}

/** What our sampler calls the precision of each kind of file. */
const OURS = { F32: "f32", Q8_0: "int8", Q4_1: "int4-offset" } as const;

/** Our sampler with weights of its own at a precision. */
export async function ours(precision: Precision, model: LoadedModel, task: Task): Promise<Side> {
  // Blocks as a GGUF file has them.
  const options = { precision: OURS[precision], block: 32 } as const;
  const sampler = await Sampler.create(model.config, new Engine({ threads: task.threads }), {
    weights: baked(sourceOf(model.parameters), options),
  });
  return {
    async decode(rows) {
      const rate = new Rate(rows);
      const requests = task.prompts.slice(0, rows).map((prompt, row) => ({
        ...{ prompt, maxNewTokens: task.tokens, key: ["real-model", row] },
      }));
      const { generations } = await sampler.generate(requests, {
        sampling: { temperature: 0 },
        stopIds: new Set(),
        onToken: (row) => rate.mark(row),
      });
      return { rate: rate.perSecond(), ids: generations.map(({ ids }) => ids) };
    },
    close: () => sampler.release(),
  };
}

/** The file as it came for Q4_1, else our own export of the same weights. */
export function ggufOf(precision: Precision, model: LoadedModel, file: string): string {
  if (precision === "Q4_1") return file;
  const path = join(CACHE, `${precision}.gguf`);
  mkdirSync(CACHE, { recursive: true });
  if (!existsSync(path)) exportGguf(model, path, { dtype: precision });
  return path;
}

function argumentsOf(model: string, { prompts, tokens, threads }: Task): string[] {
  const given = { model, prompts: JSON.stringify(prompts), tokens, threads };
  return Object.entries(given).flatMap(([name, value]) => [`--${name}`, String(value)]);
}

const sideOf = (peer: Peer | null): Side | null =>
  peer && {
    decode: async (rows) => (await peer.ask(`decode ${rows}`)) as unknown as Decoded,
    close: () => peer.quit(),
  };

export async function llamaCpp(gguf: string, task: Task): Promise<Side | null> {
  return sideOf(await Peer.node("llama-cpp", "decode.ts", argumentsOf(gguf, task)));
}

/** `dtype` is its name for the precision: "fp32", or "q8", which rounds activations to 8 bits as our int8 does. */
export async function transformersJs(
  model: LoadedModel,
  task: Task,
  dtype: "fp32" | "q8",
): Promise<Side | null> {
  const folder = onnxFolder(model);
  if (folder === null) return null;
  return sideOf(
    await Peer.node("transformers-js", "decode.ts", [...argumentsOf(folder, task), "--dtype", dtype]),
  );
}

/** The model as transformers.js wants it, made by `export.py` from our Hugging Face folder; `null` where that fails. */
function onnxFolder(model: LoadedModel): string | null {
  const [source, folder] = ["hf", "onnx"].map((name) => join(CACHE, name));
  if (existsSync(join(folder, "onnx", "model_quantized.onnx"))) return folder;
  saveModel(source, model);
  const python = process.env.SPUTNIK_PEER_PYTHON ?? "python3";
  const script = fileURLToPath(new URL("peers/transformers-js/export.py", import.meta.url));
  try {
    execFileSync(python, [script, source, folder], { stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    const reason = String((error as { stderr?: Buffer }).stderr ?? error).trim();
    console.error(
      `no ONNX file for transformers.js (see bench/peers/README.md): ${reason.split("\n").at(-1)}`,
    );
    return null;
  }
  return folder;
}
