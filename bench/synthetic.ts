/** A model folder of any shape with random weights: bf16 in two shards, streamed, so that neither time nor memory is spent. */
import { closeSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { toBfloat16 } from "../src/checkpoint/dtypes.ts";
import { saveModel } from "../src/checkpoint/folder.ts";
import { INDEX, WEIGHTS } from "../src/checkpoint/shards.ts";
import { expectedShapes } from "../src/checkpoint/weights.ts";
import { Random } from "../src/lib/random.ts";
import type { ModelConfig } from "../src/models/architectures.ts";
import { CompactTokenizer } from "../src/tokenizer/compact.ts";

const SHARDS = 2;
/** Numbers that are drawn, and how many of them stand in a row in a tensor. */
const [NOISE, RUN] = [1 << 22, 1 << 20];

/** The smallest tokenizer goes with it. */
export function writeSynthetic(folder: string, config: ModelConfig): void {
  saveModel(folder, { config, parameters: new Map(), tokenizer: new CompactTokenizer() });
  rmSync(join(folder, WEIGHTS));
  const random = new Random("synthetic");
  const noise = Uint16Array.from({ length: NOISE }, () => toBfloat16(0.02 * random.normal()));
  const places: Record<string, string> = {};
  const tensors = [...expectedShapes(config)].map(([name, shape]) => ({
    ...{ name, shape, bytes: 2 * shape.reduce((product, n) => product * n, 1) },
  }));
  const each = Math.ceil(tensors.length / SHARDS);
  for (let shard = 0; shard < SHARDS; shard++) {
    const file = `model-0000${shard + 1}-of-0000${SHARDS}.safetensors`;
    const own = tensors.slice(shard * each, (shard + 1) * each);
    for (const { name } of own) places[name] = file;
    writeShard(join(folder, file), own, () => {
      const from = Math.floor(random.uniform() * (NOISE - RUN));
      return new Uint8Array(noise.buffer, 2 * from, 2 * RUN);
    });
  }
  const total_size = tensors.reduce((total, { bytes }) => total + bytes, 0);
  writeFileSync(join(folder, INDEX), JSON.stringify({ metadata: { total_size }, weight_map: places }));
}

function writeShard(
  path: string,
  tensors: readonly { name: string; shape: readonly number[]; bytes: number }[],
  draw: () => Uint8Array,
): void {
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const { name, shape, bytes } of tensors) {
    header[name] = { dtype: "BF16", shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const json = JSON.stringify(header);
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const handle = openSync(path, "w");
  for (const part of [length, text]) writeSync(handle, part);
  for (const { bytes } of tensors)
    for (let left = bytes; left > 0; ) left -= writeSync(handle, draw(), 0, Math.min(left, 2 * RUN));
  closeSync(handle);
}
