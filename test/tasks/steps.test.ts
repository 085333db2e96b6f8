/** Equations are found in the text that the verifier reads, whatever their characters' bytes and blanks (T5). */
import { expect, it } from "vitest";
import { locateSteps, validityByPosition } from "../../src/tasks/steps.ts";
import { checkEquations, equations } from "../../src/tasks/thought-equations.ts";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { completionText } from "../../src/tokenizer/stream.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";
import type { Model } from "../../src/train/stage.ts";
import { id, sentencePiece } from "../tokenizer/sentencepiece.ts";

const bytes = new BpeTokenizer(trainBpe([], { vocabSize: 259 }));
const locate = (tokenizer: Model["tokenizer"], ids: number[], prompt = 0) => {
  const { text, ends } = completionText(tokenizer, [], ids);
  return locateSteps(checkEquations(text), ends, prompt);
};

it("with × in two tokens and − in three: at the token that completes the first number", () => {
  expect(locate(bytes, bytes.encode("3 × 4 = 12\n</think>"), 10)).toEqual([{ position: 10, holds: true }]);
  // "éé\n" takes five tokens.
  const text = "éé\n9 − 2 = 8";
  expect(equations(text)).toMatchObject([{ index: 3, holds: false }]);
  expect(locate(bytes, bytes.encode(text))).toEqual([{ position: 5, holds: false }]);
});

it("with a decoder that drops blanks token by token: 7 8 are two numbers", () => {
  const ids = ["▁3", "▁+", "▁4", "▁=", "▁7", "▁", "8"].map(id);
  const tokenizer = sentencePiece("Llama 2");
  expect(tokenizer.decode(ids)).toBe("3 + 4 = 7 8");
  expect(locate(tokenizer, ids)).toEqual([{ position: 0, holds: true }]);
});

it("buckets of positions come in their order, whatever was seen first", () => {
  const at = (...positions: number[]) => ({
    steps: positions.map((position) => ({ position, holds: true })),
  });
  expect(validityByPosition([at(200, 70, 3)]).map(({ from, to }) => [from, to])).toEqual([
    ...[
      [0, 64],
      [64, 128],
      [192, 256],
    ],
  ]);
});
