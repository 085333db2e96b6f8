/** Which text of a completion is the answer to a word problem, form by form, and what is said about it. */
import { describe, expect, it } from "vitest";
import { answerForm, verifyNumber } from "../../src/tasks/number-answer.ts";

const judged = (completion: string, gold = "42") => verifyNumber(completion, gold, "plain");
const thenSays = (text: string) => `Let me see.</think>${text}`;
const T = "twenty";

describe("a marked number is read", () => {
  it.each<[text: string, canonical: string, rule: string]>([
    // In bold and other type.
    ["#### **18**", "18", "####"],
    ["**#### 18**", "18", "####"],
    ["#### **18** apples", "18", "####"],
    ["#### **18 apples**", "18", "####"],
    ["#### __18__", "18", "####"],
    ["#### `18`", "18", "####"],
    ["\\boxed{**18**}", "18", "\\boxed{}"],
    ["\\boxed{\\textbf{18}}", "18", "\\boxed{}"],
    ["$\\boxed{18}$", "18", "\\boxed{}"],
    ["\\boxed {18}", "18", "\\boxed{}"],
    ["\\fbox{18}", "18", "\\boxed{}"],
    ["<answer>**18**</answer>", "18", "answer block"],
    ["<answer>*18.*</answer>", "18", "answer block"],
    ["<answer>**18**.</answer>", "18", "answer block"],
    ["<answer>$$18$$</answer>", "18", "answer block"],
    ["<answer>\\[18\\]</answer>", "18", "answer block"],
    // With LaTeX's commas and spaces.
    ["\\boxed{1{,}234}", "1234", "\\boxed{}"],
    ["\\boxed{1,\\!234}", "1234", "\\boxed{}"],
    ["\\boxed{1\\,234\\,567}", "1234567", "\\boxed{}"],
    ["\\boxed{\\$1{,}234.50}", "2469/2", "\\boxed{}"],
    ["\\boxed{\\, 18 \\;}", "18", "\\boxed{}"],
    ["#### 1{,}234", "1234", "####"],
    // With currencies, percent and units.
    ["#### $18", "18", "####"],
    ["#### $ 18", "18", "####"],
    ["#### 18 €", "18", "####"],
    ["#### 18$", "18", "####"],
    ["#### 18%", "18", "####"],
    ["#### 18 dollars", "18", "####"],
    ["#### 18, which is all", "18", "####"],
    ["#### 18 - that is all", "18", "####"],
    ["#### 18 km/h", "18", "####"],
    ["#### 18<|im_end|>", "18", "####"],
    ["#### 18</s>", "18", "####"],
    ["\\boxed{18\\text{ apples}}", "18", "\\boxed{}"],
    ["\\boxed{18 \\text{ cm}^2}", "18", "\\boxed{}"],
    ["\\boxed{18\\,\\mathrm{km}}", "18", "\\boxed{}"],
    ["\\boxed{18~\\mathrm{~km}}", "18", "\\boxed{}"],
    ["\\boxed{90^\\circ}", "90", "\\boxed{}"],
    ["#### 18 fifth graders", "18", "####"],
    ["#### 18 m", "18", "####"],
    ["<answer>18\\text{ km/h}</answer>", "18", "answer block"],
    // A mark in the block, and marks several times.
    ["<answer>so \\boxed{18}</answer>", "18", "\\boxed{} in the answer block"],
    ["<answer>6 * 3 = 18\n#### 18</answer>", "18", "#### in the answer block"],
    ["#### 18\n#### 18.0", "18", "####"],
    ["#### 18 ####", "18", "####"],
    ["#### #### 18", "18", "####"],
    ["I put it into \\boxed{}: \\boxed{18}", "18", "\\boxed{}"],
    ["\\boxed{1/2} = \\boxed{0.5} = \\boxed{\\frac{1}{2}}", "1/2", "\\boxed{}"],
  ])("%j is %s by the rule of %s", (text, canonical, rule) => {
    const read = { canonical, format: expect.any(Boolean) };
    expect(judged(thenSays(text), canonical)).toMatchObject({
      ...read,
      value: 1,
      kind: "right",
      reason: `right (read from ${rule})`,
    });
    expect(judged(thenSays(text), "7")).toMatchObject({
      ...read,
      value: 0,
      kind: "wrong",
      reason: `answer is ${canonical}, not 7 (read from ${rule})`,
    });
  });
});

