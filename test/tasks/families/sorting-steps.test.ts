import { expect, it } from "vitest";
import { type SortingSteps, sortingSteps } from "../../../src/tasks/families/sorting-steps.ts";
import { answered, testFamily } from "./family-tests.ts";

/** One pass, with other operations on lists than the generator's and the solver's. */
const PASS: Record<string, (list: number[], k: number) => number[]> = {
  // The largest so far is carried to the right.
  bubble([first, ...rest]) {
    let carried = first!;
    const left = rest.map((next) => {
      const smaller = Math.min(carried, next);
      carried = Math.max(carried, next);
      return smaller;
    });
    return [...left, carried];
  },
  selection(list, k) {
    const least = Math.min(...list.slice(k - 1));
    const first = list[k - 1]!;
    return list.map((number, i) => (i === k - 1 ? least : number === least ? first : number));
  },
  insertion(list, k) {
    const number = list[k]!;
    const before = list.slice(0, k);
    const place = before.filter((other) => other < number).length;
    return [...before.slice(0, place), number, ...before.slice(place), ...list.slice(k + 1)];
  },
};

function lists(question: string): string[] {
  const [, numbers, algorithm] = /^Sort ([\d ]+) by (\w+) sort/.exec(question)!;
  const passes = Number(/the first (\d+) passes/.exec(question)?.[1] ?? 1);
  let list = numbers!.split(" ").map(Number);
  return Array.from({ length: passes }, (_, i) => {
    list = PASS[algorithm!]!(list, i + 1);
    return list.join(" ");
  });
}

testFamily<SortingSteps>({
  kind: "sorting-steps",
  levels: 4,
  isRight: (question, answer) => answer === lists(question).join("; "),
  measure: ({ data }) => data.list.length * data.passes,
  distinct: [1000, 1000, 1000, 1000],
  others({ answer, data: { list, passes } }) {
    const repeated = (numbers: number[]) => Array(passes).fill(numbers.join(" ")).join("; ");
    const [a, b, ...rest] = answer.split(" ");
    return [
      ...[repeated(list), repeated(list.toSorted((a, b) => a - b)), repeated(list.toSorted((a, b) => b - a))],
      ...[answer.split("; ").toReversed().join("; "), repeated(list.toReversed()), [b, a, ...rest].join(" ")],
    ];
  },
  equal: (answer) => [
    ...[
      answer.replaceAll("; ", "\n"),
      answer.replaceAll("; ", ";"),
      answer.replaceAll("; ", ";\n"),
      `${answer};`,
    ],
    ...[
      answer.replaceAll(/(\d) /g, "$1, "),
      answer.replaceAll(/(\d) /g, "$1,"),
      `${answer}.`,
      `**${answer}**`,
    ],
  ],
  refused: (answer, { data: { list, passes } }) => [
    ...[
      answer.replace(/^\d+ /, ""),
      `${answer} ${list[0]}`,
      `${answer}; ${list.join(" ")}`,
      answer.replace(/\d+$/, "100"),
    ],
    ...[
      answer.replace(/^\d+/, "x"),
      answer.replace(/ /, ".0 "),
      `0${answer}`,
      `+${answer}`,
      `[${answer}]`,
      "1 2 3 4",
      ";",
    ],
    ...(passes > 1
      ? [answer.split("; ").slice(1).join("; "), answer.replaceAll(";", ","), answer.replaceAll("; ", " | ")]
      : []),
    answer.replaceAll(" ", ""),
  ],
});

const task = sortingSteps.make(sortingSteps.options.parse({ kind: "sorting-steps" }));

it.each<[SortingSteps["algorithm"], string]>([
  ["bubble", "2 4 1 3 5; 2 1 3 4 5; 1 2 3 4 5"],
  ["selection", "1 2 4 5 3; 1 2 4 5 3; 1 2 3 5 4"],
  ["insertion", "2 5 4 1 3; 2 4 5 1 3; 1 2 4 5 3"],
])("%s sort of 5 2 4 1 3, by hand", (algorithm, right) => {
  const problem = {
    id: "",
    prompt: "",
    level: 1,
    data: { algorithm, list: [5, 2, 4, 1, 3], passes: 3 },
    answer: right,
  };
  expect(task.solve!(problem)).toBe(right);
  expect(task.verify(problem, answered(right)).value).toBe(1);
  expect(task.verify(problem, answered("1 2 3 4 5")).reason).toBe("1 lists, not 3");
  expect(task.verify(problem, answered("1 2 3 4 5; 1 2 3 4 5; 1 2 3 4 5")).value).toBe(0);
  expect(task.verify(problem, answered(right.replace("5", "6"))).reason).toBe("not lists of these numbers");
});
