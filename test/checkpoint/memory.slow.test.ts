/** Peak memory of loading, measured in a process of its own: a pass under 1.3 times the model in f32. */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { saveModel } from "../../src/checkpoint/folder.ts";
import { type TensorData, writeSafetensors } from "../../src/checkpoint/safetensors.ts";
import { expectedShapes } from "../../src/checkpoint/weights.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { temporaryFolder } from "./temporary.ts";

/** 48 million parameters, 192 MB in f32, of which the embedding has 40 %. */
const config: DecoderConfig = {
  vocabSize: 18_000,
  layers: 2,
  hiddenSize: 1024,
  heads: 8,
  kvHeads: 8,
  headDim: 128,
  intermediateSize: 3328,
  maxPositions: 64,
  ropeTheta: 10_000,
  normEps: 1e-6,
  tieEmbeddings: true,
};
const shapes = expectedShapes(config);
const size = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);
const bytes = [...shapes.values()].reduce((total, shape) => total + 4 * size(shape), 0);

const LOADER = fileURLToPath(new URL("load-child.ts", import.meta.url));

interface Measured {
  before: number;
  peak: number;
  parameters: number;
}

/** Loads `folder` elsewhere. */
function load(folder: string): Measured {
  const output = execFileSync(process.execPath, ["--import", "tsx", LOADER, folder], { encoding: "utf8" });
  return JSON.parse(output) as Measured;
}

function stored(shape: readonly number[], dtype: "BF16" | "F32" | "F8_E4M3"): TensorData {
  if (dtype !== "F8_E4M3") return { dtype, shape, data: new Float32Array(size(shape)).fill(0.3) };
  return { dtype, shape, data: new Uint8Array(size(shape)).fill(0x38) };
}

describe.each(["F32", "BF16", "F8_E4M3"] as const)("%s", (dtype) => {
  it(`a tied pair, both stored, of ${Math.round(bytes / 1e6)} MB in f32 needs less than 1.3 times that`, () => {
    const folder = temporaryFolder();
    const tiny = new Map([["a", { shape: [1], data: Float32Array.of(1) }]]);
    saveModel(folder, { config, parameters: tiny, tokenizer: new CompactTokenizer() });
    const tensors = new Map<string, TensorData>();
    for (const [name, shape] of shapes) {
      const quantised = dtype === "F8_E4M3" && /_proj/.test(name);
      tensors.set(name, stored(shape, quantised ? dtype : dtype === "F8_E4M3" ? "BF16" : dtype));
      const blocks = shape.map((n) => Math.ceil(n / 128));
      if (quantised)
        tensors.set(`${name}_scale_inv`, {
          dtype: "F32",
          shape: blocks,
          data: new Float32Array(size(blocks)).fill(2),
        });
    }
    tensors.set("lm_head.weight", tensors.get("model.embed_tokens.weight")!);
    writeSafetensors(join(folder, "model.safetensors"), tensors);
    tensors.clear();
    const { before, peak, parameters } = load(folder);
    expect(parameters).toBe(bytes / 4);
    const ratio = (peak - before) / bytes;
    expect(ratio).toBeLessThan(1.3);
    // Less would mean that nothing was read.
    expect(ratio).toBeGreaterThan(0.9);
    fs.rmSync(folder, { recursive: true });
  }, 240_000);
});
