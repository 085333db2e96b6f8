/** What a benchmark prints: rows that hold or not, and the circumstances under which they were measured. */
import { execSync } from "node:child_process";
import { cpus, loadavg } from "node:os";

export interface Row {
  name: string;
  value: number;
  unit: string;
  atLeast?: number;
  atMost?: number;
  /** Minimum and maximum over the repetitions, or an interval. */
  spread?: [number, number];
  note?: string;
}

export interface JudgedRow extends Row {
  holds: boolean;
}

export function judgeRow(row: Row): JudgedRow {
  const { value, atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY } = row;
  return { ...row, holds: value >= atLeast && value <= atMost };
}

export interface Circumstances {
  date: string;
  machine: string;
  node: string;
  onnxruntime: string;
  commit: string;
  loadBefore: number;
}

export function circumstances(onnxruntime: string): Circumstances {
  const run = (command: string): string => {
    try {
      return execSync(command, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    } catch {
      return "unknown";
    }
  };
  return {
    date: new Date().toISOString(),
    machine: `${cpus().length} x ${cpus()[0]?.model.trim() ?? "unknown"}`,
    node: process.versions.node,
    onnxruntime,
    commit: run("git rev-parse --short HEAD"),
    loadBefore: loadavg()[0],
  };
}

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1];

/** Three digits, or all of a number that has more before the point. */
const figure = (value: number): string =>
  Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);

export function printRows(rows: readonly JudgedRow[]): void {
  const width = Math.max(...rows.map((row) => row.name.length));
  for (const { name, value, unit, atLeast, atMost, spread, holds, note } of rows) {
    const wanted =
      atLeast !== undefined ? `at least ${atLeast}` : atMost !== undefined ? `at most ${atMost}` : "";
    const range = spread === undefined ? "" : ` [${spread.map(figure).join(", ")}]`;
    console.log(
      `${holds ? "holds " : "MISSED"} ${name.padEnd(width)} ${figure(value)}${range} ${unit} ${wanted}${note ? `  (${note})` : ""}`,
    );
  }
}
