import { runInThisContext } from "node:vm";
import { expect, it } from "vitest";
import { type BooleanExpression, booleanExpression } from "../../../src/tasks/families/boolean-expression.ts";
import { testFamily } from "./family-tests.ts";
import { remembered } from "./remembered.ts";

/** As JavaScript, which has the same meaning where every operator with two sides is in parentheses. */
const right = remembered((question) => {
  const [, expression] = (/value of (.*)\? Answer/.exec(question) ??
    /combinations make (.*) True\? Answer/.exec(question))!;
  const names = [...new Set(expression!.match(/\b[A-D]\b/g) ?? [])].sort();
  const words: Record<string, string> = {
    True: "true",
    False: "false",
    and: "&&",
    or: "||",
    xor: "!==",
    not: "!",
  };
  const code = expression!.replace(/[a-zA-Z]{2,}/g, (word) => words[word]!);
  const value = runInThisContext(`(${names.join(", ")}) => ${code}`) as (...values: boolean[]) => boolean;
  if (names.length === 0) return value() ? "True" : "False";
  expect(question).toContain(`Each of ${names.slice(0, -1).join(", ")} and ${names.at(-1)} is`);
  expect(question).toContain(`of the ${2 ** names.length} combinations`);
  const all = names.reduce<boolean[][]>(
    (rows) =>
      rows.flatMap((row) => [
        [...row, true],
        [...row, false],
      ]),
    [[]],
  );
  return String(all.filter((row) => value(...row)).length);
});

const operators = (expression: string) => expression.match(/\b(?:and|or|xor|not)\b/g)!.length;

testFamily<BooleanExpression>({
  kind: "boolean-expression",
  levels: 5,
  isRight: (question, answer) => right(question) === answer,
  // Operators to evaluate, in all rows of the truth table.
  measure: ({ data }) => operators(data.expression) * 2 ** data.variables.length,
  distinct: [989, 1000, 1000, 1000, 1000],
  others: ({ data, answer }) =>
    data.variables.length === 0
      ? ["True", "False"]
      : [1, -1, 16].map((more) => String(Number(answer) + more)),
  equal: (answer, { data }) =>
    data.variables.length === 0
      ? [answer.toUpperCase(), answer.toLowerCase(), `**${answer}**`, `\`${answer}\``, `${answer}.`]
      : [`+${answer}`, `${answer}.`, `**${answer}**`, `$${answer}$`],
  refused: (answer, { data }) =>
    data.variables.length === 0
      ? [
          "T",
          "yes",
          "1",
          "0",
          `not ${answer}`,
          `(${answer})`,
          `${answer}True`,
          "True and True",
          "Тrue",
          "ＴＲＵＥ",
          data.expression,
        ]
      : ["True", `${answer} of 8`, `${answer}/8`, `${answer}%1`, "٤", "all", data.expression],
});

it("expressions are as often true as false, and their values depend on the variables", () => {
  const task = (level: number) =>
    booleanExpression.make(
      booleanExpression.options.parse({ kind: "boolean-expression", difficulty: [level] }),
    );
  const answers = (level: number) =>
    Array.from(
      { length: 400 },
      (_, index) => task(level).generate({ seed: 1, split: "train", index }).answer,
    );
  for (const level of [1, 2, 3]) {
    const share = answers(level).filter((answer) => answer === "True").length / 400;
    expect(share).toBeGreaterThan(0.43);
    expect(share).toBeLessThan(0.57);
  }
  // The most frequent number is no good guess.
  for (const level of [4, 5]) {
    const counts = new Map<string, number>();
    for (const answer of answers(level)) counts.set(answer, (counts.get(answer) ?? 0) + 1);
    expect(Math.max(...counts.values()) / 400).toBeLessThan(0.3);
    for (const answer of counts.keys()) expect([0, 2 ** (level - 1)]).not.toContain(Number(answer));
  }
});

it.each([
  ["not True and True", [], "False"],
  ["not (True and False)", [], "True"],
  ["not not (True xor True)", [], "False"],
  ["True", [], "True"],
  ["A and (B or C)", ["A", "B", "C"], "3"],
  ["A xor (B xor C)", ["A", "B", "C"], "4"],
  ["not (A and B)", ["A", "B"], "3"],
])("%s with %j is solved by %s", (expression, variables, answer) => {
  const task = booleanExpression.make(booleanExpression.options.parse({ kind: "boolean-expression" }));
  const problem = { id: "", prompt: "", level: 1, answer: "", data: { expression, variables } };
  expect(task.solve!(problem)).toBe(answer);
});