describe("what cannot be read as one number is no wrong answer, and no right one", () => {
  it.each<[text: string, extracted: string | null, reason: string]>([
    // Prose has no mark.
    ["The answer is 18.", null, "no answer block, \\boxed{} or ####"],
    ["18", null, "no answer block, \\boxed{} or ####"],
    ["", null, "no answer block, \\boxed{} or ####"],
    ["### 18", null, "no answer block, \\boxed{} or ####"],
    ["<answer>18", null, "answer block not closed"],
    // Words that would be another number, or a second.
    [
      "<answer>The answer is 18.</answer>",
      "The answer is 18.",
      "answer is not one plain number (read from answer block)",
    ],
    ["<answer>18 apples</answer>", "18 apples", "answer is not one plain number (read from answer block)"],
    ["#### minus 18", "minus 18", "answer is not one plain number (read from ####)"],
    ["#### 18 thousand", "18 thousand", "answer is not one plain number (read from ####)"],
    ["#### 18 Million dollars", "18 Million dollars", "answer is not one plain number (read from ####)"],
    ["#### 18 and a half", "18 and a half", "answer is not one plain number (read from ####)"],
    [`#### 18 or ${T}`, `18 or ${T}`, "answer is not one plain number (read from ####)"],
    [`#### 18 to ${T}`, `18 to ${T}`, "answer is not one plain number (read from ####)"],
    ["#### 18 + x", "18 + x", "answer is not one plain number (read from ####)"],
    ["#### 18 - x", "18 - x", "answer is not one plain number (read from ####)"],
    ["#### 18 squared", "18 squared", "answer is not one plain number (read from ####)"],
    ["#### 18 eighths", "18 eighths", "answer is not one plain number (read from ####)"],
    ["#### 18 M", "18 M", "answer is not one plain number (read from ####)"],
    ["#### 18 (thousand)", "18 (thousand)", "answer is not one plain number (read from ####)"],
    [`#### 18 out of ${T}`, `18 out of ${T}`, "answer is not one plain number (read from ####)"],
    [
      "\\boxed{18\\text{ fifths}}",
      "18\\text{ fifths}",
      "answer is not one plain number (read from \\boxed{})",
    ],
    ["#### 18 19", "18 19", "answer is not one plain number (read from ####)"],
    ["#### 2** 3", "2** 3", "answer is not one plain number (read from ####)"],
    [
      "\\boxed{18\\text{ thousand}}",
      "18\\text{ thousand}",
      "answer is not one plain number (read from \\boxed{})",
    ],
    ["\\boxed{18 apples}", "18 apples", "answer is not one plain number (read from \\boxed{})"],
    ["\\boxed{1{,}23}", "1{,}23", "answer is not one plain number (read from \\boxed{})"],
    ["\\boxed{1{,}2345}", "1{,}2345", "answer is not one plain number (read from \\boxed{})"],
    ["\\boxed{$18€}", "$18€", "answer is not one plain number (read from \\boxed{})"],
    [
      "\\boxed{18\\text{ m}\\text{ s}}",
      "18\\text{ m}\\text{ s}",
      "answer is not one plain number (read from \\boxed{})",
    ],
    // Empty marks.
    ["\\boxed{}", "", "empty answer (read from \\boxed{})"],
    ["####", "", "empty answer (read from ####)"],
    ["<answer> </answer>", "", "empty answer (read from answer block)"],
    // Two that differ, whatever comes last.
    ["#### 17\n#### 18", "18", "two answers differ: 17 and 18 (read from ####)"],
    ["#### 18\n#### 17", "17", "two answers differ: 18 and 17 (read from ####)"],
    ["\\boxed{18} \\boxed{17} \\boxed{18}", "18", "two answers differ: 17 and 18 (read from \\boxed{})"],
    ["\\boxed{x} so \\boxed{18}", "18", "two answers differ: x and 18 (read from \\boxed{})"],
    [
      "<answer>\\boxed{17}\\boxed{18}</answer>",
      "18",
      "two answers differ: 17 and 18 (read from \\boxed{} in the answer block)",
    ],
    ["<answer>17</answer><answer>18</answer>", "18", "2 answers, not one, and they differ"],
    ["<answer>18</answer><answer>18</answer>", "18", "2 answers, not one"],
  ])("%j", (text, extracted, reason) => {
    // The same verdict, whichever of the two the right answer is.
    for (const gold of ["18", "17"])
      expect(judged(thenSays(text), gold)).toMatchObject({
        value: 0,
        kind: "unparsed",
        canonical: null,
        extracted,
        reason,
      });
  });

  it("cuts what differs for its reason", () => {
    const [a, b] = ["a".repeat(41), "b".repeat(40)];
    expect(judged(`\\boxed{${a}}\\boxed{${b}}`).reason).toBe(
      `two answers differ: ${"a".repeat(40)}… and ${b} (read from \\boxed{})`,
    );
  });
});

