/** Reads a golden folder of DeepSeek-V3: config, weights, batch and what the reference says. */
import { readFileSync } from "node:fs";
import { withSafetensors } from "../../src/checkpoint/safetensors.ts";
import { type V3Config, v3FromHuggingFace } from "../../src/models/v3-config.ts";
import type { HostValue } from "../../src/runtime/session.ts";
import { batchFeeds, mtpFeeds } from "../../src/train/language-model.ts";

export interface V3Fixture {
  config: V3Config;
  parameters: Map<string, HostValue>;
  expected: Map<string, HostValue>;
  feeds: Record<string, HostValue>;
}

const fixture = (name: string): URL => new URL(`../fixtures/${name}`, import.meta.url);
const json = <T>(name: string): T => JSON.parse(readFileSync(fixture(name), "utf8"));

function tensors(name: string): Map<string, HostValue> {
  return withSafetensors(fixture(name).pathname, (file) => {
    const read = (tensor: string): [string, HostValue] => {
      const { data, shape } = file.readFloat32(tensor);
      return [tensor, { dtype: "f32", device: "host", shape, data }];
    };
    return new Map([...file.header.tensors.keys()].map(read));
  });
}

export function readFixture(folder: string): V3Fixture {
  const config = v3FromHuggingFace(json(`${folder}/config.json`));
  const { ids, targets, mask } = json<Record<"ids" | "targets" | "mask", number[][]>>(`${folder}/batch.json`);
  const total = mask.flat().reduce((a, b) => a + b, 0);
  const batch = {
    ids: Int32Array.from(ids.flat()),
    targets: Int32Array.from(targets.flat()),
    weights: Float32Array.from(mask.flat(), (m) => m / total),
    batch: ids.length,
    seq: ids[0].length,
  };
  return {
    config,
    parameters: tensors(`${folder}/model.safetensors`),
    expected: tensors(`${folder}/expected.safetensors`),
    feeds: { ...batchFeeds(batch), ...mtpFeeds(batch) },
  };
}
