/** The rows of a person's data file: JSONL, a JSON object a line, or one JSON list of objects. */
import { isUserError, UserError } from "../lib/errors.ts";
import { type Line, readLines, readText, textFault, visible } from "../lib/text-file.ts";

/** A data set cannot be used. `line` counts from 1; `null`: the fault is not one line's. */
export function dataSetError(
  file: string,
  line: number | null,
  found: string,
  expected: string,
  remedy: string | null = null,
): UserError {
  return new UserError({
    kind: "data-set",
    where: line === null ? file : `${file}, line ${line}`,
    what: `${found}. Expected: ${expected}.`,
    ...{ found, expected, remedy: remedy ?? undefined, data: { file, line } },
  });
}

/** A row, and a function that makes the error to refuse it. */
export interface Row {
  fields: Record<string, unknown>;
  /** "line 3", or "entry 3" of a list. */
  place: string;
  refuse(found: string, remedy?: string | null): UserError;
}

/** The text of a data file. @throws UserError that says what the file is instead */
export function readDataText(file: string, expected: string, options: { markup?: boolean } = {}): string {
  return asDataSetErrors(expected, () => readText(file, options));
}

/**
 * Reads row by row; empty lines are skipped.
 * @param expected an example of a row, in words
 * @throws UserError with file, line, and what it found instead of an object
 */
export function* readRows(file: string, expected: string): Generator<Row> {
  const lines = readLines(file);
  try {
    yield* rowsOf(file, expected, lines);
  } finally {
    // Closes the file if the reader stops early.
    lines.return(undefined);
  }
}

function* rowsOf(file: string, expected: string, lines: Generator<Line>): Generator<Row> {
  let rows = 0;
  for (;;) {
    const step = asDataSetErrors(expected, () => lines.next());
    if (step.done) break;
    const { number, text, last } = step.value;
    if (text.trim() === "") continue;
    const refuse: Row["refuse"] = (found, remedy) => dataSetError(file, number, found, expected, remedy);
    const place = `line ${number}`;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      if (rows === 0) {
        const whole = readWhole(file, expected, text);
        if (whole !== null) return yield* whole;
      }
      const cut = last ? "; the file ends within this line, as if it was cut" : "";
      const reason = visible((error as Error).message);
      throw /\.[ct]sv$/i.test(file) && rows === 0
        ? refuse("not JSON: a table with separators?", "Convert it to JSONL first, a row a line.")
        : refuse(`not JSON (${reason})${cut}`);
    }
    if (rows === 0 && Array.isArray(value) && (value.length === 0 || value.some(isObject))) {
      const whole = readWhole(file, expected, text);
      if (whole !== null) return yield* whole;
    }
    rows++;
    if (!isObject(value)) throw refuse(`${kindOf(value)}, not an object`);
    yield { fields: value, place, refuse };
  }
  if (rows === 0) throw dataSetError(file, null, "the file has no rows", expected);
}

/** A file whose first line is not a row: a JSON list of rows, or a value over several lines, which the error names. */
function readWhole(file: string, expected: string, first: string): Generator<Row> | null {
  if (!/^\s*[[{]/.test(first)) return null;
  let value: unknown;
  try {
    value = JSON.parse(asDataSetErrors(expected, () => readText(file)));
  } catch (error) {
    if (isUserError(error, "data-set")) throw error;
    if (!/^\s*[[{]\s*$/.test(first)) return null;
    throw dataSetError(
      file,
      null,
      `JSON over several lines that cannot be read as one value (${visible((error as Error).message)})`,
      expected,
      `Write each row on one line: jq -c . ${file} > rows.jsonl`,
    );
  }
  if (Array.isArray(value)) return entries(file, expected, value);
  const keys = Object.keys(value as object);
  const list = keys.find((key) => Array.isArray(Reflect.get(value as object, key)));
  throw dataSetError(
    file,
    null,
    `one JSON object over several lines, with the keys ${visible(keys.join(", "))}`,
    expected,
    `Write each row on one line: jq -c ${list === undefined ? "." : `'.${list}[]'`} ${file} > rows.jsonl`,
  );
}

function* entries(file: string, expected: string, values: readonly unknown[]): Generator<Row> {
  if (values.length === 0) throw dataSetError(file, null, "the file has no rows", expected);
  for (const [i, value] of values.entries()) {
    const place = `entry ${i + 1}`;
    const refuse: Row["refuse"] = (found, remedy) =>
      dataSetError(file, null, `${place}: ${found}`, expected, remedy);
    if (!isObject(value)) throw refuse(`${kindOf(value)}, not an object`);
    yield { fields: value, place, refuse };
  }
}

function asDataSetErrors<T>(expected: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const fault = textFault(error);
    if (fault === null) throw error;
    throw dataSetError(fault.file, fault.line, fault.found, expected, fault.remedy);
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A value in words: "null", "a list", "the number 5". */
export function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  if (typeof value === "string") return `the text "${visible(value, 40)}"`;
  return typeof value === "number" ? `the number ${value}` : String(value);
}