describe("the last number, where the task allows it", () => {
  const last = (text: string) => verifyNumber(text, "18", "plain", "last-number");

  it.each<[text: string, canonical: string]>([
    ["The answer is 18.", "18"],
    ["In 3 boxes of 6 there are 18 apples, see", "18"],
    ["5</think>It is 18", "18"],
    ["so $18.00, that is", "18"],
    ["costs €1,234.50!", "2469/2"],
    ["about -3/4 of it", "-3/4"],
    ["50% of them", "50"],
    ["6 * 3 = **18**", "18"],
    ["41, 42", "42"],
    ["5 then 18,", "18"],
    // Letters, points and more digits make another thing of it.
    ["18 and x7 and 7x and 7e5 and ٣7", "18"],
    ["18 in version 1.2.3", "18"],
    // Words that are just words, and blanks that group nothing.
    ["18 quarters", "18"],
    ["18 thousandfold", "18"],
    ["In 2020 100", "100"],
    ["room 12 18", "18"],
    ["it was 5, 100", "100"],
    ["18, thousand times", "18"],
    // A mark is preferred.
    ["#### 18\nIn all 5 rows", "18"],
  ])("of %j is %s", (text, canonical) => {
    expect(last(text)).toMatchObject({ canonical, value: canonical === "18" ? 1 : 0 });
  });

  it.each([
    ["It makes 18 thousand.", "18 thousand."],
    ["18 million dollars", "18 million dollars"],
    ["a good 18\u00a0dozen", "18\u00a0dozen"],
    ["18 eighths", "18 eighths"],
    ["18 and a half", "18 and a half"],
    ["so 2 1/2", "2 1/2"],
    ["The total is 12 345.", "12 345"],
    ["The total is 1 234 567.", "234 567"],
    ["The total is 12\u202f345 km", "12\u202f345"],
    ["The total is 12'345.50", "12'345.50"],
  ])("of %j is another than its digits say, and cannot be read", (text, extracted) => {
    // Neither right nor wrong, whatever is right.
    for (const gold of ["18", "345", "1/2", "567", "12345"])
      expect(verifyNumber(text, gold, "plain", "last-number")).toMatchObject({
        ...{ value: 0, kind: "unparsed", canonical: null, extracted },
        reason: "answer is not one plain number (read from last number)",
      });
  });

  it("is named in the reason, and found missing", () => {
    expect(last("The answer is 18.").reason).toBe("right (read from last number)");
    expect(last("The answer is 17.").reason).toBe("answer is 17, not 18 (read from last number)");
    expect(last("18 of 41,42")).toMatchObject({
      kind: "unparsed",
      reason: "answer is not one plain number (read from last number)",
    });
    expect(last("I don't know.")).toMatchObject({
      kind: "unparsed",
      extracted: null,
      reason: "no answer block, \\boxed{} or ####, and no number",
    });
    expect(last("so <answer>18").reason).toBe("answer block not closed");
  });
});

describe("the format of a chat: one #### on the last line", () => {
  it.each<[string, boolean]>([
    ["6 * 7 = 42\n#### 42", true],
    ["#### 42\n\n", true],
    ["#### 42\nDone.", false],
    ["#### 42\n#### 42", false],
    ["so #### 42", false],
    ["42 ####", false],
    ["#### 4 ####", false],
    ["a</think><answer>42</answer>", false],
  ])("%j: %s", (completion, format) => {
    expect(verifyNumber(completion, "42", "chat").format).toBe(format);
    // Elsewhere it is R1's.
    expect(verifyNumber(completion, "42", "plain").format).toBe(completion.includes("<answer>"));
  });

  it("is none where the gold is not usable", () => {
    expect(verifyNumber("#### 42", "no", "chat")).toMatchObject({ value: null, format: false });
    expect(verifyNumber("#### 42", "42", "chat")).toMatchObject({ value: 1, canonical: "42" });
  });
});

it("the same value with and without its unit is one answer", () => {
  const verdict = verifyNumber("a</think>\\boxed{42\\text{ km}} or \\boxed{42}", "42", "plain");
  expect(verdict).toMatchObject({ value: 1, canonical: "42" });
});

it("there are two forms", () => {
  expect(answerForm.unwrap().options).toEqual(["marked", "last-number"]);
});
