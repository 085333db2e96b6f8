/**
 * `sputnik export RUN FOLDER` writes the newest checkpoint's model as a Hugging Face folder with its bill and report. A
 * model that no run made (pulled, a GGUF file, a folder) gets a model card only.
 * `sputnik export RUN FILE.gguf` writes the same model for llama.cpp.
 */
import fs from "node:fs";
import { basename, isAbsolute, join, relative } from "node:path";
import { saveModel } from "../checkpoint/folder.ts";
import { isGguf } from "../checkpoint/gguf/file.ts";
import { exportGguf } from "../checkpoint/gguf/model.ts";
import { openModelFiles } from "../checkpoint/model.ts";
import { strayWeights } from "../checkpoint/shards.ts";
import { type UserError, usageError } from "../lib/errors.ts";
import { allParameters } from "../models/architectures.ts";
import { countParameters } from "../models/layers.ts";
import { type FoundModel, findModel } from "../run/find-model.ts";
import { runPaths } from "../run/folder.ts";
import { type RunData, readRun } from "../run/reader.ts";
import { inlineText } from "../run/report/markdown-text.ts";
import { saveReport } from "../run/report/report.ts";
import { evaluationLine } from "./progress.ts";
import { findRun } from "./report.ts";
import { bytes, duration, note } from "./screen.ts";
import { writeFolder, writeGgufFile } from "./target.ts";

export interface ExportOptions {
  /** Type of the matrices; default: F32 in a folder, F16 in a GGUF file. */
  dtype?: "F32" | "F16" | "BF16" | "Q8_0";
  /** Replaces a model that is there already. */
  force?: boolean;
}

export function exportModel(run: string, target: string, { dtype, force = false }: ExportOptions): void {
  if (isGguf(target)) {
    if (dtype === "BF16") throw wrongType(dtype, "F32, F16 or Q8_0 in a GGUF file");
    const from = findModel(run).folder;
    strayWeights(from).forEach(note);
    writeGgufFile(target, { sources: [from], force }, (file) =>
      exportGguf(isGguf(from) ? openModelFiles(from) : from, file, { dtype }),
    ).forEach(note);
    console.log(`${target}: ${bytes(fs.statSync(target).size)}.`);
    return;
  }
  if (dtype === "Q8_0") throw wrongType(dtype, "F32, F16 or BF16 in a folder");
  const source = findRun(run);
  const found = findModel(source ?? run);
  strayWeights(found.folder).forEach(note);
  const sources = [found.folder, ...(source === null ? [] : [source])];
  const written = writeFolder(target, { sources, force }, (folder) =>
    source === null
      ? exportPlain(found, folder, target, dtype)
      : exportRun(found, source, folder, target, dtype),
  );
  const { parameters, size } = written;
  const rest = source === null ? "" : ", with bill.json and report.md";
  console.log(`${target}: ${parameters.toLocaleString("en-US")} parameters, ${bytes(size)}${rest}.`);
}

type FolderType = "F32" | "F16" | "BF16";

const wrongType = (dtype: string, known: string): UserError =>
  usageError(`${dtype} cannot be written there.`, `Choose ${known}.`);

interface Written {
  parameters: number;
  /** Whether it has a chat template. */
  talks: boolean;
  /** Bytes of the model's files. */
  size: number;
}

function writeModel(from: string, folder: string, dtype?: FolderType): Written {
  const model = openModelFiles(from);
  const files = saveModel(folder, model, { dtype });
  return {
    parameters: countParameters(allParameters(model.config)),
    talks: "chat_template" in model.tokenizerConfig,
    size: files.reduce((total, file) => total + fs.statSync(join(folder, file)).size, 0),
  };
}

/** Writes a model that no run made: there is no bill and no report. */
function exportPlain(found: FoundModel, folder: string, target: string, dtype: FolderType = "F32"): Written {
  const written = writeModel(found.folder, folder, dtype);
  fs.writeFileSync(join(folder, "README.md"), plainCard(found, written, named(target), dtype));
  return written;
}

