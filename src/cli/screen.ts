/** How errors, figures and tables look on a terminal. */
import Table from "cli-table3";
import color from "picocolors";
import { debugs } from "../lib/debug.ts";
import { toFailure } from "../lib/failure.ts";
import { printable, printableJson } from "./printable.ts";

/** Shows an error on one screen, for a program as JSON; returns the exit code. SPUTNIK_DEBUG=1 adds the stack. */
export function fail(error: unknown, json = false): number {
  const failure = toFailure(error);
  const { message, stack, unexpected } = failure;
  const bug = "This is a fault of Sputnik. SPUTNIK_DEBUG=1 before the command shows where it happened.";
  const remedy = failure.remedy ?? (unexpected ? bug : null);
  console.error(`${color.red(color.bold("error"))} ${printable(message)}`);
  if (remedy !== null) console.error(`\n${color.bold("what to do")}  ${printable(remedy)}`);
  if (debugs(1) && stack !== null) console.error(`\n${color.dim(printable(stack))}`);
  if (json) console.log(printableJson({ error: { kind: failure.kind, message, remedy } }));
  return 1;
}

const SIDES = ["top", "bottom", "left", "right", "mid"];
/** The parts of a table's border, all of which are left out. */
const BORDERS = SIDES.flatMap((side) => [side, `${side}-mid`, `${side}-left`, `${side}-right`]);

/** Prints a note to standard error. */
export const note = (text: string): void => console.error(`${color.yellow("note")} ${printable(text)}`);

/** A table with bare columns, as it fits any terminal; the first row is the head. Numbers are aligned to the right. */
export function table(head: string[], rows: string[][]): string {
  const isNumber = (text: string | undefined): boolean => /^[\d.,+-]+( ?[%a-zA-Z/]+)?$|^-$/.test(text ?? "");
  const colAligns = head.map((_, i) =>
    rows.every((row) => isNumber(row[i])) ? ("right" as const) : ("left" as const),
  );
  const chars = { ...Object.fromEntries(BORDERS.map((border) => [border, ""])), middle: "  " };
  const style = { "padding-left": 0, "padding-right": 0, head: [], border: [] };
  const drawn = new Table({ head: head.map((text) => color.dim(text)), colAligns, chars, style });
  drawn.push(...rows);
  return drawn.toString();
}

const UNITS = ["", "k", "M", "G", "T", "P", "E"];

/** 1234567 -> "1.23 M". */
export function short(value: number, unit = ""): string {
  let step = 0;
  while (Math.abs(value) >= 999.5 && step < UNITS.length - 1) {
    value /= 1000;
    step++;
  }
  const suffix = `${UNITS[step]}${unit}`;
  return `${step === 0 ? String(Math.round(value * 100) / 100) : value.toPrecision(3)}${suffix === "" ? "" : ` ${suffix}`}`;
}

/** Bytes as "12.3 MiB". */
export function bytes(value: number): string {
  let step = 0;
  while (value >= 1024 && step < 4) {
    value /= 1024;
    step++;
  }
  return `${step === 0 ? value : value.toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB"][step]}`;
}

/** "45 s", "3 min", "1 h 20 min", "12 days". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "unknown";
  if (seconds < 9.5) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.round(hours / 24).toLocaleString("en-US")} days`;
}

/** The same for one run of a graph: "4.25 ms". */
export const runTime = (seconds: number): string =>
  seconds < 1 ? `${(1000 * seconds).toFixed(2)} ms` : duration(seconds);

export const percent = (share: number | null, digits = 0): string =>
  share === null ? "-" : `${(100 * share).toFixed(digits)} %`;

export const whole = (value: number): string => Math.round(value).toLocaleString("en-US");

/** The command as this person types it: through npx in a clone, by its name where it is installed. */
export const commandLine = (words: string): string =>
  `${process.env.npm_command === "exec" ? "npx sputnik" : "sputnik"} ${words}`;
