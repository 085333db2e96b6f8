import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { extract } from "../../src/tasks/extract.ts";
import { boxed, boxes, hashAnswer, hashAnswers } from "../../src/tasks/marked-answers.ts";
import { anyText, textOf } from "./any-text.ts";

const inside = (completion: string) => extract(completion, { thoughtOpen: true });

describe("extract, the prompt having opened the thought", () => {
  it.each<[string, string, boolean, string | null]>([
    ["plain", "a</think><answer>1</answer>", true, "1"],
    ["line breaks anywhere", "\na\n</think>\n\n<answer>\n1\n</answer>\n", true, "1"],
    ["an empty thought", "</think><answer>1</answer>", true, "1"],
    ["an empty answer", "a</think><answer></answer>", true, ""],
    ["the opening tag repeated at the very start", "\n<think>a</think><answer>1</answer>", true, "1"],
    ["text after the answer", "a</think><answer>1</answer>\nDone.", true, "1"],
    ["an end token after the answer", "a</think><answer>1</answer><|im_end|>", true, "1"],
    ["text between the blocks", "a</think>so<answer>1</answer>", false, "1"],
    ["the opening tag repeated later", "a<think>b</think><answer>1</answer>", false, "1"],
    ["the thought closed twice", "a</think></think><answer>1</answer>", false, "1"],
    ["tags quoted in the thought", "I write <answer>7</answer>.</think><answer>1</answer>", false, "1"],
    ["a thought never closed", "a<answer>1</answer>", false, "1"],
    ["a second thought", "a</think><answer>1</answer><think>b</think>", false, "1"],
    ["two answers", "a</think><answer>1</answer><answer>1</answer>", false, null],
    ["two answers, the second one open", "a</think><answer>1</answer><answer>2", false, null],
    ["an answer in an answer", "a</think><answer><answer>1</answer></answer>", false, null],
    ["an answer closed twice", "a</think><answer>1</answer></answer>", false, null],
    ["an answer not closed", "a</think><answer>1", false, null],
    ["an answer not opened", "a</think>1</answer>", false, null],
    ["answer tags out of order", "a</think></answer>1<answer>", false, null],
    ["an answer in the thought only", "a<answer>1</answer></think>", false, null],
    ["no tag", "1", false, null],
    ["nothing", "", false, null],
    ["capital letters", "a</THINK><ANSWER>1</ANSWER>", false, null],
    ["blanks in tags", "a</think>< answer >1</ answer >", false, null],
    ["attributes", 'a</think><answer id="1">1</answer>', false, null],
    ["entities", "a&lt;/think&gt;&lt;answer&gt;1&lt;/answer&gt;", false, null],
    ["full-width brackets", "a＜/think＞＜answer＞1＜/answer＞", false, null],
    ["a zero-width space in a tag", "a</think><ans\u200bwer>1</answer>", false, null],
    ["a no-break space between the blocks", "a</think>\u00a0<answer>1</answer>", false, "1"],
  ])("%s", (_name, completion, format, answer) => {
    expect(inside(completion)).toMatchObject({ format, answer });
  });

  it("says why there is no answer", () => {
    expect(inside("a</think><answer>1").reason).toBe("answer block not closed");
    expect(inside("a</think>1</answer>").reason).toBe("answer block not opened");
    expect(inside("a</think></answer>1<answer>").reason).toBe("answer tags out of order");
    expect(inside("a</think><answer>1</answer><answer>2</answer>").reason).toBe(
      "2 answers, not one, and they differ",
    );
    expect(inside("a</think><answer>1</answer><answer>1</answer>").reason).toBe("2 answers, not one");
    expect(inside("a</think>").reason).toBe("no answer block");
  });

  it("shows the last complete block, and compares the only one", () => {
    expect(inside("a</think></answer>1</answer>")).toMatchObject({ answer: null, shown: null });
    expect(inside("a</think><answer>1<answer>")).toMatchObject({ answer: null, shown: null });
    expect(inside("a</think><answer>1</answer><answer>2</answer>")).toMatchObject({
      answer: null,
      shown: "2",
    });
    expect(inside("a</think>b<answer>1</answer>")).toMatchObject({
      answer: "1",
      shown: "1",
      reason: "",
      rest: "b<answer>1</answer>",
    });
  });

  it("tells the thought and where it begins", () => {
    expect(inside("a b</think><answer>1</answer>")).toMatchObject({ thought: "a b", thoughtStart: 0 });
    expect(inside(" <think>a b</think>")).toMatchObject({ thought: "a b", thoughtStart: 8 });
    // Pitfall C1: with no closing tag everything is thought, up to an answer if there is one.
    expect(inside("a b")).toMatchObject({ thought: "a b", rest: "a b" });
    expect(inside("a b<answer>1")).toMatchObject({ thought: "a b" });
  });
});

describe("extract, the completion having both tags", () => {
  it("wants the opening tag, with nothing before it", () => {
    expect(extract("<think>a</think><answer>1</answer>").format).toBe(true);
    expect(extract("\n<think>\na\n</think>\n<answer>1</answer>").format).toBe(true);
    expect(extract("a</think><answer>1</answer>").format).toBe(false);
    expect(extract("Well. <think>a</think><answer>1</answer>").format).toBe(false);
    expect(extract("<answer>1</answer><think>a</think>")).toMatchObject({ format: false, answer: null });
  });
});

describe("boxed", () => {
  it.each<[string, string[]]>([
    ["\\boxed{42}", ["42"]],
    ["so \\boxed{ 4 } and \\boxed{5}.", ["4", "5"]],
    ["\\boxed{\\frac{1}{2}}", ["\\frac{1}{2}"]],
    ["\\boxed{\\boxed{5}}", ["\\boxed{5}"]],
    ["\\boxed{a\\}b}", ["a\\}b"]],
    ["\\boxed{5", []],
    ["\\boxed{4} \\boxed{5", ["4"]],
    ["\\boxed{\\boxed{5}", ["5"]],
    ["} { \\boxed{5}", ["5"]],
    ["boxed{5}", []],
    ["\\\\boxed{5}", []],
    ["", []],
  ])("%j has %j", (text, right) => {
    expect(boxes(text)).toEqual(right);
    expect(boxed(text)).toBe(right.at(-1) ?? null);
  });
});

describe("hashAnswer", () => {
  it.each<[string, string[]]>([
    ["6 * 7 = 42\n#### 42", ["42"]],
    ["#### 42\nThat is all.", ["42"]],
    ["#### 4\n#### 9\r\n", ["4", "9"]],
    ["#### 4 #### 9", ["4", "9"]],
    ["### 42", []],
    ["####", [""]],
  ])("%j has %j", (text, right) => {
    expect(hashAnswers(text)).toEqual(right);
    expect(hashAnswer(text)).toBe(right.at(-1) ?? null);
  });
});

describe("all of them", () => {
  it("never throw", () => {
    const known = textOf(
      "<think>",
      "</think>",
      "<answer>",
      "</answer>",
      "<",
      "\\boxed{",
      "}",
      "####",
      "4",
      "\n",
    );
    fc.assert(
      fc.property(fc.oneof(anyText, known), (text) => {
        const found = inside(text);
        boxes(text);
        hashAnswers(text);
        // Format needs an answer.
        return !found.format || found.answer !== null;
      }),
      { numRuns: 400, seed: 1 },
    );
  });
});
