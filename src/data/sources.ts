/** Where pretraining and SFT get their documents: generated attempts, solved problems, a text file, JSONL, or code. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { isUserError } from "../lib/errors.ts";
import { interleaved } from "../lib/interleave.ts";
import { Random } from "../lib/random.ts";
import { readText, textFault } from "../lib/text-file.ts";
import { countdown, countdownOptions } from "../tasks/countdown.ts";
import { attemptDocument } from "../tasks/countdown-attempts.ts";
import { atEffort } from "../tasks/effort.ts";
import type { TaskOptions } from "../tasks/registry.ts";
import { dataSetError, readDataText } from "../tasks/rows.ts";
import { beginIds, endIds } from "../tokenizer/around.ts";
import { fimIds } from "../tokenizer/infill.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { type Example, plainDocument, readExamples, type TextModel, usualTemplate } from "./examples.ts";
import { fimDocument } from "./fill-in-the-middle.ts";
import type { DataSource, TrainingData } from "./options.ts";
import type { DocumentSource } from "./packing.ts";
import { repositoryDocuments, type SourceFile } from "./repository.ts";
import { solvedDocuments } from "./solved.ts";

/** How a stage reads its documents. */
export interface SourceOptions {
  seed: number;
  /** SFT puts rows into the model's chat template where it has one; pretraining takes them unchanged. */
  stage: "pretrain" | "sft";
  /** The file of what an earlier stage sampled. */
  samplesOf?: (stage: string) => string;
  /** The recipe's, which solved problems are of where their stage names none. */
  task?: TaskOptions;
}

/** Documents by index, without end: a file is read again in a new order each epoch. @throws UserError */
export function documentSource(data: TrainingData, model: TextModel, options: SourceOptions): DocumentSource {
  const { seed, stage, task, samplesOf } = options;
  switch (data.kind) {
    case "countdown-attempts": {
      const { numbers, maxResult, languages } = data;
      const task = countdown(countdownOptions.parse({ kind: "countdown", numbers, maxResult, languages }));
      return (index) => {
        const { prompt, completion } = attemptDocument(task, data, seed, index);
        // A single equation is no problem.
        const asked = prompt === "" ? prompt : atEffort({ id: "", prompt }, data.effort).prompt;
        return plainDocument(model, asked, completion);
      };
    }
    case "repository":
      return repositorySource(data, model.tokenizer, seed);
    case "samples": {
      if (samplesOf === undefined) throw new RangeError("the samples of a stage are known in its run alone");
      return documentSource({ kind: "jsonl", file: samplesOf(data.stage) }, model, options);
    }
    case "mix":
      return mixed(data, (part, i) =>
        documentSource(part, model, { ...options, seed: new Random(seed, "part", i).uint32() }),
      );
    case "task":
      return solvedDocuments(data.task ?? task, model, seed, data.wrong);
    default:
      return shuffled(
        fileExamples(data, model, stage).map(({ document }) => document),
        seed,
      );
  }
}

/** A file's documents, each once, in its order. @throws UserError */
export function fileExamples(
  data: TrainingData & { kind: "text" | "jsonl" },
  model: TextModel,
  stage: SourceOptions["stage"],
): Example[] {
  if (data.kind === "jsonl")
    return readExamples(data.file, model, data.template ?? usualTemplate(model, stage));
  const { tokenizer } = model;
  const begin = beginIds(tokenizer);
  return paragraphs(data.file).map(({ text, line }) => {
    try {
      const ids = [...begin, ...tokenizer.encode(text), ...endIds(tokenizer)];
      return { document: { ids, trainFrom: begin.length }, place: `line ${line}` };
    } catch (error) {
      if (!isUserError(error, "input")) throw error;
      throw dataSetError(
        data.file,
        line,
        error.message.replace(/\.$/, ""),
        "text that the vocabulary can write",
      );
    }
  });
}

/** A document is cut at other places each time it comes up. */
function repositorySource(
  { folder, extensions, fim = { rate: 0, spm: 0 } }: TrainingData & { kind: "repository" },
  tokenizer: Tokenizer,
  seed: number,
): DocumentSource {
  // Says at the start whether the vocabulary has the tokens.
  if (fim.rate > 0) fimIds(tokenizer);
  const texts = shuffled(repositoryDocuments(sourceFiles(folder, extensions).files), seed);
  return (index) => fimDocument(tokenizer, texts(index), fim, new Random(seed, "fim", index));
}

interface SourceFiles {
  files: SourceFile[];
  /** Paths that have such an ending, and are passed over. */
  notText: string[];
  links: string[];
}

/**
 * Files with these endings, by path. Hidden and installed ones are not read, and no link is followed: it may lead out of
 * the folder, or round in a circle. Files that are not text are passed over.
 */
export function sourceFiles(folder: string, extensions: readonly string[]): SourceFiles {
  const expected = `files that end in .${extensions.join(" or .")}`;
  const [paths, links, notText]: [string[], string[], string[]] = [[], [], []];
  const walk = (inner: string): void => {
    for (const entry of readdirSync(join(folder, inner), { withFileTypes: true })) {
      const path = inner === "" ? entry.name : `${inner}/${entry.name}`;
      if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
      if (entry.isDirectory()) walk(path);
      else if (entry.isSymbolicLink()) links.push(path);
      else if (entry.isFile() && extensions.some((extension) => path.endsWith(`.${extension}`)))
        paths.push(path);
    }
  };
  try {
    walk("");
  } catch (error) {
    throw dataSetError(folder, null, (error as Error).message, `a folder of ${expected}`);
  }
  const files = paths.sort().flatMap((path) => {
    try {
      return [{ path, text: readText(join(folder, path), { markup: true }) }];
    } catch (error) {
      if (textFault(error) === null) throw error;
      notText.push(path);
      return [];
    }
  });
  if (files.length > 0) return { files, notText, links };
  const found = paths.length === 0 ? "there are none in it" : `none of its ${paths.length} is text`;
  throw dataSetError(folder, null, found, expected);
}

function mixed(
  { parts }: TrainingData & { kind: "mix" },
  sourceOf: (part: DataSource, index: number) => DocumentSource,
): DocumentSource {
  const sources = parts.map(({ data }, i) => sourceOf(data, i));
  const place = interleaved(parts.map(({ share }) => share));
  return (index) => {
    const { part, rank } = place(index);
    return sources[part](rank);
  };
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

/** Blank lines separate documents. */
function paragraphs(file: string): { text: string; line: number }[] {
  const expected = "a text file, its documents with blank lines between them";
  const found: { text: string; line: number }[] = [];
  let line = 1;
  for (const part of readDataText(file, expected, { markup: true }).split(/(\n\s*\n)/)) {
    const text = part.trim();
    const before = part.slice(0, part.length - part.trimStart().length);
    if (text !== "") found.push({ text, line: line + before.split("\n").length - 1 });
    line += part.split("\n").length - 1;
  }
  if (found.length === 0) throw dataSetError(file, null, "the file has no text", expected);
  return found;
}
