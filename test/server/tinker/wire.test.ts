/** The protobuf messages against bytes that the Python package tinker 0.38.0 wrote (its `tinker_public_pb2`). */
import { expect, test } from "vitest";
import {
  readPassHeader,
  readPassRequest,
  writePassResult,
  writeSampleResult,
} from "../../../src/server/tinker/wire.ts";
import messages from "./messages.json" with { type: "json" };

const bytes = (name: keyof typeof messages): Uint8Array => Buffer.from(messages[name], "base64");
const base64 = (written: Uint8Array): string => Buffer.from(written).toString("base64");

test("reads a forward pass as the client sends it", () => {
  const { data, ...request } = readPassRequest(bytes("passRequest"));
  expect(request).toMatchObject({ model: "session-1:train:0", sequence: 3, loss: "ppo", forwardOnly: true });
  expect(request.settings).toEqual({ clip_low_threshold: 0.9, name: "x" });
  expect(readPassHeader(bytes("passRequest"))).toEqual({ model: "session-1:train:0", sequence: 3 });
  const [first, second] = data;
  expect(first.tokens).toEqual([5, 6, 7]);
  expect(first.inputs).toEqual({
    target_tokens: { dtype: "int64", shape: [3], values: [6, 7, 300] },
    advantages: { dtype: "float32", shape: [3], values: [0, 0.5, -2] },
  });
  expect(first.tokenSpans).toEqual([
    { kind: "prompt", sequence: "q:0", offset: 0, length: 2 },
    { kind: "sampled", sequence: "q:0", offset: 0, length: 1 },
  ]);
  expect(first.targetSpans[0]).toEqual({ kind: "prompt", sequence: "q:0", offset: 1, length: 1 });
  // Compressed sparse rows.
  expect(second.inputs.weights).toEqual({ dtype: "float32", shape: [2, 3], values: [0, 0, 0.25, 4, 0, 0] });
});

test("writes samples and the outputs of a forward pass as the client reads them, byte for byte", () => {
  const sample = writeSampleResult({
    sequences: [
      { ids: [8, 9], logProbs: [-0.5, -0.25], finish: "length" },
      { ids: [7], logProbs: [-1], finish: "stop" },
    ],
    promptLogProbs: Float32Array.of(Number.NaN, -1.5),
  });
  expect(base64(sample)).toBe(messages.sampleResponse);
  const pass = writePassResult({
    metrics: { "loss:sum": 6.5 },
    outputs: { logprobs: [Float32Array.of(-1, -2), Float32Array.of(-3)] },
    data: 2,
  });
  expect(base64(pass)).toBe(messages.passOutput);
});

test("refuses what is no message, an image, and sizes that do not fit", () => {
  const whole = bytes("passRequest");
  expect(() => readPassRequest(whole.subarray(0, whole.length - 3))).toThrow();
  expect(() => readPassRequest(Uint8Array.of(0x1a, 4, 0x0a, 2, 0x12, 0))).toThrow(/image or sound/);
  // A sparse row that names a column beyond the matrix: the last index of the fixture's second datum.
  const at = Buffer.from(whole).lastIndexOf(Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
  const wrong = Uint8Array.from(whole);
  wrong[at] = 3;
  expect(() => readPassRequest(wrong)).toThrow(/sparse rows do not fit its shape \[2, 3\]/);
});