function exportRun(
  found: FoundModel,
  source: string,
  folder: string,
  target: string,
  dtype?: FolderType,
): Written {
  const written = writeModel(found.folder, folder, dtype);
  const paths = runPaths(source);
  const run = readRun(source);
  const files = [paths.recipe, paths.info, paths.evaluations, paths.bill];
  // Without the run's journals, as in an earlier export, the old report is more complete than a new one.
  if (fs.existsSync(paths.metrics)) saveReport(run, folder);
  else files.push(paths.report, paths.figures);
  for (const file of files) {
    if (fs.existsSync(file))
      fs.cpSync(file, join(folder, basename(file)), { recursive: true, filter: isOwn });
  }
  fs.writeFileSync(join(folder, "README.md"), card(run, written.parameters, named(target)));
  return written;
}

/** A link in a stranger's run may lead to a file outside of the run, which must not be published. */
function isOwn(path: string): boolean {
  const own = !fs.lstatSync(path).isSymbolicLink();
  if (!own) note(`${path} is a link and was left out.`);
  return own;
}

/** The folder without its path on this machine, which a card must not show. */
function named(folder: string): string {
  const here = relative("", folder);
  return here === "" || here.startsWith("..") || isAbsolute(here) ? basename(folder) : here;
}

/** The card of a model that no run made; its authors' card has its origin and its licence. */
function plainCard(
  { folder: from, name }: FoundModel,
  { parameters, talks }: Written,
  folder: string,
  dtype: FolderType,
): string {
  const base = name === undefined ? "" : `base_model: ${name}\n`;
  const blocks = isGguf(from)
    ? " Its weights are what the blocks of that file stand for: what quantising them lost is lost."
    : "";
  return `---
${base}library_name: transformers
---

# ${basename(folder)}

${name ?? basename(from)} as a Hugging Face folder in ${dtype}: ${parameters.toLocaleString("en-US")} parameters, with its tokenizer${talks ? " and chat template" : ""}.${blocks}
Sputnik wrote it and trained nothing: the original's card tells of its making and its licence.

## Use

\`\`\`sh
npx sputnik chat ${folder}
\`\`\`
`;
}

/** The model card of a run, in Hugging Face's form. */
function card({ info, recipe, evaluations, bill }: RunData, parameters: number, folder: string): string {
  const cost = bill?.dollars == null ? "unknown (no price was given)" : `$${bill.dollars.toFixed(4)}`;
  const spent =
    bill === null
      ? ""
      : `It took ${duration(bill.seconds)} and ${(bill.flops / 1e12).toFixed(1)} TFLOP; its cost is ${cost}.`;
  const from = "from" in recipe.model ? recipe.model.from : null;
  // A model that was trained further keeps the licence of its base.
  const licence = from === null ? "license: mit\n" : "";
  return `---
${licence}library_name: sputnik-r1
tags: [reasoning, ${[...new Set(recipe.stages.map(({ kind }) => kind))].join(", ")}, ${recipe.task.kind}]
---

# ${info.name}

${inlineText(recipe.description ?? "A model trained by Sputnik.")}

A model of ${parameters.toLocaleString("en-US")} parameters (\`config.json\` has its design), trained from ${from ?? "random weights"}
by [recipe.yaml](recipe.yaml) with seed ${info.seed} on ${info.cpu}. ${spent}

${evaluations.map((evaluation) => `- ${inlineText(evaluationLine(evaluation))}`).join("\n")}

All of it is in [report.md](report.md) and [bill.json](bill.json).

## Use

\`\`\`sh
npx sputnik chat ${folder}
\`\`\`

## How to make it again

\`\`\`sh
npx sputnik train ${folder}/recipe.yaml --name ${info.name}
npx sputnik export ${info.name} ${folder}-again
\`\`\`
`;
}
