import { describe, expect, test } from "vitest";
import { split } from "../../src/web/completion.ts";

describe("split", () => {
  test("all is thought until the first closing tag", () => {
    expect(split("82 - 27 = 55, no.\n")).toEqual({ thought: "82 - 27 = 55, no.\n", answer: null });
    const whole = "55 - 11 = 44, yes!\n</think>\n<answer>(82 - 27) - 11</answer>";
    expect(split(whole)).toEqual({ thought: "55 - 11 = 44, yes!", answer: "(82 - 27) - 11" });
  });

  test.each([
    [
      "tags after the thought are text",
      "a</think>say `</think>` or <think>",
      "a",
      "say `</think>` or <think>",
    ],
    ["an opening tag inside the thought is text", "<think>a</think>b", "<think>a", "b"],
    [
      "two answers are shown as they are",
      "a</think><answer>1</answer><answer>2</answer>",
      "a",
      "<answer>1</answer><answer>2</answer>",
    ],
    [
      "mark-up is text",
      "<b>x</b></think><answer><img src=x></answer>",
      "<b>x</b>",
      "<answer><img src=x></answer>",
    ],
    ["no answer after the thought", "a</think>", "a", ""],
  ])("%s", (_, text, thought, answer) => {
    expect(split(text)).toEqual({ thought, answer });
  });

  test("while it streams, no piece of the expected tags is ever shown", () => {
    const whole = "1 + 2 = 3, yes!\n</think>\n<answer>1 + 2</answer>";
    for (let end = 0; end <= whole.length; end++) {
      const { thought, answer } = split(whole.slice(0, end), true);
      expect(thought + (answer ?? "")).not.toMatch(/[<>]/);
    }
    expect(split("5 <", false).thought).toBe("5 <");
  });
});
