/** Folders whose index and files disagree: each is read rightly, or says what the index names and what is there. */
import fs from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { loadModel, saveModel } from "../../src/checkpoint/folder.ts";
import { modelNotes } from "../../src/checkpoint/generation-config.ts";
import { openModelFiles, withModel } from "../../src/checkpoint/model.ts";
import { INDEX, weightFiles } from "../../src/checkpoint/shards.ts";
import { isUserError, type UserError } from "../../src/lib/errors.ts";
import { temporaryFolder } from "./temporary.ts";

const shipped = loadModel(new URL("../../models/tiny-r1-zero", import.meta.url).pathname);
const root = temporaryFolder();
let folder: string;
let shards: string[];
beforeEach(() => {
  folder = fs.mkdtempSync(join(root, "m-"));
  const untied = { ...shipped.config, tieEmbeddings: false };
  const head = shipped.parameters.get("model.embed_tokens.weight")!;
  const parameters = new Map(shipped.parameters).set("lm_head.weight", head);
  saveModel(folder, { ...shipped, config: untied, parameters }, { dtype: "BF16", shardBytes: 300_000 });
  shards = fs.readdirSync(folder).filter((name) => name.endsWith(".safetensors"));
  expect(shards.length).toBeGreaterThan(3);
});

const index = (): { weight_map: Record<string, string> } =>
  JSON.parse(fs.readFileSync(join(folder, INDEX), "utf8")) as { weight_map: Record<string, string> };
const write = (weight_map: Record<string, string>) =>
  fs.writeFileSync(join(folder, INDEX), JSON.stringify({ weight_map }));

function failing(): UserError {
  const errors = [() => openModelFiles(folder), () => withModel(folder, () => null)].map((open) => {
    try {
      open();
    } catch (error) {
      return error;
    }
    return null;
  });
  for (const error of errors) expect(isUserError(error, "checkpoint")).toBe(true);
  expect((errors[0] as UserError).found).toBe((errors[1] as UserError).found);
  return errors[0] as UserError;
}

describe("an index at odds with the files", () => {
  it("names a shard that is not there", () => {
    fs.rmSync(join(folder, shards[1]!));
    const { message, remedy, where } = failing();
    expect(where).toBe(join(folder, shards[1]!));
    expect(message).toContain(
      `found no such file: the index names ${shards.join(", ")}, the files are ${shards[0]}, `,
    );
    expect(message).toContain(`missing: ${shards[1]}`);
    expect(remedy).toContain("Download the missing ones");
  });

  it("is partial: the shard that it leaves out is named, and nothing about tied embeddings", () => {
    const last = shards.at(-1)!;
    write(Object.fromEntries(Object.entries(index().weight_map).filter(([, name]) => name !== last)));
    const { message, remedy } = failing();
    expect(message).toMatch(/expected it to be stored, found the index names none of them; the index names/);
    expect(message).toContain(`beside them the files are ${last}`);
    expect(remedy).not.toContain("tie_word_embeddings");
    expect(remedy).toContain("download the folder again");
  });

  it("is stale: it names a shard for a tensor that another model keeps elsewhere", () => {
    const map = index().weight_map;
    const holder = map["model.embed_tokens.weight"]!;
    const others = Object.values(map).filter((name) => name !== holder);
    write(
      Object.fromEntries(Object.entries(map).map(([name, at]) => [name, at === holder ? others[0]! : at])),
    );
    expect(failing().message).toContain(
      `the index names ${others[0]} for model.embed_tokens.weight, which does not hold it`,
    );
  });

  it("an index that names a tensor in the wrong one of its shards changes nothing", () => {
    const map = index().weight_map;
    const [first, second] = Object.keys(map);
    write({ ...map, [first!]: map[second!]! });
    expect(openModelFiles(folder).parameters.size).toBe(Object.keys(map).length);
  });

  it("no index beside shards, or one file by another name", () => {
    fs.rmSync(join(folder, INDEX));
    expect(failing().message).toMatch(
      /expected model.safetensors, or shards with their .*found no index, and model-00001/,
    );
    for (const name of shards) fs.rmSync(join(folder, name));
    fs.writeFileSync(join(folder, "pytorch_model.safetensors"), "x");
    expect(failing().remedy).toBe("Rename the file to model.safetensors, if it holds the complete model.");
  });

  it("no safetensors at all, but PyTorch's files", () => {
    for (const name of [...shards, INDEX]) fs.rmSync(join(folder, name));
    expect(failing().found).toBe("no such file");
    for (const name of ["pytorch_model-00002-of-00002.bin", "pytorch_model-00001-of-00002.bin"])
      fs.writeFileSync(join(folder, name), "x");
    const { found, remedy } = failing();
    expect(found).toBe("pytorch_model-00001-of-00002.bin, pytorch_model-00002-of-00002.bin");
    expect(remedy).toMatch(/opening them runs code.*save_pretrained writes safetensors/);
  });
});

describe("strays are noted", () => {
  it("none in a folder as it is saved", () => expect(modelNotes(folder)).toEqual([]));

  it("a whole file beside shards is read, as transformers reads it, and the note says so", () => {
    saveModel(join(root, "whole"), shipped);
    fs.copyFileSync(join(root, "whole", "model.safetensors"), join(folder, "model.safetensors"));
    expect(weightFiles(folder)).toEqual([join(folder, "model.safetensors")]);
    expect(modelNotes(folder)).toEqual([
      `${folder}: read: model.safetensors; not read, though it is there: ${shards.join(", ")}.`,
    ]);
  });

  it("shards that the index does not name; an adapter is none", () => {
    for (const name of ["old.safetensors", "adapter_model.safetensors"])
      fs.writeFileSync(join(folder, name), "x");
    expect(modelNotes(folder)[0]).toMatch(/not read, though it is there: old.safetensors\.$/);
  });
});
