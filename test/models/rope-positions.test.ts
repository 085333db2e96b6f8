/** What a config claims of positions costs neither disk nor time: tables are made for those that are computed. */
import { expect, it } from "vitest";
import { Graph } from "../../src/graph/tensor.ts";
import { MOST_POSITIONS, rotaryTables, usablePositions } from "../../src/models/rope.ts";
import { checkRequests } from "../../src/sample/requests.ts";
import { shippedShape } from "./shipped-shape.ts";

it("tables end at the positions that are computed, whatever a file claims", () => {
  for (const claimed of [10_485_760, 2 ** 53 - 1]) {
    const settings = { headDim: 8, ropeTheta: 10000, maxPositions: claimed };
    const { cos, sin } = rotaryTables(new Graph(), settings);
    expect([cos.shape, sin.shape]).toEqual([
      [MOST_POSITIONS, 4],
      [MOST_POSITIONS, 4],
    ]);
    expect(usablePositions(claimed)).toBe(262_144);
  }
  const { cos } = rotaryTables(new Graph(), { headDim: 8, ropeTheta: 10000, maxPositions: 512 });
  expect(cos.shape).toEqual([512, 4]);
});

it("a request beyond them is refused in words", () => {
  const config = { ...shippedShape, maxPositions: 2 ** 53 - 1 };
  const request = { prompt: [1], maxNewTokens: MOST_POSITIONS, key: [1] };
  expect(() => checkRequests(config, [request], { sampling: { temperature: 0 } })).toThrow(
    /1 prompt tokens and 262144 new ones exceed the model's 262144 positions/,
  );
  expect(() =>
    checkRequests(config, [{ ...request, maxNewTokens: MOST_POSITIONS - 1 }], {
      sampling: { temperature: 0 },
    }),
  ).not.toThrow();
});
