/** `sputnik eval --compare A B`: two evaluations on the same problems, problem by problem. */
import fs from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { compareEvaluations } from "../eval/compare.ts";
import { isStoredEvaluation, readStored, verifyStored } from "../eval/stored.ts";
import type { EvaluationRecord } from "../events.ts";
import { usageError } from "../lib/errors.ts";
import { readJournal } from "../lib/journal.ts";
import { readText } from "../lib/text-file.ts";
import { findModel } from "../run/find-model.ts";
import { runPaths } from "../run/folder.ts";
import { printable, printableJson } from "./printable.ts";
import { findRun } from "./report.ts";
import { percent, table, whole } from "./screen.ts";

const EVALUATIONS = "a file of eval --out, what eval --json printed, or RUN:LABEL such as smoke:base";

export async function compare(names: readonly string[], json?: boolean): Promise<void> {
  if (names.length !== 2)
    throw usageError(`--compare takes two evaluations, not ${names.length}.`, `Each is ${EVALUATIONS}.`);
  const [first, second] = (await Promise.all(names.map(load))) as [EvaluationRecord, EvaluationRecord];
  const compared = compareEvaluations(first, second);
  if (!compared.paired)
    throw usageError(
      `${names[0]} and ${names[1]} cannot be compared problem by problem: ${compared.why}.`,
      "Evaluate both on the same problems: the same task and part, the same file or seed, and as many problems.",
    );
  const { difference, problems, leftOut } = compared;
  const differ = (["temperature", "samplesPerProblem", "effort"] as const).filter(
    (key) => first[key] !== second[key],
  );
  if (json) {
    const side = (
      name: string | undefined,
      { passAt1, interval, temperature, samplesPerProblem }: EvaluationRecord,
    ) => ({
      ...{ name, passAt1, interval, temperature, samplesPerProblem },
    });
    console.log(
      printableJson({
        ...{ first: side(names[0], first), second: side(names[1], second), task: first.task },
        ...{ problems, leftOut, difference, differ },
      }),
    );
    return;
  }
  const { mean, interval, significant, problemsNeeded } = difference;
  const points = (value: number): string => `${value < 0 ? "" : "+"}${(100 * value).toFixed(1)}`;
  const row = (name: string, { passAt1, interval: [low, high] }: EvaluationRecord): string[] => [
    printable(name),
    percent(passAt1, 1),
    `${percent(low, 1)} to ${percent(high, 1)}`,
  ];
  console.log(
    table(
      [printable(first.task), "pass@1", "95 % interval"],
      [
        row(names[0] as string, first),
        row(names[1] as string, second),
        ["difference", `${points(mean)} points`, `${points(interval[0])} to ${points(interval[1])}`],
      ],
    ),
  );
  const needed =
    significant || problemsNeeded === null || problemsNeeded <= problems
      ? ""
      : ` About ${whole(problemsNeeded)} problems would settle a difference of this size.`;
  console.log(
    `\nPaired over ${whole(problems)} problems: ${significant ? `the second is ${mean > 0 ? "better" : "worse"}` : "inside the noise"}.${needed}`,
  );
  if (leftOut > 0) console.log(`${whole(leftOut)} problems without a score in either are left out.`);
  if (differ.length > 0)
    console.log(`They differ in ${differ.join(" and ")}, so this compares more than the models.`);
}

async function load(name: string): Promise<EvaluationRecord> {
  if (fs.existsSync(name) && fs.statSync(name).isFile()) return fromFile(name);
  const { target, label } = splitName(name);
  // A run keeps its evaluations when its checkpoints are removed.
  const run = findRun(target) ?? findModel(target).run;
  const records = run === null ? [] : readJournal<EvaluationRecord>(runPaths(run).evaluations);
  const record = label === undefined ? records.at(-1) : records.findLast((one) => one.label === label);
  if (record !== undefined) return record;
  const labels = records.map((one) => one.label).join(", ");
  throw usageError(
    label === undefined ? `${name} has no evaluation.` : `${target} has no evaluation "${label}".`,
    labels === "" ? `Name ${EVALUATIONS}.` : `It has ${labels}.`,
  );
}

/** Splits RUN:LABEL. Both a path and a label may contain colons. */
function splitName(name: string): { target: string; label?: string } {
  const there = (target: string): boolean => fs.existsSync(target) || fs.existsSync(join("runs", target));
  const colons = [...name.matchAll(/:/g)].map(({ index }) => index);
  const at = there(name) ? undefined : (colons.find((place) => there(name.slice(0, place))) ?? colons.at(-1));
  return at === undefined ? { target: name } : { target: name.slice(0, at), label: name.slice(at + 1) };
}

const count = z.int().nonnegative();
/** The fields of `eval --json` that are compared. */
const recordSchema = z.looseObject({
  ...{ task: z.string(), passAt1: z.number(), interval: z.tuple([z.number(), z.number()]) },
  ...{ temperature: z.number(), samplesPerProblem: z.number(), effort: z.number().optional() },
  tallies: z
    .array(z.looseObject({ key: z.string(), right: count, wrong: count, unparsed: count, unscored: count }))
    .optional(),
});

async function fromFile(file: string): Promise<EvaluationRecord> {
  if (isStoredEvaluation(file)) {
    const { record, whole: complete } = await verifyStored(readStored(file));
    if (record === null || !complete)
      throw usageError(`${file} is not complete.`, "Continue it with the same command, then compare.");
    return record;
  }
  const refuse = () => usageError(`${file} holds no evaluation.`, `Name ${EVALUATIONS}.`);
  const document = parse(readText(file));
  if (typeof document !== "object" || document === null) throw refuse();
  if ("partial" in document && document.partial === true)
    throw usageError(`${file} is not complete.`, "Continue it with the same command, then compare.");
  if (!recordSchema.safeParse(document).success) throw refuse();
  return document as EvaluationRecord;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
