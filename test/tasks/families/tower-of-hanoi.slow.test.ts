import { expect, it } from "vitest";
import { type TowerOfHanoi, towerOfHanoi } from "../../../src/tasks/families/tower-of-hanoi.ts";
import { answered, testFamily } from "./family-tests.ts";
import { remembered } from "./remembered.ts";

/** The disks of each peg from bottom to top. */
type Towers = Record<string, number[]>;

function towers(text: string): Towers {
  const pegs = text.split("; ").map((peg) => peg.split(": ") as [string, string]);
  return Object.fromEntries(
    pegs.map(([name, disks]) => [name, disks === "empty" ? [] : disks.split(" ").map(Number)]),
  );
}

function read(question: string): { start: Towers; goal: Towers } {
  const [, start, goal] = /smallest disk: (.*)\. Goal: (.*)\. A move/.exec(question)!;
  return { start: towers(start!), goal: towers(goal!) };
}

/** Plays on real towers; `null` after an illegal move. */
function play(start: Towers, moves: string[]): Towers | null {
  const now: Towers = Object.fromEntries(Object.entries(start).map(([peg, disks]) => [peg, [...disks]]));
  for (const move of moves) {
    const [from, to] = move.split("-") as [string, string];
    const disk = now[from]!.pop();
    if (disk === undefined || from === to || disk > (now[to]!.at(-1) ?? 9)) return null;
    now[to]!.push(disk);
  }
  return now;
}

const show = (state: Towers) => JSON.stringify(state);
const pegOf = (state: Towers, disk: number) => Object.keys(state).find((peg) => state[peg]!.includes(disk))!;

/** On three pegs, by recursion on the largest disk, which moves once or twice (Hinz, Enseign. Math. 35, 1989). */
function fewest(start: Towers, goal: Towers, disks: number): number {
  if (disks === 0) return 0;
  const [from, to] = [pegOf(start, disks), pegOf(goal, disks)];
  if (from === to) return fewest(start, goal, disks - 1);
  const third = [..."ABC"].find((peg) => peg !== from && peg !== to)!;
  const gathered = (state: Towers, peg: string) => toTower(state, peg, disks - 1);
  const once = gathered(start, third) + 1 + gathered(goal, third);
  return Math.min(once, gathered(start, to) + 1 + (2 ** (disks - 1) - 1) + 1 + gathered(goal, from));
}

/** Moves until the first disks are one tower on the peg. */
function toTower(state: Towers, peg: string, disks: number): number {
  if (disks === 0) return 0;
  const at = pegOf(state, disks);
  if (at === peg) return toTower(state, peg, disks - 1);
  const third = [..."ABC"].find((other) => other !== at && other !== peg)!;
  return toTower(state, third, disks - 1) + 2 ** (disks - 1);
}

/** On any number of pegs: all that one more move reaches, again and again. */
function byRings(start: Towers, goal: Towers): number {
  const pegs = Object.keys(start);
  const pairs = pegs.flatMap((from) => pegs.map((to) => `${from}-${to}`));
  const seen = new Set([show(start)]);
  let ring = [start];
  for (let moves = 0; ; moves++) {
    if (seen.has(show(goal))) return moves;
    const next = ring.flatMap((state) => pairs.map((move) => play(state, [move])));
    ring = next.filter(
      (state) => state !== null && !seen.has(show(state)) && seen.add(show(state)),
    ) as Towers[];
  }
}

const leastOf = remembered((question) => {
  const { start, goal } = read(question);
  return "D" in start ? byRings(start, goal) : fewest(start, goal, Object.values(start).flat().length);
});

