/**
 * DeepSeek-V3's weights in FP8 (arXiv 2412.19437, section 3.3): `X.weight` in E4M3 and `X.weight_scale_inv` with one
 * scale per block of 128 x 128. In spite of its name the scale is multiplied: w = fp8 · scale_inv.
 */
import { CheckpointError } from "./errors.ts";
import type { Parameter, SafetensorsFile } from "./safetensors.ts";

/** Rows and columns that share a scale. */
export type Block = readonly [number, number];

const V3_BLOCK: Block = [128, 128];
const SUFFIX = "_scale_inv";

/**
 * The blocks that `config.json` declares.
 * @throws CheckpointError for quantised weights of another kind (GPTQ, AWQ, bitsandbytes), which would need other code
 */
export function blockSize(file: string, modelConfig: unknown): Block {
  const quantization = (modelConfig as { quantization_config?: Record<string, unknown> }).quantization_config;
  if (quantization === undefined || quantization === null) return V3_BLOCK;
  const { quant_method: method, weight_block_size: block = V3_BLOCK } = quantization;
  const sizes = Array.isArray(block) ? block : [];
  if (method === "fp8" && sizes.length === 2 && sizes.every((size) => Number.isSafeInteger(size) && size > 0))
    return [sizes[0], sizes[1]];
  throw new CheckpointError({
    file,
    expected: 'quantization_config with quant_method "fp8" and blocks such as [128, 128]',
    found: JSON.stringify(quantization).slice(0, 200),
    remedy: "Take the same model in bf16, or as GGUF.",
  });
}

/**
 * Takes the scales out of `holders` and returns their files by the weight's name.
 * @throws CheckpointError for an FP8 weight without scales, or with scales of another shape
 */
export function takeScales(
  holders: Map<string, SafetensorsFile>,
  block: Block,
): Map<string, SafetensorsFile> {
  const scales = new Map<string, SafetensorsFile>();
  for (const [name, file] of holders) {
    const { dtype, shape } = file.info(name);
    if (dtype !== "F8_E4M3") continue;
    const holder = holders.get(name + SUFFIX);
    const expected = shape.map((size, axis) => Math.ceil(size / block[axis]!));
    const found = holder?.info(name + SUFFIX).shape;
    if (holder === undefined || shape.length !== 2 || String(found) !== String(expected))
      throw new CheckpointError({
        file: (holder ?? file).file,
        tensor: name + SUFFIX,
        expected: `scales [${expected.join(", ")}] for F8_E4M3 [${shape.join(", ")}] in blocks of ${block.join(" x ")}`,
        found: found === undefined ? "none" : `[${found.join(", ")}]`,
        remedy: "Download every shard of the model, or take it in bf16.",
      });
    scales.set(name, holder);
  }
  for (const name of scales.keys()) holders.delete(name + SUFFIX);
  return scales;
}

/** Multiplies each block of a weight by its scale, in place; given are its rows from `firstRow` on, [rows, columns]. */
export function applyScales({ shape, data }: Parameter, scales: Parameter, block: Block, firstRow = 0): void {
  const [rows, columns] = shape as [number, number];
  const perRow = scales.shape[1]!;
  for (let row = 0; row < rows; row++) {
    const scaleRow = Math.floor((firstRow + row) / block[0]) * perRow;
    for (let first = 0, i = 0; first < columns; first += block[1], i++) {
      const scale = scales.data[scaleRow + i]!;
      const end = row * columns + Math.min(first + block[1], columns);
      for (let at = row * columns + first; at < end; at++) data[at]! *= scale;
    }
  }
}
