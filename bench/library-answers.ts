/**
 * Answers to problems that reasoning-gym has too: right ones, the answers of other problems, and near-misses. Each family says
 * what its near-misses are and how reasoning-gym writes an answer.
 */
import type { Random } from "../src/lib/random.ts";
import type { BaseConversion } from "../src/tasks/families/base-conversion.ts";
import type { Calendar } from "../src/tasks/families/calendar.ts";
import type { FamilyRelationships } from "../src/tasks/families/family-relationships.ts";
import type { GraphColoring } from "../src/tasks/families/graph-coloring.ts";
import type { KnightsAndKnaves } from "../src/tasks/families/knights-and-knaves.ts";
import type { MiniSudoku } from "../src/tasks/families/mini-sudoku.ts";
import type { NumberSequence } from "../src/tasks/families/number-sequence.ts";
import type { Syllogism } from "../src/tasks/families/syllogism.ts";
import type { TowerOfHanoi } from "../src/tasks/families/tower-of-hanoi.ts";
import type { WordSorting } from "../src/tasks/families/word-sorting.ts";

/** A problem with its right answer in our notation. */
export interface Asked<D> {
  data: D;
  answer: string;
}

export interface SharedFamily<D> {
  kind: string;
  /** The levels whose problems reasoning-gym has. */
  levels: readonly number[];
  /** Of these levels, the problems that it has. */
  has?(problem: Asked<D>): boolean;
  /** Problems where the levels have none that it has. */
  problems?: Asked<D>[];
  /** Other right answers than `answer`. */
  alsoRight?(problem: Asked<D>): string[];
  /** Wrong in one place, or in the family's typical ways. */
  nearMisses(problem: Asked<D>, random: Random): string[];
  /** An answer, right or wrong, as reasoning-gym writes it; the same where it is absent. */
  written?(text: string, problem: Asked<D>): string;
}

const shared = <D>(family: SharedFamily<D>): SharedFamily<unknown> => family as SharedFamily<unknown>;

/** Near-misses of any family. */
export function commonMisses(answer: string, other: string): string[] {
  return [
    "",
    "?",
    `${answer} or ${other}`,
    `${other} or ${answer}`,
    `The answer is ${answer}`,
    answer.slice(0, -1),
  ];
}

const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const PEGS = "ABCD";
const VERTICES = "ABCDEFGHIJKL";

function replaced<T>(items: readonly T[], at: number, item: T): T[] {
  return items.map((old, i) => (i === at ? item : old));
}

function swapped<T>(items: readonly T[], at: number): T[] {
  return items.map((old, i) => (i === at ? items[i + 1]! : i === at + 1 ? items[i - 1]! : old));
}

const SEXES = [
  ["mother", "father"],
  ["daughter", "son"],
  ["wife", "husband"],
  ["sister", "brother"],
  ["grandmother", "grandfather"],
  ["aunt", "uncle"],
  ["niece", "nephew"],
  ["mother-in-law", "father-in-law"],
];

/** All towers of 2 to 6 disks on 3 or 4 pegs; reasoning-gym's problems begin and end with one tower. */
const TOWERS: Asked<TowerOfHanoi>[] = [3, 4].flatMap((pegs) =>
  [2, 3, 4, 5, 6].flatMap((disks) =>
    Array.from({ length: pegs * pegs }, (_, i) => [Math.floor(i / pegs), i % pegs] as const)
      .filter(([from, to]) => from !== to)
      .map(([from, to]) => ({
        data: { pegs, start: Array<number>(disks).fill(from), goal: Array<number>(disks).fill(to) },
        answer: "",
      })),
  ),
);

