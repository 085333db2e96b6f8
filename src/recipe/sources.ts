/** Where pretraining and SFT get their documents: generated attempts, a text file, JSONL, or code. */
import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { Random } from "../runtime/random.ts";
import { countdown } from "../tasks/countdown.ts";
import { attemptDocument } from "../tasks/countdown-attempts.ts";
import { DataSetError } from "../tasks/jsonl-file.ts";
import { beginIds, endIds } from "../tokenizer/around.ts";
import { fimIds } from "../tokenizer/infill.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Document, DocumentSource } from "../train/data.ts";
import { fimDocument } from "../train/fill-in-the-middle.ts";
import { repositoryDocuments, type SourceFile } from "../train/repository.ts";
import type { TrainingData } from "./schema.ts";

/** Documents by index, without end: a file is read again in a new order each epoch. @throws DataSetError */
export function documentSource(data: TrainingData, tokenizer: Tokenizer, seed: number): DocumentSource {
  switch (data.kind) {
    case "countdown-attempts": {
      const { numbers, maxResult } = data;
      const task = countdown({
        kind: "countdown",
        numbers,
        numberRange: [1, 99],
        targetRange: [10, 100],
        maxResult,
      });
      return (index) => {
        const { prompt, completion } = attemptDocument(task, data, seed, index);
        return assemble(
          tokenizer,
          tokenizer.encode(prompt, { specials: true }),
          tokenizer.encode(completion, { specials: true }),
        );
      };
    }
    case "text":
      return shuffled(
        paragraphs(data.file).map((text) => assemble(tokenizer, [], tokenizer.encode(text))),
        seed,
      );
    case "repository":
      return repositorySource(data, tokenizer, seed);
    case "jsonl":
      return shuffled(
        examples(data.file).map(({ prompt, completion }) =>
          assemble(
            tokenizer,
            tokenizer.encode(prompt, { specials: true }),
            tokenizer.encode(completion, { specials: true }),
          ),
        ),
        seed,
      );
  }
}

/** A document is cut at other places each time it comes up. */
function repositorySource(
  { folder, extensions, fim = { rate: 0, spm: 0 } }: TrainingData & { kind: "repository" },
  tokenizer: Tokenizer,
  seed: number,
): DocumentSource {
  // Says at the start whether the vocabulary has the tokens.
  if (fim.rate > 0) fimIds(tokenizer);
  const texts = shuffled(repositoryDocuments(sourceFiles(folder, extensions)), seed);
  return (index) => fimDocument(tokenizer, texts(index), fim, new Random(seed, "fim", index));
}

/** Files with these endings, by path; what is hidden or installed is not read. */
function sourceFiles(folder: string, extensions: readonly string[]): SourceFile[] {
  const expected = `files that end in .${extensions.join(" or .")}`;
  let paths: string[];
  try {
    paths = readdirSync(folder, { recursive: true, encoding: "utf8" });
  } catch (error) {
    throw new DataSetError(folder, null, (error as Error).message, `a folder of ${expected}`);
  }
  const wanted = paths
    .map((path) => path.replaceAll(sep, "/"))
    .filter((path) => extensions.some((extension) => path.endsWith(`.${extension}`)))
    .filter((path) => !path.split("/").some((part) => part.startsWith(".") || part === "node_modules"));
  if (wanted.length === 0) throw new DataSetError(folder, null, "there are none in it", expected);
  return wanted.sort().map((path) => ({ path, text: read(join(folder, path)) }));
}

/** Prompt and completion between what the tokenizer puts around a text, and EOS; the completion and its end are trained. */
function assemble(tokenizer: Tokenizer, prompt: number[], completion: number[]): Document {
  const begin = [...beginIds(tokenizer), ...prompt];
  return { ids: [...begin, ...completion, ...endIds(tokenizer)], trainFrom: begin.length };
}

function shuffled<Item>(documents: readonly Item[], seed: number): (index: number) => Item {
  let epoch = -1;
  let order: number[] = [];
  return (index) => {
    const wanted = Math.floor(index / documents.length);
    if (wanted !== epoch) {
      epoch = wanted;
      order = new Random(seed, "epoch", epoch).shuffle(documents.map((_, i) => i));
    }
    return documents[order[index % documents.length]];
  };
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new DataSetError(
      file,
      null,
      (error as Error).message,
      "a file in UTF-8; its path is relative to this directory",
    );
  }
}

/** A document is what stands between blank lines. */
function paragraphs(file: string): string[] {
  const found = read(file)
    .split(/\n\s*\n/)
    .map((text) => text.trim())
    .filter((text) => text !== "");
  if (found.length === 0)
    throw new DataSetError(file, null, "the file has no text", "documents with blank lines between them");
  return found;
}

const LINE = 'a JSON object such as {"prompt": "2 + 2 =", "completion": " 4"}';

function examples(file: string): { prompt: string; completion: string }[] {
  const found: { prompt: string; completion: string }[] = [];
  for (const [i, line] of read(file).split("\n").entries()) {
    if (line.trim() === "") continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw new DataSetError(file, i + 1, `not JSON (${(error as Error).message})`, LINE);
    }
    const { prompt, completion } = value as { prompt?: unknown; completion?: unknown };
    if (typeof prompt !== "string" || typeof completion !== "string")
      throw new DataSetError(file, i + 1, 'the fields "prompt" and "completion" are not both text', LINE);
    found.push({ prompt, completion });
  }
  if (found.length === 0) throw new DataSetError(file, null, "the file has no lines", LINE);
  return found;
}
