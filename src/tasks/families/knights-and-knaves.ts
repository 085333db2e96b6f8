/**
 * Knights always tell the truth and knaves always lie: who is what? (Smullyan, "What Is the Name of This Book?"; the claims are
 * those of arXiv 2410.23123.) Exactly one answer agrees with all that is said.
 */
import type { Random } from "../../lib/random.ts";
import { type Drawn, family, type Reading } from "./family.ts";
import { bare, lowerCase } from "./readers.ts";

/** Of people by their index; `or` holds for both too. */
export type Claim =
  | { op: "knight" | "knave"; who: number }
  | { op: "and" | "or" | "if" | "iff"; left: Claim; right: Claim };

export interface KnightsAndKnaves {
  names: string[];
  /** What each of them says. */
  claims: Claim[];
}

const NAMES =
  "Ada Ben Cleo Dan Eva Finn Gus Hana Ivo June Kai Lena Max Nina Omar Pia Quinn Rosa Sam Tess Uma Vic Wanda Yuri Zoe".split(
    " ",
  );

const LEVELS: readonly { people: number; ops: readonly Claim["op"][]; text: string }[] = [
  { people: 2, ops: ["knight", "knave", "and", "or"], text: "two people" },
  { people: 3, ops: ["knight", "knave", "and", "or", "if", "iff"], text: "three people, also with if" },
  { people: 4, ops: ["knight", "knave", "and", "or", "if", "iff"], text: "four people" },
  { people: 5, ops: ["knight", "knave", "and", "or", "if", "iff"], text: "five people" },
];

export const knightsAndKnaves = family<"knights-and-knaves", KnightsAndKnaves>({
  kind: "knights-and-knaves",
  levels: LEVELS.map(({ text }) => text),
  example: {
    data: {
      names: ["Tom", "Liv"],
      claims: [
        { op: "and", left: { op: "knave", who: 0 }, right: { op: "knave", who: 1 } },
        { op: "knave", who: 0 },
      ],
    },
    thought: "A knight does not call himself a knave, so Tom lies. So Liv tells the truth.",
  },
  draw,
  question: ({ names, claims }) =>
    `Knights always tell the truth, and knaves always lie. ${claims.map((claim, i) => `${names[i]} says: "${say(claim, names)}."`).join(" ")} Who is a knight and who is a knave? Answer in the form: ${names[0]} is a ..., ${names[1]} is a ...`,
  content: ({ names, claims }) =>
    claims
      .map((claim, i) => `${names[i]} ${say(claim, names)}`)
      .sort()
      .join(". "),
  read: (text, { names }) => read(text, names),
  solve(data) {
    const [only] = solutions(data);
    return show(data.names, only!);
  },
});

function show(names: readonly string[], knights: readonly boolean[]): string {
  return names.map((name, i) => `${name} is a ${knights[i] ? "knight" : "knave"}`).join(", ");
}

function say(claim: Claim, names: readonly string[]): string {
  if ("who" in claim) return `${names[claim.who]} is a ${claim.op}`;
  const [left, right] = [say(claim.left, names), say(claim.right, names)];
  if (claim.op === "if") return `if ${left}, then ${right}`;
  if (claim.op === "or") return `${left} or ${right}, or both`;
  return `${left} ${claim.op === "and" ? "and" : "if and only if"} ${right}`;
}

function isTrue(claim: Claim, knights: readonly boolean[]): boolean {
  if ("who" in claim) return knights[claim.who] === (claim.op === "knight");
  const [left, right] = [isTrue(claim.left, knights), isTrue(claim.right, knights)];
  if (claim.op === "and") return left && right;
  if (claim.op === "or") return left || right;
  return claim.op === "if" ? !left || right : left === right;
}

/** All that agree with what is said: a person is a knight exactly if the claim is true. */
function solutions({ claims }: KnightsAndKnaves): boolean[][] {
  const all = Array.from({ length: 2 ** claims.length }, (_, bits) =>
    claims.map((_claim, i) => ((bits >> i) & 1) === 1),
  );
  return all.filter((knights) => claims.every((claim, i) => isTrue(claim, knights) === knights[i]));
}

function draw(random: Random, level: number): Drawn<KnightsAndKnaves> | null {
  const { people, ops } = LEVELS[level - 1]!;
  const names = random.shuffle([...NAMES]).slice(0, people);
  const knights = names.map(() => random.uniform() < 0.5);
  const one = (who: number): Claim => ({ op: random.pick(["knight", "knave"] as const), who });
  const claim = (): Claim => {
    const op = random.pick(ops);
    const [left, right] = random.shuffle(names.map((_, i) => i));
    return op === "knight" || op === "knave"
      ? { op, who: left! }
      : { op, left: one(left!), right: one(right!) };
  };
  const claims: Claim[] = [];
  for (let attempt = 0; claims.length < people && attempt < 100; attempt++) {
    const next = claim();
    if (isTrue(next, knights) === knights[claims.length]) claims.push(next);
  }
  const data = { names, claims };
  return claims.length === people && solutions(data).length === 1
    ? { data, answer: show(names, knights) }
    : null;
}

/** "Ada is a knight, Ben is a knave" in any order, with commas, line breaks or "and". Each person comes exactly once. */
function read(text: string, names: readonly string[]): Reading {
  const parts = lowerCase(bare(text)).split(/[,;\n](?:[ \t]*and[ \t])?|[ \t]and[ \t]/);
  const knights: boolean[] = [];
  for (const part of parts) {
    const [, name, role] = /^[ \t\r]*([a-z]+)(?: is a |: ?)(knight|knave)[ \t\r]*$/.exec(part) ?? [];
    const who = names.findIndex((other) => lowerCase(other) === name);
    if (who === -1) return { ok: false, reason: "not in the form: NAME is a knight, NAME is a knave" };
    if (knights[who] !== undefined) return { ok: false, reason: `${names[who]} comes twice` };
    knights[who] = role === "knight";
  }
  const missing = names.find((_, i) => knights[i] === undefined);
  if (missing !== undefined) return { ok: false, reason: `${missing} is missing` };
  return { ok: true, canonical: show(names, knights) };
}
