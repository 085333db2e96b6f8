/** DeepSeek-V3 in a Hugging Face folder: what transformers stores, what DeepSeek stores, and what we write. */
import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { loadModel, saveModel } from "../../src/checkpoint/folder.ts";
import type { Parameter } from "../../src/checkpoint/safetensors.ts";
import { writeSafetensors } from "../../src/checkpoint/safetensors.ts";
import { expectedShapes } from "../../src/checkpoint/weights.ts";
import { allParameters, type ModelConfig } from "../../src/models/architectures.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { livelyV3, tinyV3 } from "../models/v3-tiny.ts";

const parameters = new Map(
  [...livelyV3(tinyV3, 3)].map(([name, { shape, data }]): [string, Parameter] => [
    name,
    { shape, data: data as Float32Array },
  ]),
);
const MODULE = `model.layers.${tinyV3.layers}.`;

/** A folder of the tiny model, its weights as `change` leaves them. */
function folderOf(change: (weights: Map<string, Parameter>) => void = () => {}): string {
  const folder = fs.mkdtempSync(join(os.tmpdir(), "sputnik-v3-"));
  saveModel(folder, { config: tinyV3, parameters, tokenizer: new CompactTokenizer() });
  const weights = new Map(parameters);
  change(weights);
  const stored = new Map([...weights].map(([name, one]) => [name, { dtype: "F32" as const, ...one }]));
  writeSafetensors(join(folder, "model.safetensors"), stored);
  return folder;
}

it("comes back as it was, the further-token module and the routers' biases included", () => {
  const { config, parameters: read } = loadModel(folderOf(), expectedShapes);
  expect(config).toEqual(tinyV3);
  expect(read).toEqual(new Map([...parameters].sort()));
});

it("a folder without the module that its config announces, as transformers writes it, is a model without it", () => {
  const folder = folderOf((weights) => {
    for (const name of [...weights.keys()]) if (name.startsWith(MODULE)) weights.delete(name);
  });
  const { config } = loadModel(folder, expectedShapes);
  expect(config).toEqual({ ...tinyV3, mtpLayers: 0 });
});

it("DeepSeek's copies of embedding and head in the module are left out", () => {
  const embedding = parameters.get("model.embed_tokens.weight") as Parameter;
  const folder = folderOf((weights) => {
    weights.set(`${MODULE}embed_tokens.weight`, embedding);
    weights.set(`${MODULE}shared_head.head.weight`, embedding);
  });
  expect([...loadModel(folder, expectedShapes).parameters.keys()].sort()).toEqual(
    [...parameters.keys()].sort(),
  );
});

it("a missing expert is named", () => {
  const name = "model.layers.1.mlp.experts.5.up_proj.weight";
  expect(() =>
    loadModel(
      folderOf((weights) => weights.delete(name)),
      expectedShapes,
    ),
  ).toThrow(name);
});

it.each(["golden-v3", "golden-v3-plain"])(
  "%s, stored by transformers, fits the shapes of its config",
  (golden) => {
    const from = fileURLToPath(new URL(`../fixtures/${golden}`, import.meta.url));
    const folder = fs.mkdtempSync(join(os.tmpdir(), "sputnik-v3-"));
    for (const file of ["config.json", "model.safetensors"])
      fs.copyFileSync(join(from, file), join(folder, file));
    fs.writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(new CompactTokenizer().toJSON()));
    const { config, parameters: read } = loadModel(folder, (shape: ModelConfig) => expectedShapes(shape));
    expect(config.architecture).toBe("deepseek_v3");
    expect(read.size).toBe(allParameters(config).length);
  },
);