export const SHARED: readonly SharedFamily<unknown>[] = [
  shared<{ numbers: number[]; target: number }>({
    kind: "countdown",
    levels: [3, 4],
    alsoRight: ({ answer }) => [`(${answer})`, answer.replaceAll(/[-+*/]/g, " $& ")],
    nearMisses: ({ answer, data: { numbers, target } }, random) => {
      const number = random.pick(numbers);
      return [
        ...[
          `${answer}+${number}`,
          `${answer}+0`,
          `${answer}=${target}`,
          String(target),
          numbers.join("+"),
          numbers.join("*"),
        ],
        ...[
          answer.replace(String(number), String(number + 1)),
          answer.replace("+", "-"),
          answer.replace("-", "+"),
        ],
        ...[`${answer}*1`, `${answer})`, answer.replace("*", "**"), numbers.slice(1).join("-")],
      ];
    },
  }),
  shared<BaseConversion>({
    kind: "base-conversion",
    levels: [1, 2, 3, 4],
    nearMisses: ({ answer, data }, random) => {
      const digits = [...answer];
      const at = random.integer(0, digits.length - 1);
      const digit = random.integer(0, data.to - 1).toString(36);
      return [
        ...[
          replaced(digits, at, digit).join(""),
          digits.toReversed().join(""),
          `${answer}0`,
          `0${answer}`,
          `0x${answer}`,
        ],
        ...[data.numeral, `${answer}_${data.to}`, (Number.parseInt(answer, data.to) + 1).toString(data.to)],
      ];
    },
  }),
  shared<Calendar>({
    kind: "calendar",
    levels: [1, 3, 4, 5],
    has: ({ data }) => data.asks !== "days",
    nearMisses: ({ answer }) => {
      const day = WEEKDAYS.indexOf(answer);
      if (day === -1)
        return [1, -1, 7].map((by) => String(Number(answer) + by)).concat(`-${answer}`, `${answer} days`);
      return [
        WEEKDAYS[(day + 1) % 7]!,
        WEEKDAYS[(day + 6) % 7]!,
        answer.slice(0, 3),
        `${answer}s`,
        String(day),
      ];
    },
  }),
  shared<NumberSequence>({
    kind: "number-sequence",
    levels: [1, 2, 3, 4],
    nearMisses: ({ answer, data: { terms } }) => [
      ...[1, -1, 10].map((by) => String(Number(answer) + by)),
      ...[
        String(-Number(answer)),
        String(terms.at(-1)),
        `${answer}, ${answer}`,
        [...terms, answer].join(", "),
        `0${answer}`,
      ],
    ],
  }),
  shared<WordSorting>({
    kind: "word-sorting",
    levels: [1, 2, 3, 4],
    nearMisses: ({ answer, data: { words } }, random) => {
      const sorted = answer.split(", ");
      const at = random.integer(0, sorted.length - 2);
      return [
        ...[swapped(sorted, at), sorted.toReversed(), sorted.slice(1), [...sorted, sorted[at]!], words],
        ...[replaced(sorted, at, sorted[at + 1]!), replaced(sorted, at, `${sorted[at]}s`)],
      ].map((list) => list.join(", "));
    },
  }),
  shared<FamilyRelationships>({
    kind: "family-relationships",
    levels: [1, 2, 3],
    has: ({ answer }) => SEXES.flat().includes(answer),
    nearMisses: ({ answer, data: { person, other } }) => [
      ...SEXES.find((words) => words.includes(answer))!.filter((word) => word !== answer),
      ...[
        `grand${answer}`,
        `${answer} of ${other}`,
        `the ${answer}`,
        `${person} is the ${answer} of ${other}`,
      ],
      ...[`${answer}-in-law`, `step${answer}`, answer.replace("-in-law", "")],
    ],
  }),
  shared<Syllogism>({
    kind: "syllogism",
    levels: [1, 2],
    nearMisses: ({ answer }) => [
      ...[
        answer === "yes" ? "no" : "yes",
        `not ${answer}`,
        "yes and no",
        "yes, no",
        answer === "yes" ? "true" : "false",
      ],
      ...[answer[0]!, `${answer}, it follows`, "maybe"],
    ],
    written: (text) => (/^(yes|no)$/.test(text) ? text[0]!.toUpperCase() + text.slice(1) : text),
  }),
  shared<KnightsAndKnaves>({
    kind: "knights-and-knaves",
    levels: [1, 2, 3, 4],
    alsoRight: ({ answer }) => {
      const parts = answer.split(", ");
      return [
        parts.toReversed().join(", "),
        parts.join(" and "),
        `${parts.slice(0, -1).join(", ")}, and ${parts.at(-1)}.`,
      ];
    },
    nearMisses: ({ answer, data: { names } }, random) => {
      const parts = answer.split(", ");
      const at = random.integer(0, parts.length - 1);
      const flip = (part: string) =>
        part.endsWith("knight") ? part.replace("knight", "knave") : part.replace("knave", "knight");
      return [
        ...[
          replaced(parts, at, flip(parts[at]!)),
          parts.map(flip),
          parts.slice(1),
          [...parts, flip(parts[at]!)],
        ],
        ...[
          names.map((name) => `${name} is a knight`),
          replaced(parts, at, parts[at]!.replace(" a ", " not a ")),
        ],
        ...[replaced(parts, at, parts[(at + 1) % parts.length]!), [...parts, "Zed is a knight"]],
      ].map((list) => list.join(", "));
    },
  }),
  shared<MiniSudoku>({
    kind: "mini-sudoku",
    levels: [1, 2, 3, 4, 5],
    nearMisses: ({ answer, data: { rows } }, random) => {
      const solved = answer.split(" ");
      const at = random.integer(0, 2);
      const [row, digit] = [[...solved[at]!], String(random.integer(1, 4))];
      return [
        ...[
          swapped(solved, at),
          replaced(solved, at, swapped(row, at).join("")),
          replaced(solved, at, replaced(row, at, digit).join("")),
        ],
        ...[solved.slice(1), [...solved, solved[3]!], rows, replaced(solved, at, row.slice(1).join(""))],
        solved.map((one) => one.replaceAll("4", "5")),
      ].map((grid) => grid.join(" "));
    },
    written: (text) =>
      /^[\d_ ]+$/.test(text)
        ? text
            .split(" ")
            .map((row) => [...row].join(" "))
            .join("\n")
        : text,
  }),
  shared<TowerOfHanoi>({
    kind: "tower-of-hanoi",
    levels: [],
    problems: TOWERS,
    alsoRight: ({ answer, data: { pegs, start, goal } }) => {
      // With four pegs the two that are neither start nor goal may change places.
      const [a, b] = [0, 1, 2, 3]
        .filter((peg) => peg !== start[0] && peg !== goal[0])
        .map((peg) => PEGS[peg]!);
      return pegs === 3
        ? []
        : [[...answer].map((name) => (name === a ? b! : name === b ? a! : name)).join("")];
    },
    nearMisses: ({ answer, data: { start, goal } }, random) => {
      const moves = answer.split(", ");
      const at = random.integer(0, moves.length - 1);
      const back = [...moves[at]!].toReversed().join("");
      const straight = `${PEGS[start[0]!]}-${PEGS[goal[0]!]}`;
      return [
        ...[
          moves.slice(1),
          moves.slice(0, -1),
          moves.toReversed(),
          moves.filter((_, i) => i !== at),
          replaced(moves, at, back),
        ],
        ...[start.map(() => straight), moves.toSpliced(at + 1, 0, back, moves[at]!), [...moves, back]],
        ...[["A-A", ...moves], replaced(moves, at, "A-E"), swapped(moves, Math.min(at, moves.length - 2))],
      ].map((list) => list.join(", "));
    },
    written: (text, { data: { start } }) => {
      const position = [...start];
      return text
        .split(", ")
        .map((move) => {
          const [, from, to] = /^([A-E])-([A-E])$/.exec(move) ?? [];
          if (from === undefined) return move;
          const [left, reached] = [from, to!].map((name) => "ABCDE".indexOf(name)) as [number, number];
          const disk = position.indexOf(left);
          if (disk !== -1) position[disk] = reached;
          return `Move disk ${disk + 1} from Peg ${left + 1} to Peg ${reached + 1}`;
        })
        .join("\n");
    },
  }),
  shared<GraphColoring>({
    kind: "graph-coloring",
    levels: [1, 2, 3, 4],
    alsoRight: ({ answer, data: { colors } }) => [
      answer.split(", ").toReversed().join(", "),
      answer.replaceAll(/\d/g, (color) => String((Number(color) % colors) + 1)),
    ],
    nearMisses: ({ answer, data: { edges, colors, vertices } }, random) => {
      const parts = answer.split(", ");
      const [a, b] = random.pick(edges);
      const color = (vertex: number) => parts[vertex]!.slice(3);
      return [
        ...[
          replaced(parts, a, `${VERTICES[a]}: ${color(b)}`),
          replaced(parts, b, `${VERTICES[b]}: ${color(a)}`),
        ],
        ...[
          parts.slice(1),
          parts.filter((_, i) => i !== a),
          replaced(parts, a, `${VERTICES[a]}: ${colors + 1}`),
        ],
        ...[parts.map((part) => `${part[0]}: 1`), replaced(parts, b, `${VERTICES[b]}: 0`)],
        ...[
          [...parts, `${VERTICES[a]}: ${color(b)}`],
          [...parts, `${VERTICES[vertices] ?? "M"}: 1`],
        ],
      ].map((list) => list.join(", "));
    },
    written: (text) =>
      /^([A-M]: \d+(, |$))+$/.test(text)
        ? `{${text
            .split(", ")
            .map((part) => `"${"ABCDEFGHIJKLM".indexOf(part[0]!)}": ${part.slice(3)}`)
            .join(", ")}}`
        : text,
  }),
];
