/** Sudoku of 4 x 4 cells with exactly one solution. */
import type { Random } from "../../lib/random.ts";
import { type Drawn, family, type Reading } from "./family.ts";
import { bare } from "./readers.ts";

export interface MiniSudoku {
  /** Four rows of four characters, "1" to "4" or "_". */
  rows: string[];
}

/** Empty cells of each level; four givens are the fewest that one solution can have. */
const EMPTY = [4, 6, 8, 10, 12];
const DIGITS = ["1", "2", "3", "4"];

export const miniSudoku = family<"mini-sudoku", MiniSudoku>({
  kind: "mini-sudoku",
  levels: EMPTY.map((count) => `${count} empty cells`),
  example: {
    data: { rows: ["1234", "34_2", "2143", "_321"] },
    thought: "Row 2 lacks 1: 3412. Row 4 lacks 4: 4321.",
  },
  draw,
  question: ({ rows }) =>
    `Fill in this 4 x 4 sudoku: each row, each column and each 2 x 2 box has the digits 1 to 4.\n${rows.join("\n")}\nAnswer with the four rows of digits, a blank between two rows.`,
  // The digits are names only.
  content({ rows }) {
    const names = new Map([["_", "_"]]);
    return [...rows.join("")]
      .map((digit) => {
        if (!names.has(digit)) names.set(digit, "abcd"[names.size - 1]!);
        return names.get(digit);
      })
      .join("");
  },
  read,
  check,
  solve: ({ rows }) => show([...solutions([...rows.join("")])][0]!),
});

const show = (cells: readonly string[]): string =>
  [0, 4, 8, 12].map((start) => cells.slice(start, start + 4).join("")).join(" ");

/** The row, column and box of a cell. */
const units = (cell: number): readonly [number, number, number] => {
  const [row, column] = [cell >> 2, cell & 3];
  return [row, column, (row & 2) + (column >> 1)];
};
const UNIT_NAMES = ["row", "column", "box"];

/** Whether the digit is not yet in the cell's row, column and box. */
function fits(cells: readonly string[], cell: number, digit: string): boolean {
  return cells.every(
    (other, i) => other !== digit || !units(i).some((unit, kind) => unit === units(cell)[kind]),
  );
}

/** All ways to fill the empty cells, one after the other. */
function* solutions(cells: readonly string[]): Generator<string[]> {
  const cell = cells.indexOf("_");
  if (cell === -1) yield [...cells];
  else for (const digit of DIGITS) if (fits(cells, cell, digit)) yield* solutions(cells.with(cell, digit));
}

let grids: string[][] = [];

/** All 288. */
function allGrids(): string[][] {
  if (grids.length === 0) grids = [...solutions(Array<string>(16).fill("_"))];
  return grids;
}

/** Empties cells in random order where the grid remains the only one that fits; not all orders empty enough. */
function draw(random: Random, level: number): Drawn<MiniSudoku> | null {
  const grid = random.pick(allGrids());
  let left = EMPTY[level - 1]!;
  const cells = [...grid];
  for (const cell of random.shuffle(grid.map((_, i) => i))) {
    if (left === 0) break;
    const fewer = cells.with(cell, "_");
    const fitting = allGrids().filter((other) =>
      fewer.every((digit, i) => digit === "_" || digit === other[i]),
    );
    if (fitting.length > 1) continue;
    cells[cell] = "_";
    left--;
  }
  const rows = show(cells).split(" ");
  return left === 0 ? { data: { rows }, answer: show(grid) } : null;
}

/** 16 digits row by row, with blanks, line breaks, commas, bars or slashes between them, or nothing. */
function read(text: string): Reading {
  const cells = bare(text).replaceAll(/[ \t\r\n,;|/]/g, "");
  return /^[1-4]{16}$/.test(cells)
    ? { ok: true, canonical: show([...cells]) }
    : { ok: false, reason: "not 16 digits from 1 to 4" };
}

function check(canonical: string, { rows }: MiniSudoku): string | null {
  const cells = [...canonical.replaceAll(" ", "")];
  const givens = [...rows.join("")];
  const changed = givens.findIndex((digit, i) => digit !== "_" && digit !== cells[i]);
  if (changed !== -1)
    return `the ${givens[changed]} in row ${units(changed)[0] + 1}, column ${units(changed)[1] + 1} is given`;
  for (const [kind, name] of UNIT_NAMES.entries())
    for (const unit of [0, 1, 2, 3]) {
      const digits = cells.filter((_, i) => units(i)[kind] === unit);
      const missing = DIGITS.find((digit) => !digits.includes(digit));
      if (missing !== undefined) return `${name} ${unit + 1} has no ${missing}`;
    }
  return null;
}
