/** Prints a run's events: as a progress bar on a terminal, otherwise as a line from time to time. */
import { SingleBar } from "cli-progress";
import color from "picocolors";
import type { EvaluationRecord, RunEvent, StageInfo } from "../events.ts";
import { printable } from "./printable.ts";
import { duration, percent, short } from "./screen.ts";

export interface Progress {
  show(event: RunEvent): void;
  /** Prints a line above the bar. */
  say(text: string): void;
  close(): void;
}

/** Goes to standard error, so that standard output holds the result alone. */
const out = process.stderr;
const LINE_EVERY_MS = 10_000;

type MetricsEvent = Extract<RunEvent, { type: "metrics" }>;

/** The figures that show whether the run learns. */
function keyFigures({ metrics }: MetricsEvent): string {
  const figure = (name: string, label: string, show: (value: number) => string): string[] =>
    metrics[name] == null ? [] : [`${label} ${show(metrics[name])}`];
  if ("pass@1" in metrics) {
    return [
      ...figure("pass@1", "pass@1", (value) => percent(value)),
      ...figure("length/mean", "length", (value) => value.toFixed(0)),
      ...figure("validity", "true", (value) => percent(value)),
    ].join("  ");
  }
  return [
    ...figure("loss", "loss", (value) => value.toFixed(3)),
    ...figure("tokens-per-second", "speed", (value) => short(value, "tok/s")),
  ].join("  ");
}

export function evaluationLine({
  label,
  passAt1,
  interval,
  problems,
  stepName = "steps",
  thoughtValidity,
  majAtK,
}: EvaluationRecord): string {
  const parts = [
    `evaluation ${label}: pass@1 ${percent(passAt1, 1)} (${percent(interval[0], 1)} to ${percent(interval[1], 1)}) on ${problems} problems`,
    ...(majAtK === null ? [] : [`maj@k ${percent(majAtK, 1)}`]),
    ...(thoughtValidity === null ? [] : [`true ${stepName} ${percent(thoughtValidity, 1)}`]),
  ];
  return parts.join(", ");
}

/** The text of an event that both forms print; `null` for other events. */
function milestone(event: RunEvent): string | null {
  switch (event.type) {
    case "run": {
      const { name, folder, parameters, resumedAt } = event;
      const from = resumedAt === null ? "" : `, resumed from step ${resumedAt}`;
      return `${color.bold(name)}: ${parameters.toLocaleString("en-US")} parameters, ${folder}${from}`;
    }
    case "evaluation":
      return printable(evaluationLine(event.evaluation));
    case "notice":
      return `${event.level === "warning" ? color.yellow("note") : "note"} ${printable(event.message)}`;
    case "cores":
      return event.taken
        ? "note another program takes a core: slower until it ends, with the same results"
        : null;
    default:
      return null;
  }
}

export function lineProgress(
  write: (text: string) => void = (text) => void out.write(`${text}\n`),
): Progress {
  let last = Number.NEGATIVE_INFINITY;
  return {
    show(event) {
      if (event.type === "stage")
        write(`stage ${event.stage.name} (${event.stage.kind}, ${steps(event.stage)})`);
      else if (event.type === "metrics") {
        const now = performance.now();
        if (event.step < event.totalSteps && event.step !== 1 && now - last < LINE_EVERY_MS) return;
        last = now;
        const left = event.secondsLeft === null ? "" : `  left ${duration(event.secondsLeft)}`;
        write(`${event.stage} ${event.step}/${event.totalSteps}  ${keyFigures(event)}${left}`);
      } else {
        const text = milestone(event);
        if (text !== null) write(text);
      }
    },
    say: write,
    close() {},
  };
}

const steps = ({ totalSteps }: StageInfo): string => (totalSteps === 1 ? "one step" : `${totalSteps} steps`);

function barProgress(): Progress {
  let bar: SingleBar | null = null;
  const end = (): void => {
    bar?.stop();
    bar = null;
  };
  const write = (text: string): void => {
    // Clears the bar's line; the bar draws itself again below.
    out.write(`\r\x1b[K${text}\n`);
  };
  const begin = (stage: StageInfo): void => {
    end();
    bar = new SingleBar({
      format: `${stage.name.padEnd(11)} {bar} {percentage} %  {value}/{total}  {figures}  {left}`,
      ...{
        barCompleteChar: "\u2588",
        barIncompleteChar: "\u2591",
        barsize: 20,
        stream: out,
        hideCursor: true,
        linewrap: false,
      },
    });
    bar.start(stage.totalSteps, 0, { figures: stage.kind === "evaluate" ? "evaluating" : "", left: "" });
  };
  return {
    show(event) {
      if (event.type === "stage") begin(event.stage);
      else if (event.type === "metrics") {
        const left =
          event.secondsLeft === null || event.step === event.totalSteps
            ? ""
            : `left ${duration(event.secondsLeft)}`;
        bar?.update(event.step, { figures: keyFigures(event), left });
      } else if (event.type === "evaluation") {
        bar?.update(1, { figures: "" });
        end();
        write(milestone(event) as string);
      } else if (event.type === "done" || event.type === "error") end();
      else {
        const text = milestone(event);
        if (text !== null) write(text);
      }
    },
    say: write,
    close: end,
  };
}

/** A bar for a person at a terminal, lines for a file, a pipe or `--quiet`. */
export function progressFor({ quiet = false }: { quiet?: boolean }): Progress {
  return out.isTTY && !quiet && process.env.CI === undefined ? barProgress() : lineProgress();
}
