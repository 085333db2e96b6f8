/** What is asked of the sampler for an evaluation, and what its tokens become; the sampler here repeats a script. */
import { describe, expect, test } from "vitest";
import {
  type Completion,
  completionKey,
  longestPrompt,
  sampleCompletions,
} from "../../src/eval/completions.ts";
import type { EvaluatedProblem } from "../../src/eval/problems.ts";
import type { InferenceModel } from "../../src/sample/inference.ts";
import type { GenerateOptions, GenerationRequest } from "../../src/sample/requests.ts";
import { tokenizerFrom } from "../../src/tokenizer/load.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";

const tokenizer = tokenizerFrom(trainBpe(["sputnik"], { vocabSize: 272 }));
const stop = [...tokenizer.stopIds][0]!;

const problem = (id: string, prompt: string, index: number, copies = 1): EvaluatedProblem => ({
  ...{ problem: { id, prompt }, key: id, index, copies },
});

interface Asked {
  requests: readonly GenerationRequest[];
  options: GenerateOptions;
}

/** Says "1 + 1 = 2" and stops, or is cut, token by token or all at once. */
function speaker(asked: Asked[], { cut = false, silent = false } = {}): InferenceModel {
  const ids = [...tokenizer.encode("1 + 1 = 2"), ...(cut ? [] : [stop])];
  const generate: InferenceModel["generate"] = async (requests, options) => {
    asked.push({ requests, options });
    if (!silent)
      requests.forEach((_, row) => {
        for (const id of ids) options.onToken?.(row, id, 0);
      });
    const finish = cut ? ("length" as const) : ("stop" as const);
    const generations = requests.map(() => ({ ids, logProbs: ids.map(() => 0), finish }));
    return {
      generations,
      flops: 3 * requests.length,
      tokens: ids.length * requests.length,
      steps: 1,
      drafted: 0,
      accepted: 0,
    };
  };
  return { tokenizer, generate } as unknown as InferenceModel;
}

const settings = {
  seed: 7,
  part: "test",
  samples: 2,
  sampling: { temperature: 0.6, topP: 0.9, topK: 5 },
  maxNewTokens: 12,
};
const problems = [problem("a", "first", 4), problem("b", "second", 9, 2)];

describe("sampling completions", () => {
  test("asks for each sample of each row with a stream of its own, under the settings", async () => {
    const asked: Asked[] = [];
    const heard: string[] = [];
    let tokens = 0;
    const { signal } = new AbortController();
    const result = await sampleCompletions(speaker(asked), problems, settings, {
      ...{ maxBatch: 3, signal },
      onCompletion: ({ problem: id, sample, finish }) => heard.push(`${id}${sample} ${finish}`),
      onToken: () => tokens++,
    });
    const [{ requests, options }] = asked as [Asked];
    expect(requests.map(({ key }) => key)).toEqual([
      ...[0, 1].map((sample) => [7, "sample", "test", 4, sample]),
      ...[0, 1, 2, 3].map((sample) => [7, "sample", "test", 9, sample]),
    ]);
    expect(tokenizer.decode(requests[2]!.prompt, { skipSpecials: true })).toBe("second");
    expect(requests[2]!.maxNewTokens).toBe(12);
    expect(options).toMatchObject({ sampling: settings.sampling, maxBatch: 3, signal });
    expect(options.stopIds).toEqual(tokenizer.stopIds);
    // Each once, as it ends.
    expect(heard).toEqual(["a0 stop", "a1 stop", "b0 stop", "b1 stop", "b2 stop", "b3 stop"]);
    expect(tokens).toBe(6 * 10);
    expect(result).toMatchObject({ flops: 18, tokens: 60 });
    expect(result.completions[0]).toMatchObject({ problem: "a", sample: 0, text: "1 + 1 = 2", tokens: 10 });
  });

  test("what reaches the limit is cut, and what comes all at once ends once too", async () => {
    for (const silent of [false, true]) {
      const heard: Completion[] = [];
      const model = speaker([], { cut: true, silent });
      const { completions } = await sampleCompletions(
        model,
        [problems[0]!],
        { ...settings, maxNewTokens: 9 },
        {
          onCompletion: (completion) => heard.push(completion),
        },
      );
      expect(heard).toEqual(completions);
      expect(completions.map(({ finish, tokens }) => [finish, tokens])).toEqual([
        ["length", 9],
        ["length", 9],
      ]);
    }
  });

  test("what is known is not sampled again, and where all is known nothing runs", async () => {
    const whole = await sampleCompletions(speaker([]), problems, settings);
    const known = new Map(whole.completions.map((one) => [completionKey(one.problem, one.sample), one]));
    const nothing: Asked[] = [];
    expect(await sampleCompletions(speaker(nothing), problems, settings, {}, known)).toEqual({
      ...{ completions: whole.completions, flops: 0, tokens: 0 },
    });
    expect(nothing).toEqual([]);
    known.delete(completionKey("b", 2));
    const asked: Asked[] = [];
    const again = await sampleCompletions(speaker(asked), problems, settings, {}, known);
    expect(asked[0]!.requests.map(({ key }) => key)).toEqual([[7, "sample", "test", 9, 2]]);
    expect(again).toEqual({ completions: whole.completions, flops: 3, tokens: 10 });
  });
});

test("the longest prompt is named, the first of equals", () => {
  const among = (...prompts: string[]) =>
    longestPrompt(
      { tokenizer },
      prompts.map((prompt, i) => problem(`p${i}`, prompt, i)),
    );
  const length = tokenizer.encode("abcd").length - tokenizer.encode("ab").length;
  expect(length).toBe(2);
  expect(among("ab", "abcd", "dcba", "a").id).toBe("p1");
  expect(among("ab", "abcd").tokens - among("ab").tokens).toBe(2);
  expect(() => among()).toThrow("There is no problem.");
  expect(() => among()).toThrow(expect.objectContaining({ remedy: "Ask for at least one." }));
});
