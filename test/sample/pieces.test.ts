import { describe, expect, it } from "vitest";
import { countFlops } from "../../src/graph/analyse.ts";
import { traceDecode } from "../../src/sample/graphs.ts";
import { CHUNKS, inFullChunks, tokensOfPass, WHOLE_PROMPTS } from "../../src/sample/prompts.ts";

describe("tokens of a pass", () => {
  const each = (flops: number) => (tokens: number) => tokens * flops;
  it.each([
    // A quarter of a second of two cores, 25 GFLOP, as a power of two.
    ["8 million", 2 * 8e6, CHUNKS, 256],
    ["8 million, whole prompts", 2 * 8e6, WHOLE_PROMPTS, 1024],
    ["1 million, whole prompts", 2 * 1e6, WHOLE_PROMPTS, 4096],
    ["106 million, SmolLM2-135M without its table", 2 * 106e6, CHUNKS, 64],
    ["106 million, whole prompts", 2 * 106e6, WHOLE_PROMPTS, 512],
    ["1.3 billion, R1-Distill-Qwen-1.5B without its table", 2 * 1.31e9, CHUNKS, 16],
    ["7 billion", 2 * 7e9, CHUNKS, 16],
  ])("%s parameters", (_name, flops, most, expected) => {
    expect(tokensOfPass(each(flops), most)).toBe(expected);
  });

  it("counts what the graph of a model of 1.5 billion computes", () => {
    const shape = {
      vocabSize: 151_936,
      layers: 28,
      hiddenSize: 1536,
      heads: 12,
      kvHeads: 2,
      headDim: 128,
      intermediateSize: 8960,
    };
    const graph = traceDecode(
      { ...shape, maxPositions: 512, ropeTheta: 10_000, normEps: 1e-6, tieEmbeddings: true, qkvBias: true },
      { chunks: true },
    );
    const flopsOf = (seq: number) => countFlops(graph, { batch: 1, seq, past: 32 }).total;
    expect(tokensOfPass(flopsOf, CHUNKS)).toBe(16);
  });

  it("what is kept is full chunks", () => {
    expect([0, 63, 64, 65, 127, 128, 300].map((tokens) => inFullChunks(tokens, 64))).toEqual([
      0, 0, 64, 64, 64, 128, 256,
    ]);
  });
});