testFamily<TowerOfHanoi>({
  kind: "tower-of-hanoi",
  levels: 5,
  isRight(question, answer) {
    const { start, goal } = read(question);
    const moves = answer.split(", ");
    const end = play(start, moves);
    return end !== null && show(end) === show(goal) && moves.length === leastOf(question);
  },
  measure: ({ data, answer }) => data.start.length * answer.split(", ").length,
  distinct: [228, 304, 987, 843, 979],
  others({ answer }) {
    const moves = answer.split(", ");
    const back = [...moves.at(-1)!].toReversed().join("");
    return [
      `${answer}, ${back}, ${moves.at(-1)}`,
      `${answer}, ${back}`,
      ...(moves.length > 1
        ? [moves.slice(1).join(", "), moves.slice(0, -1).join(", "), moves.toReversed().join(", ")]
        : []),
      ...[
        "A-A",
        "A-B",
        `A-A, ${answer}`,
        answer.replaceAll("A", "X").replaceAll("B", "A").replaceAll("X", "B"),
      ],
    ];
  },
  equal: (answer) => [
    ...[
      answer.replaceAll(", ", ","),
      answer.replaceAll(", ", " "),
      answer.replaceAll(", ", "\n"),
      `${answer}.`,
      `**${answer}**`,
    ],
    ...[
      answer.replaceAll("-", "->"),
      answer.replaceAll("-", " → "),
      answer.replaceAll("-", " -> "),
      `${answer},`,
    ],
  ],
  refused: (answer, { data: { pegs } }) => [
    ...[
      answer.replaceAll("-", ""),
      answer.replace("-", " to "),
      answer.toLowerCase(),
      `${answer}, ...`,
      `${answer}, A-E`,
    ],
    ...["1-2", "A", "A-", "-", ",", "A-B-C", "A--B", "disk 1 from A to B", `1: ${answer}`, `${answer} done`],
    ...(pegs === 3 ? ["A-D", `${answer}, D-A`] : []),
  ],
});

const task = towerOfHanoi.make(towerOfHanoi.options.parse({ kind: "tower-of-hanoi" }));
const problem = (data: TowerOfHanoi, answer: string) => ({ id: "", prompt: "", level: 1, data, answer });
const two = problem({ pegs: 3, start: [0, 0], goal: [2, 2] }, "A-B, A-C, B-C");

it.each([
  ["A-B, A-C, B-C", 1, "right"],
  ["A-C, A-C", 0, "move 2 is illegal: disk 2 on the smaller disk 1"],
  ["A-B, A-C, A-C", 0, "move 3 is illegal: peg A is empty"],
  ["A-A, A-B, A-C, B-C", 0, "move 1 is illegal: A to A is no move"],
  ["A-B, A-C", 0, "the goal is not reached"],
  ["A-C, C-B, A-C, B-C", 0, "4 moves, and 3 are enough"],
  ["A-C, A-B, C-B", 0, "the goal is not reached"],
  ["A-B, A-C, B-C, C-A, A-C", 0, "5 moves, and 3 are enough"],
])("two disks from A to C by %s have %d: %s", (answer, value, reason) => {
  expect(task.verify(two, answered(answer))).toMatchObject({ value, reason });
});

it.each([
  [3, 1, 1],
  [3, 2, 3],
  [3, 3, 7],
  [3, 4, 15],
  [3, 7, 127],
  [4, 3, 5],
  [4, 4, 9],
  [4, 5, 13],
  [4, 6, 17],
])("a tower on %d pegs of %d disks takes %d moves (Frame and Stewart)", (pegs, disks, moves) => {
  const tower = problem({ pegs, start: Array(disks).fill(0), goal: Array(disks).fill(pegs - 1) }, "A-B");
  const solved = task.solve!(tower);
  expect(solved.split(", ")).toHaveLength(moves);
  expect(task.verify(tower, answered(solved)).value).toBe(1);
});

it("each of several shortest ways is right", () => {
  const four = problem({ pegs: 4, start: [0, 0], goal: [3, 3] }, "A-B, A-D, B-D");
  for (const way of ["A-B, A-D, B-D", "A-C, A-D, C-D"])
    expect(task.verify(four, answered(way))).toMatchObject({ value: 1, canonical: way });
});
