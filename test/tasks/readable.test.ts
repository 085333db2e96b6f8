/** What rejection sampling keeps: the rules of R1's authors, one at a time. */
import { describe, expect, test } from "vitest";
import { languageOf, languageShare } from "../../src/tasks/language.ts";
import { repeats, unreadable } from "../../src/tasks/readable.ts";

describe("language", () => {
  test.each([
    ["two and three", "en", 1],
    ["two и три", "en", 1 / 3],
    ["two и три", "bg", 2 / 3],
    ["3 + 4 = 7", "en", null],
    ["<think>пет</think>", "bg", 1],
    ["naïve café", "en", 1],
    ["答案 是 two", "zh", 2 / 3],
  ] as const)("of %j, the share in %s is %d", (text, language, share) => {
    expect(languageShare(text, language)).toBe(share);
  });

  test("a prompt's language is that of most of its words", () => {
    expect(languageOf("Направи 44 от 82, 27 и 11. OK?")).toBe("bg");
    expect(languageOf("Make 44 from 82, 27 and 11.")).toBe("en");
    expect(languageOf("82, 27, 11")).toBeNull();
  });
});

describe("repetition", () => {
  test.each([
    ["a line twice", "one\ntwo\none\n", true],
    ["blank lines", "one\n\n\n\ntwo\n\n", false],
    ["a long loop in one line", "so it must be that and then ".repeat(5), true],
    ["short equal parts", "1 + 1 = 2, 1 + 2 = 3, 1 + 3 = 4, 1 + 4 = 5", false],
  ])("%s", (_, text, found) => {
    expect(repeats(text)).toBe(found);
  });
});

describe("the rules", () => {
  const good = {
    text: "3 + 4 = 7, yes!\n</think>\n<answer>3 + 4</answer>",
    verdict: { format: true },
    finished: true,
    steps: [{ holds: true }],
  };
  test.each([
    ["nothing is wrong", {}, null],
    ["it was cut off", { finished: false }, "truncated"],
    ["a tag is missing", { verdict: { format: false } }, "format"],
    ["an equation is false", { steps: [{ holds: true }, { holds: false }] }, "false step"],
    ["a line is repeated", { text: `no\nno\n${good.text}` }, "repetition"],
    ["a word is in another language", { text: `хм, ${good.text}` }, "language"],
    ["the answer's language does not count", { text: `${good.text} готово` }, null],
    ["a task without steps", { steps: null }, null],
  ])("%s", (_, change, reason) => {
    expect(unreadable({ ...good, ...change }, "en")).toBe(reason);
  });

  test("without a language, none is asked for", () => {
    expect(unreadable({ ...good, text: `хм, ${good.text}` })).toBeNull();
  });
});
