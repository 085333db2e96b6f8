/** `sputnik eval RUN --task ...`: an exam on problems that no training saw. */
import color from "picocolors";
import { exam } from "../eval/evaluate.ts";
import { findModel, UsageError } from "../recipe/find-model.ts";
import { openForInference } from "../sample/inference.ts";
import type { Precision } from "../sample/quantise.ts";
import { type TaskInput, taskFrom } from "../tasks/registry.ts";
import { printNotes } from "./notes.ts";
import { percent, table } from "./screen.ts";

export interface EvalOptions {
  task: string;
  numbers: number[];
  problems: number;
  samples: number;
  temperature: number;
  seed: number;
  precision?: Precision;
  threads?: number;
  json?: boolean;
}

/** Share of the positions that an answer may take; the rest is for the prompt. */
const ANSWER_SHARE = 0.75;

export async function evaluate(run: string, options: EvalOptions): Promise<void> {
  const { problems, samples, temperature, seed, precision = "f32", threads, json } = options;
  if (temperature === 0 && samples > 1)
    throw new UsageError(
      "At temperature 0 all answers to a problem are the same.",
      "Add --samples 1, or a temperature.",
    );
  const task = taskFrom(taskInput(options));
  const found = findModel(run);
  printNotes(found.folder);
  const model = await openForInference(found.folder, { precision, threads, batched: true });
  if (!json) console.error(color.dim(`${problems} problems x ${samples} answers, ${found.folder}`));
  const start = performance.now();
  const { record, flops, tokens } = await exam(model, task, {
    ...{ label: "eval", seed, split: "test", problems, samples, temperature },
    maxNewTokens: Math.floor(model.config.maxPositions * ANSWER_SHARE),
  });
  await model.release();
  const seconds = (performance.now() - start) / 1000;
  if (json) {
    console.log(
      JSON.stringify({
        ...{ model: found.folder, step: found.step, precision, seed, ...record },
        ...{ seconds, flops, tokens },
      }),
    );
    return;
  }
  const { passAt1, interval, majAtK, thoughtValidity, validityByPosition, meanTokens, truncated } = record;
  const rows = [
    [
      "pass@1",
      `${percent(passAt1, 1)}   95 % interval ${percent(interval[0], 1)} to ${percent(interval[1], 1)}`,
    ],
    [`maj@${samples}`, percent(majAtK, 1)],
    ["true equations", percent(thoughtValidity, 1)],
    ["mean tokens", meanTokens.toFixed(1)],
    ["cut off", percent(truncated, 1)],
    ["time", `${seconds.toFixed(1)} s, ${Math.round(tokens / seconds)} tokens/s`],
  ];
  console.log(
    table(
      [record.task, `${problems} x ${samples} at temperature ${temperature}, seed ${seed}, ${precision}`],
      rows,
    ),
  );
  if (validityByPosition.length < 2) return;
  const positions = validityByPosition.map(({ from, to, share, equations }) => [
    `${from} to ${to - 1}`,
    percent(share, 1),
    String(equations),
  ]);
  console.log(`\n${table(["position", "true", "equations"], positions)}`);
}

function taskInput({ task, numbers }: EvalOptions): TaskInput {
  if (task === "countdown") return { kind: "countdown", numbers };
  if (task === "arithmetic" || task === "equations" || task === "word-problems") return { kind: task };
  if (task.startsWith("jsonl:") && task.length > "jsonl:".length)
    return { kind: "jsonl", file: task.slice("jsonl:".length) };
  throw new UsageError(
    `There is no task "${task}".`,
    "Choose countdown, arithmetic, equations, word-problems, or jsonl:FILE.",
  );
}
