import { expect, it } from "vitest";
import { baseConversion } from "../../../src/tasks/families/base-conversion.ts";
import { answered, testFamily } from "./family-tests.ts";

const [from, to] = [/from base (\d+)/, /to base (\d+)/];

/** By the number's value in exact arithmetic. */
function asked(question: string): { value: bigint; source: number; target: number } {
  const [numeral] = /(?<=^Convert )[0-9a-z]+/.exec(question)!;
  const [source, target] = [from, to].map((pattern) => Number(pattern.exec(question)![1])) as [
    number,
    number,
  ];
  return { value: exact(numeral, source), source, target };
}

function exact(numeral: string, base: number): bigint {
  return [...numeral].reduce((value, digit) => value * BigInt(base) + BigInt(Number.parseInt(digit, 36)), 0n);
}

testFamily({
  kind: "base-conversion",
  levels: 4,
  isRight(question, answer) {
    const { value, target } = asked(question);
    return exact(answer, target) === value && value.toString(target) === answer;
  },
  // Products and quotients of single digits, if one goes through base 10 on paper.
  measure: ({ data, answer }: { data: { numeral: string; from: number; to: number }; answer: string }) => {
    const length = (base: number) => String(base).length;
    const digits = String(Number.parseInt(data.numeral, data.from)).length;
    const work = (numeral: string, base: number) =>
      base === 10 ? 0 : (numeral.length * digits * length(base)) / 2;
    return work(data.numeral, data.from) + work(answer, data.to);
  },
  distinct: [891, 987, 1000, 1000],
  others: ({ answer }) => ["10", "1", "0", `${answer}0`, `${answer}1`, `1${answer}`],
  equal: (answer) => [answer.toUpperCase(), `**${answer}**`, `\`${answer}\``, `${answer}.`],
  refused: (answer, { data }) => [
    ...[
      `0${answer}`,
      `0x${answer}`,
      `${answer}_${data.to}`,
      `(${answer})_${data.to}`,
      `-${answer}`,
      `+${answer}`,
    ],
    ...[
      `${answer}.0`,
      `${answer} (base ${data.to})`,
      `${answer[0]} ${answer.slice(1)}!`,
      `1,${answer}`,
      "é",
      "٤٢",
      "⁴²",
    ],
    ...(data.to < 36 ? [data.to.toString(36), "z"].map((digit) => answer + digit) : []),
    "0b1",
  ],
});

const task = baseConversion.make(baseConversion.options.parse({ kind: "base-conversion" }));
const hexadecimal = {
  ...{ id: "", prompt: "", level: 2, answer: "2a" },
  data: { numeral: "101010", from: 2, to: 16 },
};

it.each([
  ["2a", 1, "right"],
  ["2A", 1, "right"],
  ["2b", 0, "answer is 2b, not 2a"],
  ["42", 0, "answer is 42, not 2a"],
  ["2g", 0, "g is no digit in base 16"],
  ["0x2a", 0, "not digits alone"],
  ["", 0, "empty answer"],
])("101010 in base 16 answered with %j has %d", (answer, value, reason) => {
  expect(task.verify(hexadecimal, answered(answer))).toMatchObject({ value, reason });
  expect(task.solve!(hexadecimal)).toBe("2a");
});
