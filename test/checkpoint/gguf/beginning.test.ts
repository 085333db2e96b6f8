/** What the first bytes of a GGUF file tell before the rest is fetched. */
import fs from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { BEGINNING_BYTES, refusedByBeginning } from "../../../src/checkpoint/gguf/beginning.ts";
import { f32, type MetadataValue, text, texts, u32 } from "../../../src/checkpoint/gguf/values.ts";
import { writeGguf } from "../../../src/checkpoint/gguf/write.ts";
import { temporaryFolder } from "../temporary.ts";

const file = join(temporaryFolder(), "x.gguf");
const WORDS = texts(Array.from({ length: 20_000 }, (_, i) => `word ${i}`));

/** The verdict over a file's beginning, with a vocabulary that goes on behind it. */
function verdict(changes: Record<string, MetadataValue>): string | null {
  const keys: Record<string, MetadataValue> = {
    "general.architecture": text("qwen2"),
    "qwen2.context_length": u32(4096),
    "qwen2.rope.freq_base": f32(10000),
    "general.tags": texts(["a", "b"]),
    "tokenizer.ggml.model": text("gpt2"),
    "tokenizer.ggml.pre": text("qwen2"),
    ...changes,
    "tokenizer.ggml.tokens": WORDS,
  };
  writeGguf(file, new Map(Object.entries(keys)), []);
  const whole = fs.readFileSync(file);
  expect(whole.length).toBeGreaterThan(2 * BEGINNING_BYTES);
  const beginning = new Uint8Array(whole.subarray(0, BEGINNING_BYTES));
  return refusedByBeginning("x.gguf", beginning, whole.length)?.message ?? null;
}

it.each<[Record<string, MetadataValue>, RegExp]>([
  [{ "general.architecture": text("gemma3") }, /key general.architecture: expected one of llama, .*"gemma3"/],
  [{ "tokenizer.ggml.model": text("llama") }, /key tokenizer.ggml.model: expected "gpt2"/],
  [{ "tokenizer.ggml.pre": text("tekken") }, /key tokenizer.ggml.pre: expected a split rule out of gpt-2/],
  [{ "general.type": text("adapter") }, /key general.type: expected "model", found "adapter"/],
])("%j is refused", (changes, message) => {
  expect(verdict(changes)).toMatch(message);
});

it("what is read, and what does not tell, is not refused", () => {
  expect(verdict({})).toBeNull();
  expect(verdict({ "tokenizer.ggml.pre": text("megrez"), "general.type": text("model") })).toBeNull();
  for (const data of ["", "GG", "GGUF", "an HTML page that is longer than a header"])
    expect(refusedByBeginning("x.gguf", new Uint8Array(Buffer.from(data)), 1e9), data).toBeNull();
});
