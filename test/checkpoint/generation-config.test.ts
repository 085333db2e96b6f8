import { expect, it } from "vitest";
import { samplingFor } from "../../src/checkpoint/generation-config.ts";

const nothing = { topP: undefined, topK: undefined };
it.each([
  ["nothing said", {}, { temperature: 0.6, ...nothing }],
  [
    "Qwen2.5's",
    { do_sample: true, temperature: 0.7, top_p: 0.8, top_k: 20 },
    { temperature: 0.7, topP: 0.8, topK: 20 },
  ],
  ["greedy", { do_sample: false, temperature: 0.7 }, { temperature: 0, ...nothing }],
  ["turned off", { temperature: 1, top_p: 1, top_k: 0 }, { temperature: 1, topP: 1, topK: undefined }],
  ["nonsense", { temperature: "hot", top_p: -1, top_k: 1.5 }, { temperature: 0.6, ...nothing }],
])("%s", (_, generation, sampling) => {
  expect(samplingFor(generation)).toEqual(sampling);
});

it("what is asked for beats what the model says", () => {
  const generation = { do_sample: false, top_p: 0.8, top_k: 20 };
  expect(samplingFor(generation, { temperature: 1.2, topP: 0.5 })).toEqual({
    temperature: 1.2,
    topP: 0.5,
    topK: 20,
  });
});
