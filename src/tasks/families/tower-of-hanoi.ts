/** Tower of Hanoi from any position to any other, in the fewest moves: of several shortest ways each one is right. */
import type { Random } from "../../lib/random.ts";
import { type Drawn, family, type Reading } from "./family.ts";
import { bare } from "./readers.ts";

export interface TowerOfHanoi {
  pegs: number;
  /** The peg of each disk, from the smallest disk to the largest. */
  start: number[];
  goal: number[];
}

/** From one peg to another. */
type Move = readonly [number, number];

const PEGS = "ABCD";

const LEVELS: readonly { pegs: number; disks: number; moves: readonly [number, number] }[] = [
  { pegs: 3, disks: 3, moves: [1, 3] },
  { pegs: 3, disks: 3, moves: [4, 7] },
  { pegs: 4, disks: 4, moves: [5, 9] },
  { pegs: 3, disks: 4, moves: [8, 15] },
  { pegs: 3, disks: 5, moves: [16, 31] },
];

export const towerOfHanoi = family<"tower-of-hanoi", TowerOfHanoi>({
  kind: "tower-of-hanoi",
  levels: LEVELS.map(
    ({ pegs, disks, moves: [low, high] }) => `${disks} disks on ${pegs} pegs, ${low} to ${high} moves`,
  ),
  example: {
    data: { pegs: 3, start: [0, 0], goal: [2, 2] },
    thought: "Disk 1 goes to B, disk 2 from A to C, disk 1 from B to C.",
  },
  draw,
  question({ pegs, start, goal }) {
    const shown = (position: number[]) =>
      Array.from({ length: pegs }, (_, peg) => `${PEGS[peg]}: ${tower(position, peg)}`).join("; ");
    return `Tower of Hanoi. The disks of each peg from bottom to top, 1 is the smallest disk: ${shown(start)}. Goal: ${shown(goal)}. A move takes the top disk of a peg to another peg, never onto a smaller disk. Use as few moves as possible. Answer with the moves in order, each as FROM-TO, with commas between them.`;
  },
  read,
  check,
  solve: (data) => show(shortest(data)),
});

const tower = (position: readonly number[], peg: number): string =>
  position
    .flatMap((at, disk) => (at === peg ? [disk + 1] : []))
    .reverse()
    .join(" ") || "empty";

const show = (moves: readonly Move[]): string =>
  moves.map(([from, to]) => `${PEGS[from]}-${PEGS[to]}`).join(", ");

const isEqual = (a: readonly number[], b: readonly number[]): boolean =>
  a.every((peg, disk) => peg === b[disk]);

/** Of the disks of a peg, the smallest is on top. */
function isLegal(position: readonly number[], [from, to]: Move): boolean {
  const [disk, other] = [position.indexOf(from), position.indexOf(to)];
  return disk !== -1 && from !== to && (other === -1 || other > disk);
}

const moved = (position: readonly number[], [from, to]: Move) => position.with(position.indexOf(from), to);

function whyIllegal(position: readonly number[], [from, to]: Move): string {
  const [disk, other] = [position.indexOf(from), position.indexOf(to)];
  if (disk === -1) return `peg ${PEGS[from]} is empty`;
  return from === to
    ? `${PEGS[from]} to ${PEGS[to]} is no move`
    : `disk ${disk + 1} on the smaller disk ${other + 1}`;
}

interface Reached {
  position: readonly number[];
  /** How it was reached; the start was not. */
  last: { move: Move; from: Reached } | null;
}

/** Breadth first, over at most pegs ** disks positions. */
function shortest({ pegs, start, goal }: TowerOfHanoi): Move[] {
  const moves = Array.from({ length: pegs * pegs }, (_, i): Move => [Math.floor(i / pegs), i % pegs]);
  const name = (position: readonly number[]) => position.reduce((number, peg) => number * pegs + peg, 0);
  const known = new Set([name(start)]);
  const queue: Reached[] = [{ position: start, last: null }];
  // The loop goes on to what is added meanwhile.
  for (const from of queue) {
    if (isEqual(from.position, goal)) return wayTo(from);
    for (const move of moves) {
      if (!isLegal(from.position, move)) continue;
      const position = moved(from.position, move);
      if (known.has(name(position))) continue;
      known.add(name(position));
      queue.push({ position, last: { move, from } });
    }
  }
  throw new Error("No way leads to the goal.");
}

function wayTo(end: Reached): Move[] {
  const way: Move[] = [];
  for (let { last } = end; last !== null; last = last.from.last) way.unshift(last.move);
  return way;
}

function draw(random: Random, level: number): Drawn<TowerOfHanoi> | null {
  const { pegs, disks, moves } = LEVELS[level - 1]!;
  const position = () => Array.from({ length: disks }, () => random.integer(0, pegs - 1));
  const data = { pegs, start: position(), goal: position() };
  const way = shortest(data);
  return way.length >= moves[0] && way.length <= moves[1] ? { data, answer: show(way) } : null;
}

/** "A-C, A-B": moves with commas, blanks or line breaks between them. An arrow is a hyphen too. */
function read(text: string, { pegs }: TowerOfHanoi): Reading {
  const parts = bare(text)
    .replaceAll(/[ \t]*(?:->|→)[ \t]*/g, "-")
    .split(/[ \t\r\n,]+/)
    .filter((part) => part !== "");
  const names = PEGS.slice(0, pegs);
  const wrong = parts.find(
    (part) => !(part.length === 3 && names.includes(part[0]!) && part[1] === "-" && names.includes(part[2]!)),
  );
  if (wrong !== undefined || parts.length === 0)
    return { ok: false, reason: "not a list of moves such as A-B" };
  return { ok: true, canonical: parts.join(", ") };
}

function check(canonical: string, data: TowerOfHanoi): string | null {
  let position = data.start;
  const moves = canonical.split(", ");
  for (const [i, text] of moves.entries()) {
    const move: Move = [PEGS.indexOf(text[0]!), PEGS.indexOf(text[2]!)];
    if (!isLegal(position, move)) return `move ${i + 1} is illegal: ${whyIllegal(position, move)}`;
    position = moved(position, move);
  }
  if (!isEqual(position, data.goal)) return "the goal is not reached";
  const fewest = shortest(data).length;
  return moves.length === fewest ? null : `${moves.length} moves, and ${fewest} are enough`;
}
