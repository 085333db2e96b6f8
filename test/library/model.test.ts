/** The library's model: text, streams, stops, aborts, order, conversations, and the verbs on it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { evaluate, isUserError, type LanguageModel, loadModel, type TextToken } from "../../src/index.ts";

const PROMPT = "82, 27, 11 make 44\n<think>\n";
let model: LanguageModel;
beforeAll(async () => {
  model = await loadModel();
});
afterAll(() => model.release());

describe("generate", () => {
  it("gives text, thought and answer, token by token the same as its stream", async () => {
    const whole = await model.generate(PROMPT, { seed: 3 });
    const tokens: TextToken[] = [];
    for await (const token of model.generate(PROMPT, { seed: 3, stream: true })) tokens.push(token);
    expect(tokens.map(({ text }) => text).join("")).toBe(whole.text);
    expect(tokens.map(({ id }) => id)).toEqual(whole.ids);
    expect(tokens.map(({ logProb }) => logProb)).toEqual(whole.logProbs);
    expect(whole.logProbs.every((value) => value <= 0 && value > -20)).toBe(true);
    expect(whole.finish).toBe("stop");
    expect(whole.thought).toMatch(/^\d+ [-+*/] \d+ = /);
    expect(whole.answer).toMatch(/^[\d()+*/ -]+$/);
    expect(`${whole.thought}\n</think>\n<answer>${whole.answer}</answer>`).toBe(whole.text);
    const open = await model.generate(PROMPT, { seed: 3, stop: ["</answer>"] });
    expect(open.answer).toBe(`<answer>${whole.answer}`);
  });

  it("ends before a text of `stop`, at a limit of tokens, and where nobody reads on", async () => {
    const stopped = await model.generate(PROMPT, { seed: 3, stop: ["never", " = "] });
    expect(stopped).toMatchObject({ finish: "stop", answer: "" });
    expect(stopped.text).toMatch(/^\d+ [-+*/] \d+$/);
    expect(stopped.text).toBe(stopped.thought);
    expect(await model.generate(PROMPT, { maxNewTokens: 4 })).toMatchObject({ finish: "length" });
    for await (const { id } of model.generate(PROMPT, { stream: true })) {
      expect(id).toBeGreaterThan(0);
      break;
    }
    // The stream that was left does not hold up the next call.
    expect((await model.generate(PROMPT, { maxNewTokens: 1 })).ids).toHaveLength(1);
  });

  it("ends with the signal's reason", async () => {
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    await expect(model.generate(PROMPT, { signal })).rejects.toBe(reason);
    const control = new AbortController();
    const read = async () => {
      for await (const _ of model.generate(PROMPT, { stream: true, signal: control.signal }))
        control.abort(reason);
    };
    await expect(read()).rejects.toBe(reason);
  });

  it("answers calls one after another, each by its own seed alone", async () => {
    const alone = await model.generate(PROMPT, { seed: 1, maxNewTokens: 12 });
    const together = await Promise.all(
      [2, 1, 2].map((seed) => model.generate(PROMPT, { seed, maxNewTokens: 12 })),
    );
    expect(together[1].ids).toEqual(alone.ids);
    expect(together[0].ids).toEqual(together[2].ids);
    expect((await model.generate(PROMPT, { temperature: 0 })).ids).toEqual(
      (await model.generate(PROMPT, { temperature: 0, seed: 5 })).ids,
    );
  });

  it("says what it cannot take", async () => {
    await expect(model.generate([{ role: "user", content: "Hello" }])).rejects.toThrow(/no chat template/);
    const long = `${"82, ".repeat(400)}11 make 44\n<think>\n`;
    await expect(model.generate(long)).rejects.toSatisfy((error) => isUserError(error, "generation"));
    await expect(loadModel("no/such-model")).rejects.toThrow(/no run and no model called/);
  });
});

describe("on an open model", () => {
  it("evaluate scores the problems that were asked for", async () => {
    const task = { kind: "countdown" } as const;
    const record = await evaluate(model, task, { problems: 12, temperature: 0, label: "mine" });
    expect(record).toMatchObject({ problems: 12, label: "mine", samplesPerProblem: 1 });
    expect(record.passAt1).toBeGreaterThan(0.5);
    await expect(evaluate(model, "countdown" as never)).rejects.toThrow('{ kind: "countdown" }');
  });

  it("trainer moves a copy", async () => {
    const trainer = await model.trainer({ lora: { rank: 2 } });
    const { promptIds: prompt, ...answer } = await model.generate(PROMPT, {
      temperature: 1,
      maxNewTokens: 6,
    });
    const { ids, logProbs } = answer;
    const sequence = [...prompt, ...ids];
    const tokens = sequence.slice(0, -1);
    const weights = tokens.map((_, i) => (i >= prompt.length - 1 ? 1 : 0));
    const datum = { tokens, targets: sequence.slice(1), inputs: { weights } };
    const first = await trainer.forwardBackward([datum], "cross_entropy");
    // What the sampler said of its tokens is what training computes.
    logProbs.forEach((value, i) => {
      expect(first.logProbs[0][prompt.length - 1 + i]).toBeCloseTo(value, 3);
    });
    await trainer.optimStep({ lr: 0.01 });
    expect((await trainer.forward([datum], "cross_entropy")).loss).toBeLessThan(first.loss);
    await trainer.release();
    const again = await model.generate(PROMPT, { temperature: 1, maxNewTokens: 6 });
    expect(again.logProbs).toEqual(logProbs);
  });
});
