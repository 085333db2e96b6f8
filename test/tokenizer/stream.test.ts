/** Text and thoughts piece by piece: however they come, together they are what they are at once. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { TextStream } from "../../src/tokenizer/stream.ts";
import { type CompletionPart, ThoughtSplitter } from "../../src/tokenizer/thought.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";

/** Bytes alone: every character beyond ASCII takes several tokens. */
const bytes = new BpeTokenizer(trainBpe([], { vocabSize: 259 }));

describe("text", () => {
  const pieces = (ids: number[]): string[] => {
    const stream = new TextStream(bytes);
    return ids.map((id) => stream.push(id));
  };

  it("a character comes with its last byte", () => {
    expect(pieces(bytes.encode("aé😀b"))).toEqual(["a", "", "é", "", "", "", "😀", "b"]);
  });

  it("control tokens have no text, and split no character", () => {
    const eos = bytes.eosId as number;
    expect(pieces([...bytes.encode("a"), eos, ...bytes.encode("b")])).toEqual(["a", "", "b"]);
  });

  it("any text is the sum of its pieces", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 20 }), (text) => {
        expect(pieces(bytes.encode(text)).join("")).toBe(bytes.decode(bytes.encode(text)));
      }),
    );
  });

  it("bytes that are no character are told as such, and what follows is not held back", () => {
    const [first] = bytes.encode("😀");
    const said = pieces([first, ...bytes.encode("fine")]).join("");
    expect(said).toBe("\uFFFDfine");
  });
});

describe("thoughts", () => {
  const join = (parts: CompletionPart[], thought: boolean): string =>
    parts.flatMap((part) => (part.thought === thought ? [part.text] : [])).join("");
  function split(open: boolean, texts: string[]): [thought: string, answer: string] {
    const splitter = new ThoughtSplitter(open);
    const parts = [...texts.flatMap((text) => splitter.push(text)), ...splitter.end()];
    return [join(parts, true), join(parts, false)];
  }

  it.each([
    ["no thought", false, "It is warm.", "", "It is warm."],
    ["a thought", false, "<think>\nwarm?\n</think>\n\nYes.", "\nwarm?\n", "\n\nYes."],
    ["blanks before it", false, "\n <think>a</think>b", "a", "b"],
    ["opened by the prompt", true, "warm?\n</think>\n\nYes.", "warm?\n", "\n\nYes."],
    ["opened twice", true, "<think>\nwarm?</think>Yes.", "\nwarm?", "Yes."],
    ["an empty one", true, "</think>Yes.", "", "Yes."],
    ["cut off within it", false, "<think>well, </thi", "well, </thi", ""],
    ["opened by the prompt, cut off at once", true, "<th", "<th", ""],
    ["tags in the answer", false, "Write <think> and </think>.", "", "Write <think> and </think>."],
    ["a second closing tag", true, "a</think>b</think>c", "a", "b</think>c"],
    ["what only begins like a tag", false, "<thing>", "", "<thing>"],
    ["nothing", false, "", "", ""],
  ])("%s", (_, open, text, thought, answer) => {
    expect(split(open, [text])).toEqual([thought, answer]);
    expect(split(open, [...text])).toEqual([thought, answer]);
    for (let i = 1; i < text.length; i++)
      expect(split(open, [text.slice(0, i), text.slice(i)])).toEqual([thought, answer]);
  });

  it("the answer is not held back", () => {
    const splitter = new ThoughtSplitter(true);
    expect(splitter.push("a<")).toEqual([{ thought: true, text: "a" }]);
    expect(splitter.push("/think>b")).toEqual([{ thought: false, text: "b" }]);
  });
});
