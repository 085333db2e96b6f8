/** `sputnik complete MODEL [FILE]`: continues a text, or fills the hole in it. */
import fs from "node:fs";
import color from "picocolors";
import type { Precision } from "../checkpoint/quantise.ts";
import { isUserError, usageError } from "../lib/errors.ts";
import { decodeText } from "../lib/text-file.ts";
import { findModel } from "../run/find-model.ts";
import { Engine, type EngineOptions } from "../runtime/engine.ts";
import { complete } from "../sample/complete.ts";
import { openForInference } from "../sample/inference.ts";
import { fimIds } from "../tokenizer/infill.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { printNotes } from "./notes.ts";
import { pipeable, printable, printableJson } from "./printable.ts";
import { note } from "./screen.ts";
import { showLoading } from "./waiting.ts";

export interface CompleteCommand {
  marker: string;
  prefix?: string;
  suffix?: string;
  hole?: boolean;
  maxTokens: number;
  temperature: number;
  topP?: number;
  seed: number;
  precision?: Precision;
  engine?: EngineOptions;
  json?: boolean;
}

interface Text {
  prefix: string;
  suffix?: string;
}

export async function completeText(
  name: string,
  file: string | undefined,
  options: CompleteCommand,
): Promise<void> {
  const { hole, maxTokens, temperature, topP, seed, precision, engine, json } = options;
  const { folder } = findModel(name);
  const text = readText(file, options);
  printNotes(folder);
  const loaded = showLoading();
  const model = await openForInference(folder, {
    precision,
    engine: engine && new Engine(engine),
  }).finally(loaded);
  const { isTTY } = process.stdout;
  const print = (part: string): void => void (json || process.stdout.write(part));
  /** A file gets the person's own text unchanged. */
  const printOwn = (part = ""): void => print(isTTY ? printable(part) : part);
  const start = performance.now();
  try {
    // Checked before any text is printed.
    if (text.suffix !== undefined) checkHole(model.tokenizer, options.marker);
    if (!hole) printOwn(text.prefix);
    const filled = await complete(model, {
      ...text,
      ...{ maxNewTokens: maxTokens, sampling: { temperature, topP }, seed },
      onText: (part) => print((isTTY ? printable : pipeable)(part)),
    });
    if (!hole) printOwn(text.suffix);
    const seconds = (performance.now() - start) / 1000;
    if (json) {
      const { text: hole, ...rest } = filled;
      console.log(printableJson({ model: folder, hole, ...rest, seconds }));
      return;
    }
    if (process.stdout.isTTY) console.log(color.dim(`\n${filled.tokens} tokens, ${seconds.toFixed(1)} s`));
    const dropped = filled.dropped.prefix + filled.dropped.suffix;
    if (dropped > 0)
      note(`The text is longer than the model can read: ${dropped} tokens far from the hole were left out.`);
  } finally {
    await model.release();
  }
}

function readText(file: string | undefined, { marker, prefix, suffix }: CompleteCommand): Text {
  const files = prefix !== undefined || suffix !== undefined;
  if (files && file !== undefined)
    throw usageError(
      "Both a file and its parts are named.",
      "Name FILE, or --prefix and --suffix, not both.",
    );
  const text: Text = files
    ? { prefix: prefix === undefined ? "" : read(prefix), suffix: suffix && read(suffix) }
    : cut(read(file ?? "-"), marker);
  if (text.prefix === "" && text.suffix === undefined)
    throw usageError("There is no text to continue.", "Name a file, or send a text to standard input.");
  return text;
}

/** `-` is standard input. */
function read(file: string): string {
  let bytes: Buffer;
  try {
    bytes = fs.readFileSync(file === "-" ? 0 : file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === "ENOENT" ? "there is none" : code === "EISDIR" ? "it is a folder" : message;
    throw usageError(`The text ${file} cannot be read: ${reason}.`, "Check the path.");
  }
  return decodeText(file === "-" ? "standard input" : file, bytes);
}

function checkHole(tokenizer: Tokenizer, marker: string): void {
  try {
    fimIds(tokenizer);
  } catch (error) {
    if (!isUserError(error, "tokenizer")) throw error;
    throw usageError(
      `The text has a hole (${marker}, or a suffix), and this model's vocabulary has no tokens for one.`,
      "Take a base model for code that was trained to fill holes. If this is no hole, name another --marker.",
    );
  }
}

function cut(text: string, marker: string): Text {
  const [prefix, suffix, ...more] = text.split(marker);
  if (more.length === 0) return { prefix, suffix };
  throw usageError(
    `The text has ${more.length + 1} holes (${marker}), and one can be filled at a time.`,
    "Leave one marker, or choose another with --marker.",
  );
}
