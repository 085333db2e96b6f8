import { expect, it } from "vitest";
import { type WordSorting, wordSorting } from "../../../src/tasks/families/word-sorting.ts";
import { answered, testFamily } from "./family-tests.ts";

/** With the sorting of the platform's own collation, which agrees with ours for small letters. */
function right(question: string): string {
  const [, reverse, words] = /^Sort these words in (reverse )?alphabetical order: ([a-z, ]+)\./.exec(
    question,
  )!;
  const sorted = words!.split(", ").sort(new Intl.Collator("en").compare);
  return (reverse ? sorted.reverse() : sorted).join(", ");
}

const shared = (a: string, b: string) => [...a].findIndex((letter, i) => letter !== b[i]);

testFamily<WordSorting>({
  kind: "word-sorting",
  levels: 4,
  isRight: (question, answer) => right(question) === answer,
  // Letters to compare with the neighbour before one sees that the order is right.
  measure({ data }) {
    const sorted = data.words.toSorted();
    const letters = sorted.slice(1).map((word, i) => {
      const same = shared(sorted[i]!, word);
      return (same === -1 ? sorted[i]!.length : same) + 1;
    });
    return letters.reduce((sum, count) => sum + count, 0);
  },
  distinct: [1000, 1000, 1000, 999],
  others({ data, answer }) {
    const words = answer.split(", ");
    const lists = [
      data.words,
      words.toReversed(),
      words.slice(1),
      [...words, words[0]!],
      [...words.slice(1), words[0]!],
    ];
    return [...lists.map((list) => list.join(", ")), answer.replace(words[0]!, "zebra"), words[0]!];
  },
  equal: (answer) => [
    ...[
      answer.replaceAll(", ", ","),
      answer.replaceAll(", ", " ,\n "),
      answer.toUpperCase(),
      `**${answer}**`,
      `${answer}.`,
    ],
  ],
  refused: (answer) =>
    [
      ...[
        answer.replaceAll(",", ""),
        answer.replaceAll(", ", "\n"),
        answer.replaceAll(", ", "; "),
        answer.replaceAll(", ", " < "),
      ],
      ...[
        `${answer},`,
        `, ${answer}`,
        answer.replace(", ", ",, "),
        answer.replace(/, (?=\w+$)/, " and "),
        `1. ${answer}`,
      ],
      ...[
        `[${answer}]`,
        answer.replaceAll(", ", "、"),
        answer.replace("a", "а"),
        answer.replace(/^./, "$&\u0301"),
        answer.replaceAll(", ", ",\u00a0"),
      ],
    ].filter((form) => form !== answer),
});

const make = (difficulty: number[]) =>
  wordSorting.make(wordSorting.options.parse({ kind: "word-sorting", difficulty }));

it("problems in another order of words are the same, and the reverse order is another", () => {
  const problem = { id: "", prompt: "", level: 1, answer: "" };
  const content = (words: string[], reverse: boolean) =>
    make([1]).content!({ ...problem, data: { words, reverse } });
  expect(content(["b", "a"], false)).toBe(content(["a", "b"], false));
  expect(content(["b", "a"], true)).not.toBe(content(["a", "b"], false));
});

it.each([
  [["pasta", "past", "paste"], false, "past, pasta, paste"],
  [["past", "pasta", "paste"], true, "paste, pasta, past"],
  [["a"], false, "a"],
])("%j, reverse %j, is sorted to %s", (words, reverse, answer) => {
  const problem = { id: "", prompt: "", level: 1, answer, data: { words, reverse } };
  expect(make([1]).solve!(problem)).toBe(answer);
  expect(make([1]).verify(problem, answered(answer)).value).toBe(1);
});

it("both orders come from level 2 on, and words are given out of order", () => {
  const of = (level: number) =>
    Array.from({ length: 100 }, (_, index) => make([level]).generate({ seed: 1, split: "train", index }));
  expect(of(1).some(({ data }) => data.reverse)).toBe(false);
  for (const { words } of of(1).map(({ data }) => data))
    expect(new Set(words.map((word) => word[0])).size).toBe(words.length);
  for (const level of [2, 3, 4]) {
    const reversed = of(level).filter(({ data }) => data.reverse).length;
    expect(reversed).toBeGreaterThan(30);
    expect(reversed).toBeLessThan(70);
  }
  for (const { data, answer } of [1, 2, 3, 4].flatMap(of)) {
    expect(data.words.join(", ")).not.toBe(answer);
    expect(new Set(data.words).size).toBe(data.words.length);
  }
});
