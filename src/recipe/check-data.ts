/** A stage's training data against its rows: what fits, what is cut or passed over, and what the model is shown first. */
import type { ModelShape } from "../checkpoint/folder.ts";
import type { Example } from "../data/examples.ts";
import { firstRow } from "../data/first-row.ts";
import { partsOf } from "../data/options.ts";
import { type DocumentSource, PackedExamples, PackedStream, rowLength } from "../data/packing.ts";
import { documentSource, fileExamples, sourceFiles } from "../data/sources.ts";
import { dataSetError } from "../tasks/rows.ts";
import { beginIds } from "../tokenizer/around.ts";
import type { PretrainStage, Recipe, SftStage } from "./schema.ts";

/** What a person should know of a recipe before it runs. */
export interface Note {
  level: "info" | "warning";
  message: string;
}

/** Places that a sentence names. */
const NAMED = 5;
/** Generated documents that are measured. */
const MEASURED = 256;

/** @throws UserError where nothing of the data can be trained, or a row is broken */
export function checkData(
  stage: PretrainStage | SftStage,
  recipe: Pick<Recipe, "seed" | "task">,
  model: ModelShape,
): Note[] {
  const { data, kind } = stage;
  const file = data.kind === "text" || data.kind === "jsonl" ? data.file : null;
  const examples: Example[] =
    data.kind === "text" || data.kind === "jsonl" ? fileExamples(data, model, kind) : [];
  // What an earlier stage samples is known when it has run.
  if (partsOf(data).some(({ kind }) => kind === "samples")) return [];
  const passedOver = data.kind === "repository" ? checkRepository(stage.name, data) : [];
  if (kind === "sft") return [...passedOver, ...checkSft(stage, recipe, model, { file, examples })];
  if (data.kind === "task") measure(documentSource(data, model, { ...recipe, stage: kind }));
  const begin = beginIds(model.tokenizer).length;
  return file === null ? passedOver : checkPretraining(stage, begin, { file, examples });
}

/** Notes on the files of a folder that are not read. */
function checkRepository(
  name: string,
  { folder, extensions }: { folder: string; extensions: string[] },
): Note[] {
  const { files, notText, links } = sourceFiles(folder, extensions);
  const warn = (what: string, count: string, paths: readonly string[]): Note[] =>
    paths.length === 0
      ? []
      : [{ level: "warning", message: `Stage "${name}": ${what}: ${count}${listed(paths)}.` }];
  const all = files.length + notText.length;
  return [
    ...warn(`files of ${folder} that are no text and are left out`, `${notText.length} of ${all}`, notText),
    ...warn(`links in ${folder} that are not followed`, String(links.length), links),
  ];
}

interface Given {
  file: string | null;
  examples: Example[];
}

const measure = (source: DocumentSource): Example[] =>
  Array.from({ length: MEASURED }, (_, i) => ({ document: source(i), place: "" }));

function checkSft(
  stage: SftStage,
  { seed, task }: Pick<Recipe, "seed" | "task">,
  model: ModelShape,
  { file, examples }: Given,
): Note[] {
  const { name, data, sequence, batch } = stage;
  const source = documentSource(data, model, { seed, stage: "sft", task });
  const notes: Note[] = [];
  const measured = file !== null ? examples : measure(source);
  const long = measured.filter(({ document }) => rowLength(document) > sequence);
  const longest = measured.reduce((most, { document }) => Math.max(most, rowLength(document)), 0);
  const what = file ?? `the ${data.kind} data`;
  if (long.length === measured.length)
    throw dataSetError(
      what,
      null,
      `all ${measured.length} examples are longer than a row of stage "${name}", which has ${sequence} tokens (sequence): the longest takes ${longest}`,
      "examples that fit a row whole",
      `${room(longest, model)} Or shorten the examples.`,
    );
  if (long.length > 0)
    notes.push({
      level: "warning",
      message: `Stage "${name}": ${long.length} of ${measured.length} examples of ${what} are longer than its rows of ${sequence} tokens and are left out${placesOf(long)}. The longest takes ${longest}. ${room(longest, model)}`,
    });
  const { text, further } = firstRow(model.tokenizer, new PackedExamples(source, batch, sequence).next());
  const more = further === 0 ? "" : ` (the row holds ${further} more)`;
  notes.push({
    level: "info",
    message: `Stage "${name}" sees this first${more}; it trains what is between » and «:\n${text}`,
  });
  return notes;
}

const room = (longest: number, { config: { maxPositions } }: ModelShape): string =>
  longest <= maxPositions
    ? `A sequence of ${longest} trains them all.`
    : `The model has ${maxPositions} positions, which bound sequence.`;

/** @param begin tokens that every text begins with: what is untrained beyond them is a prompt */
function checkPretraining(
  stage: PretrainStage,
  begin: number,
  { file, examples }: { file: string; examples: Example[] },
): Note[] {
  const { name, sequence } = stage;
  const prompts = examples.filter(({ document }) => document.trainFrom > Math.max(1, begin));
  const unseen = prompts.filter(({ document }) => document.trainFrom >= sequence);
  if (unseen.length === examples.length && !trainsAnything(stage, examples))
    throw dataSetError(
      file,
      null,
      `every prompt is longer than a row of stage "${name}", which has ${sequence} tokens (sequence)`,
      "prompts that fit a row with what is trained of their completions",
    );
  const packed = `Stage "${name}" pretrains: the ${examples.length} documents of ${file} follow one another without gaps and are cut where a row of ${sequence} tokens ends`;
  const notes: Note[] = [
    prompts.length === 0
      ? { level: "info", message: `${packed}.` }
      : {
          level: "warning",
          message: `${packed}, so some completions do not see their prompts. A stage of kind: sft keeps examples whole.`,
        },
  ];
  if (unseen.length > 0)
    notes.push({
      level: "warning",
      message: `Stage "${name}": ${unseen.length} of ${examples.length} prompts of ${file} fill a row of ${sequence} tokens alone${placesOf(unseen)}, so some steps may train nothing.`,
    });
  return notes;
}

/** Whether the first pass over the file has a target that counts. */
function trainsAnything({ batch, sequence }: PretrainStage, examples: readonly Example[]): boolean {
  const tokens = examples.reduce((sum, { document }) => sum + document.ids.length, 0);
  const batches = new PackedStream((i) => examples[i % examples.length].document, batch, sequence);
  for (let seen = 0; seen < tokens; seen += batch * sequence) if (batches.next().trained > 0) return true;
  return false;
}

const placesOf = (examples: readonly Example[]): string =>
  listed([...new Set(examples.map(({ place }) => place))].filter((place) => place !== ""));

function listed(places: readonly string[]): string {
  if (places.length === 0) return "";
  const more = places.length > NAMED ? ` and ${places.length - NAMED} more` : "";
  return ` (${places.slice(0, NAMED).join(", ")}${more})`;
}
