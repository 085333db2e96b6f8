/** Generation settings are applied, or named as not applied. */
import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readFolder } from "../../src/checkpoint/folder.ts";
import { modelNotes, notApplied, samplingFor } from "../../src/checkpoint/generation-config.ts";
import { GgufFile } from "../../src/checkpoint/gguf/file.ts";
import { exportGguf, loadGguf } from "../../src/checkpoint/gguf/model.ts";
import { f32 } from "../../src/checkpoint/gguf/values.ts";
import { writeGguf } from "../../src/checkpoint/gguf/write.ts";
import { temporaryFolder } from "./temporary.ts";

describe("notApplied", () => {
  it.each<[Record<string, unknown>, string[]]>([
    [{ eos_token_id: 2, do_sample: false, repetition_penalty: 1.5 }, ["repetition_penalty 1.5"]],
    [{ min_p: 0.05, temperature: 0.6, top_p: 0.95, top_k: 20 }, ["min_p 0.05"]],
    [{ repetition_penalty: 1, min_p: 0, num_beams: 1, guidance_scale: null, stop_strings: [] }, []],
    [{ no_repeat_ngram_size: 3, num_beams: 4 }, ["no_repeat_ngram_size 3", "num_beams 4"]],
    [{ bad_words_ids: [[1]], suppress_tokens: [5] }, ["bad_words_ids [[1]]", "suppress_tokens [5]"]],
    [{ forced_eos_token_id: 0, stop_strings: ["x"] }, ["forced_eos_token_id 0", 'stop_strings ["x"]']],
    [
      { max_new_tokens: 512, use_cache: true, transformers_version: "5", top_k: 0, _from_model_config: true },
      [],
    ],
    [{ temperature: 7, top_p: 0, top_k: 1.5 }, ["temperature 7", "top_p 0", "top_k 1.5"]],
    [{ temperature: 7, top_p: 0, do_sample: false }, []],
  ])("%j", (generation, found) => {
    expect(notApplied(generation)).toEqual(found);
  });
});

const root = temporaryFolder();
const shipped = new URL("../../models/tiny-r1-zero", import.meta.url).pathname;

it("a folder's settings are named with their file, in one line", () => {
  const folder = join(root, "m");
  fs.cpSync(shipped, folder, { recursive: true });
  expect(modelNotes(folder)).toEqual([]);
  const settings = { eos_token_id: 2, do_sample: false, repetition_penalty: 1.5, min_p: 0.1 };
  fs.writeFileSync(join(folder, "generation_config.json"), JSON.stringify(settings));
  expect(modelNotes(folder)).toEqual([
    `${join(folder, "generation_config.json")}: not applied here: repetition_penalty 1.5, min_p 0.1. Answers differ from those of programs that do.`,
  ]);
  expect(samplingFor(settings)).toMatchObject({ temperature: 0 });
});

it("a folder without that file: the settings in its config.json, as transformers reads them", () => {
  const folder = join(root, "old");
  fs.cpSync(shipped, folder, { recursive: true });
  fs.rmSync(join(folder, "generation_config.json"), { force: true });
  const config = JSON.parse(fs.readFileSync(join(folder, "config.json"), "utf8")) as object;
  const settings = { do_sample: true, temperature: 0.2, top_p: 0.9, top_k: null, repetition_penalty: 1.3 };
  fs.writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, ...settings }));
  const { generation } = readFolder(folder);
  expect(generation).toEqual({ do_sample: true, temperature: 0.2, top_p: 0.9, repetition_penalty: 1.3 });
  expect(samplingFor(generation)).toMatchObject({ temperature: 0.2, topP: 0.9 });
  expect(modelNotes(folder)).toEqual([
    `${join(folder, "config.json")}: not applied here: repetition_penalty 1.3. Answers differ from those of programs that do.`,
  ]);
  fs.writeFileSync(join(folder, "generation_config.json"), "{}");
  expect(readFolder(folder).generation).toEqual({});
  expect(modelNotes(folder)).toEqual([]);
});

it("a GGUF file's own settings are applied, or named", () => {
  const [plain, file] = [join(root, "a.gguf"), join(root, "b.gguf")];
  exportGguf(shipped, plain);
  const opened = new GgufFile(plain);
  const tensors = [...opened.header.tensors].map(([name, { shape }]) => {
    return { name, shape, type: "F32" as const, pieces: () => [opened.read(name)] };
  });
  const more = { temp: 0.3, top_p: 0.9, min_p: 0.05, penalty_repeat: 1.1 };
  const entries = Object.entries(more).map(
    ([name, value]) => [`general.sampling.${name}`, f32(value)] as const,
  );
  writeGguf(file, new Map([...opened.header.metadata, ...entries]), tensors);
  opened.close();
  expect(samplingFor(loadGguf(file).generation)).toMatchObject({ temperature: 0.3, topP: 0.9 });
  expect(modelNotes(plain)).toEqual([]);
  expect(modelNotes(file)).toEqual([
    expect.stringContaining("not applied here: repetition_penalty 1.1, min_p 0.05"),
  ]);
});
