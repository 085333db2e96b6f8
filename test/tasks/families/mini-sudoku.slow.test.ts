import { expect, it } from "vitest";
import { type MiniSudoku, miniSudoku } from "../../../src/tasks/families/mini-sudoku.ts";
import { answered, testFamily } from "./family-tests.ts";
import { remembered } from "./remembered.ts";

/** The 24 orders of four digits. */
const ROWS = Array.from({ length: 256 }, (_, i) => (1111 + Number(i.toString(4))).toString()).filter(
  (row) => new Set(row).size === 4,
);

/** Rows are orders already. */
const isGrid = (rows: string[]) =>
  [0, 1, 2, 3].every((column) => new Set(rows.map((row) => row[column])).size === 4) &&
  [0, 2].every((top) =>
    [0, 2].every(
      (left) => new Set(rows[top]!.slice(left, left + 2) + rows[top + 1]!.slice(left, left + 2)).size === 4,
    ),
  );

/** Every grid: all rows below each other, without any search. */
const GRIDS = ROWS.flatMap((a) => ROWS.flatMap((b) => ROWS.flatMap((c) => ROWS.map((d) => [a, b, c, d]))))
  .filter(isGrid)
  .map((rows) => rows.join(" "));

/** All grids that have the given digits. */
const fitting = remembered((question) => {
  const rows = /\n([\d_\n]+)\n/.exec(question)![1]!;
  const pattern = new RegExp(`^${rows.replaceAll("_", ".").replaceAll("\n", " ")}$`);
  return GRIDS.filter((grid) => pattern.test(grid));
});

it("there are 288 grids", () => {
  expect(ROWS).toHaveLength(24);
  expect(GRIDS).toHaveLength(288);
});

testFamily<MiniSudoku>({
  kind: "mini-sudoku",
  levels: 5,
  isRight(question, answer) {
    const right = fitting(question);
    expect(right, question).toHaveLength(1);
    return answer === right[0];
  },
  measure: ({ data: { rows } }) => rows.join("").split("_").length - 1,
  distinct: [976, 994, 997, 988, 559],
  others: ({ answer }) => {
    const [a, b, c, d] = answer.split(" ");
    return [
      ...[
        `${b} ${a} ${c} ${d}`,
        `${a} ${c} ${b} ${d}`,
        `${a} ${b} ${c} ${a}`,
        "1111 2222 3333 4444",
        "1234 1234 1234 1234",
      ],
      ...[GRIDS[0]!, GRIDS[100]!, answer.replace(/1/g, "0").replace(/2/g, "1").replace(/0/g, "2")],
    ];
  },
  equal: (answer) => [
    ...[
      answer.replaceAll(" ", "\n"),
      answer.replaceAll(" ", ""),
      answer.replaceAll(" ", ", "),
      answer.replaceAll(" ", " / "),
    ],
    ...[
      [...answer.replaceAll(" ", "")].join(" "),
      `| ${[...answer].join(" | ")} |`,
      `**${answer}**`,
      `${answer}.`,
    ],
  ],
  refused: (answer, { data: { rows } }) => [
    ...[answer.slice(1), `${answer}1`, `${answer} ${answer}`, answer.slice(0, 14), answer.replace("1", "5")],
    ...[
      answer.replace("1", "0"),
      answer.replace("1", "_"),
      rows.join(" "),
      answer.replace("1", "one"),
      `-${answer}`,
    ],
    ...[`${answer.slice(0, 9)}. ${answer.slice(10)}`, answer.replace("1", "١")],
  ],
});

const task = miniSudoku.make(miniSudoku.options.parse({ kind: "mini-sudoku" }));
const puzzle = {
  ...{ id: "", prompt: "", level: 1, answer: "1234 3412 2143 4321" },
  data: { rows: ["1234", "34__", "2143", "43__"] },
};

it.each([
  ["1234 3412 2143 4321", 1, "right"],
  ["1234 3412 2143 4312", 0, "column 3 has no 2"],
  ["1234 3411 2143 4321", 0, "row 2 has no 2"],
  ["2143 3412 1234 4321", 0, "the 1 in row 1, column 1 is given"],
  ["1234 3412 2143 432", 0, "not 16 digits from 1 to 4"],
])("a grid answered with %j has %d: %s", (answer, value, reason) => {
  expect(task.verify(puzzle, answered(answer))).toMatchObject({ value, reason });
  expect(task.solve!(puzzle)).toBe(puzzle.answer);
});

it("rows and columns alone do not make a grid", () => {
  const empty = { ...puzzle, data: { rows: ["1___", "____", "____", "____"] } };
  expect(task.verify(empty, answered("1234 2341 3412 4123"))).toMatchObject({
    value: 0,
    reason: "box 1 has no 4",
  });
  expect(task.verify(empty, answered("1234 3412 2143 4321")).value).toBe(1);
});
