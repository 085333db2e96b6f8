/** An evaluation's result, for people and as JSON. */
import color from "picocolors";
import type { EvaluationHeader } from "../eval/stored.ts";
import type { EvaluationRecord } from "../events.ts";
import { printable, printableJson } from "./printable.ts";
import { percent, table, whole } from "./screen.ts";

export interface EvaluationResult {
  /** `null`: no problem has all of its completions. */
  record: EvaluationRecord | null;
  /** Every completion is there. */
  whole: boolean;
  head: EvaluationHeader;
  /** Number of problems that were asked for. */
  wanted: number;
  /** Where the completions are, or `null`. */
  file: string | null;
  /** Cost of the sampling; `null` if nothing was sampled, or if an interruption left it unknown. */
  seconds: number | null;
  flops: number | null;
  tokens: number | null;
}

export function show(result: EvaluationResult, json?: boolean): void {
  const { record, head, seconds, flops, tokens, file } = result;
  const partial = !result.whole;
  if (json) {
    const {
      format: _,
      version: __,
      taskName: ___,
      task: options,
      problems: ____,
      weights: _____,
      ...settings
    } = head;
    console.log(
      printableJson({
        ...{ ...settings, partial, problemsWanted: result.wanted, taskOptions: options },
        ...(record ?? { problems: 0, passAt1: null }),
        ...{ seconds, flops, tokens, completions: file },
      }),
    );
    return;
  }
  if (partial) console.log(`${color.yellow("partial")} ${partialSentence(result)}\n`);
  if (record !== null) printRecord(record, result);
  if (file !== null)
    console.log(`\ncompletions: ${printable(file)}${partial ? ", which the same command completes" : ""}`);
}

function partialSentence({ record, wanted }: EvaluationResult): string {
  return record === null
    ? `No problem of ${whole(wanted)} has all of its completions yet, so there is no score.`
    : `The first ${whole(record.problems)} of ${whole(wanted)} problems, which have all of their completions.`;
}

type Range = readonly [low: number, high: number];
const range = ([low, high]: Range): string => `95 % interval ${percent(low, 1)} to ${percent(high, 1)}`;

function printRecord(record: EvaluationRecord, { head, seconds, tokens }: EvaluationResult): void {
  const { passAt1, interval, majAtK, majInterval, passAtK = [], counts } = record;
  const {
    stepName = "steps",
    thoughtValidity,
    validityByPosition,
    readable,
    language,
    meanTokens,
    truncated,
    samplesPerProblem: samples,
  } = record;
  const score = (value: number, of?: Range | null): string =>
    `${percent(value, 1)}${of ? `   ${range(of)}` : ""}`;
  const rows = [
    ["pass@1", score(passAt1, interval)],
    ...passAtK.filter(({ k }) => k > 1).map(({ k, value, interval: of }) => [`pass@${k}`, score(value, of)]),
    ...(majAtK === null ? [] : [[`maj@${samples}`, score(majAtK, majInterval)]]),
    ...(counts === undefined
      ? []
      : [
          [
            "completions",
            `${whole(counts.right)} right, ${whole(counts.wrong)} wrong, ${whole(counts.unparsed)} that could not be read, ${whole(counts.unscored)} without a score`,
          ],
        ]),
    ...(thoughtValidity === null ? [] : [[`true ${stepName}`, percent(thoughtValidity, 1)]]),
    ...(readable === undefined ? [] : [["readable", percent(readable, 1)]]),
    ...(language == null
      ? []
      : [["in the prompt's language", `${percent(language, 1)} of the thoughts' words`]]),
    ["mean tokens", meanTokens.toFixed(1)],
    ["cut off", `${percent(truncated, 1)} at ${head.maxNewTokens} tokens`],
    ...(head.effort === undefined ? [] : [["effort", String(head.effort)]]),
    ["prompt", head.prompt === "chat" ? "the model's chat template" : `${head.prompt} form`],
    ...(seconds === null
      ? []
      : [["time", `${seconds.toFixed(1)} s, ${whole((tokens ?? 0) / seconds)} tokens/s`]]),
  ];
  const what = `${record.problems} x ${samples} at temperature ${head.temperature}, seed ${head.seed}, ${head.precision}`;
  // The file may come from a stranger.
  const shown = rows.map((row) => row.map(printable));
  console.log(table([printable(record.task), printable(what)], shown));
  if (validityByPosition.length < 2) return;
  const positions = validityByPosition.map(({ from, to, share, steps }) => [
    `${from} to ${to - 1}`,
    percent(share, 1),
    String(steps),
  ]);
  console.log(`\n${table(["position", "true", printable(stepName ?? "steps")], positions)}`);
}
