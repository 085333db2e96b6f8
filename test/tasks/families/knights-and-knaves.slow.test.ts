import { expect, it } from "vitest";
import { type KnightsAndKnaves, knightsAndKnaves } from "../../../src/tasks/families/knights-and-knaves.ts";
import { answered, testFamily } from "./family-tests.ts";
import { remembered } from "./remembered.ts";

/** Whether what is said is true, read from its words. */
function holds(words: string, knights: Record<string, boolean>): boolean {
  const parts = (pattern: RegExp) => {
    const found = pattern.exec(words);
    return found ? [holds(found[1]!, knights), holds(found[2]!, knights)] : null;
  };
  const implied = parts(/^if (.*), then (.*)$/);
  if (implied) return implied[1]! || !implied[0]!;
  const equal = parts(/^(.*) if and only if (.*)$/);
  if (equal) return equal[0] === equal[1];
  const either = parts(/^(.*) or (.*), or both$/);
  if (either) return either.includes(true);
  const both = parts(/^(.*) and (.*)$/);
  if (both) return !both.includes(false);
  const [, name, role] = /^(\w+) is a (knight|knave)$/.exec(words)!;
  expect(Object.keys(knights)).toContain(name);
  return knights[name!] === (role === "knight");
}

const sentence = (knights: Record<string, boolean>) =>
  Object.entries(knights)
    .map(([name, isKnight]) => `${name} is a ${isKnight ? "knight" : "knave"}`)
    .join(", ");

function assignments(names: string[]): Record<string, boolean>[] {
  const [first, ...rest] = names;
  if (first === undefined) return [{}];
  return assignments(rest).flatMap((others) => [
    { [first]: true, ...others },
    { [first]: false, ...others },
  ]);
}

/** All answers that agree with what the question says; there must be one. */
const agreeing = remembered((question) => {
  const said = [...question.matchAll(/(\w+) says: "([^"]*)\."/g)].map(
    ([, name, words]) => [name!, words!] as const,
  );
  return assignments(said.map(([name]) => name))
    .filter((knights) => said.every(([name, words]) => holds(words, knights) === knights[name]))
    .map(sentence);
});

testFamily<KnightsAndKnaves>({
  kind: "knights-and-knaves",
  levels: 4,
  isRight(question, answer) {
    const right = agreeing(question);
    expect(right, question).toHaveLength(1);
    return answer === right[0];
  },
  measure: ({ data }) => data.names.length,
  distinct: [978, 1000, 1000, 1000],
  others: ({ data: { names } }) => assignments(names).map(sentence),
  equal: (answer) => {
    const parts = answer.split(", ");
    return [
      ...[
        parts.toReversed().join(", "),
        parts.join(","),
        parts.join(" and "),
        parts.join("; "),
        parts.join("\n"),
      ],
      ...[parts.join(", and "), answer.toLowerCase(), answer.toUpperCase(), `${answer}.`, `**${answer}**`],
      answer.replaceAll(" is a ", ": "),
    ];
  },
  refused: (answer, { data: { names } }) => {
    const parts = answer.split(", ");
    const other = answer.includes("knight")
      ? answer.replace("knight", "knave")
      : answer.replace("knave", "knight");
    return [
      ...[parts[0]!, parts.slice(1).join(", "), `${answer}, ${parts[0]}`, `${answer}, ${other}`],
      ...[`${answer}, Zed is a knight`, answer.replace(" a ", " not a "), answer.replace(" is ", " isn't ")],
      ...[
        answer.replace(" is a ", " may be a "),
        `maybe ${answer}`,
        `${answer}?`,
        answer.replaceAll(", ", " "),
      ],
      ...[
        "everyone is a knight",
        names.join(", "),
        "knight, knave",
        `${answer}, `,
        answer.replace(" is a", ""),
      ],
      ...[answer.replace("k", "\u212a"), answer.replace(names[0]!, `${names[0]}a`)],
    ];
  },
});

const task = knightsAndKnaves.make(knightsAndKnaves.options.parse({ kind: "knights-and-knaves" }));
/** Smullyan's first: Ada says that both are knaves. */
const puzzle = {
  ...{ id: "", prompt: "", level: 1, answer: "Ada is a knave, Ben is a knight" },
  data: {
    names: ["Ada", "Ben"],
    claims: [
      { op: "and" as const, left: { op: "knave" as const, who: 0 }, right: { op: "knave" as const, who: 1 } },
      { op: "knave" as const, who: 0 },
    ],
  },
};

it.each([
  ["Ada is a knave, Ben is a knight", 1, "right"],
  ["Ben is a knight and Ada is a knave.", 1, "right"],
  [
    "Ada is a knight, Ben is a knight",
    0,
    "answer is Ada is a knight, Ben is a knight, not Ada is a knave, Ben is a knight",
  ],
  ["Ada is a knave", 0, "Ben is missing"],
  ["Ada is a knave, Ada is a knight, Ben is a knight", 0, "Ada comes twice"],
  ["Ada is a knave, Ben is not a knave", 0, "not in the form: NAME is a knight, NAME is a knave"],
])("who calls herself a knave, answered with %j, has %d", (answer, value, reason) => {
  expect(task.solve!(puzzle)).toBe(puzzle.answer);
  const verdict = task.verify(puzzle, answered(answer));
  expect(verdict.value).toBe(value);
  expect(reason.startsWith(verdict.reason.replace(/….*/, "").slice(0, 40))).toBe(true);
});
