/** The verbs: they compute what a training step computes, add up, keep order, save and resume, and refuse wrong data. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { mul, neg } from "../../src/graph/ops.ts";
import { Random } from "../../src/lib/random.ts";
import { modelOf } from "../../src/models/architectures.ts";
import type { Value } from "../../src/runtime/value.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { completionDatum, type Datum } from "../../src/train/datum.ts";
import { batchFeeds, languageModelLoss } from "../../src/train/language-model.ts";
import { defineLoss, type LossName, losses } from "../../src/train/losses.ts";
import { createTrainStep } from "../../src/train/step.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { numbersOf } from "../support/parameters.ts";
import { adamW, copyValues, furthest, livelyParameters, tinyConfig, tinyContext } from "./tiny.ts";

const start = livelyParameters(tinyConfig, 3, 0.15);
const model = { config: tinyConfig, tokenizer: new CompactTokenizer(), parameters: start };
const { engine } = tinyContext;
const folder = mkdtempSync(join(tmpdir(), "trainer-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function datum(length: number, seed: number): Datum {
  const random = new Random(seed, "datum");
  const list = (of: () => number) => Array.from({ length }, of);
  const id = () => random.integer(0, tinyConfig.vocabSize - 1);
  return {
    tokens: list(id),
    targets: list(id),
    inputs: {
      weights: list(() => random.uniform() / 20),
      sampled: list(() => -1 - random.uniform()),
      advantages: list(() => random.uniform() - 0.5),
      mask: list(() => random.integer(0, 1)),
    },
  };
}

const data = [datum(7, 1), datum(12, 2), datum(12, 3), datum(30, 4)];
const step = {
  lr: 1e-3,
  betas: adamW.betas,
  epsilon: adamW.epsilon,
  clip: adamW.clip,
  weightDecay: adamW.weightDecay,
};

async function withTrainer<T>(
  use: (trainer: Trainer) => Promise<T>,
  options: Parameters<typeof Trainer.create>[1] = {},
): Promise<T> {
  const trainer = await Trainer.create(model, { engine, seed: 5, ...options });
  return use(trainer).finally(() => trainer.release());
}

type Values = ReadonlyMap<string, Value>;
/** The largest difference between two models' parameters. */
const apart = (a: Values, b: Values): number =>
  [...a].reduce(
    (most, [name, value]) => Math.max(most, furthest(numbersOf(value), numbersOf(b.get(name)))),
    0,
  );

/** Two updates; the parameters after them. */
const trainedTwice = async (trainer: Trainer) => {
  for (const rate of [1e-3, 5e-4]) {
    await trainer.forwardBackward(data, "cross_entropy");
    await trainer.optimStep({ ...step, lr: rate });
  }
  return trainer.parameters();
};

describe("forwardBackward and optimStep", () => {
  it("give the update of a training step on the same tokens", async () => {
    const [batch, seq] = [2, 12];
    const rows = data.slice(1, 3);
    const specs = modelOf(tinyConfig).parameters;
    const loss = languageModelLoss(tinyConfig, { batch, seq, mask: "shared" });
    const fused = await createTrainStep(specs, copyValues(start), loss, adamW, { engine });
    const flat = (of: (one: Datum) => readonly number[]) => rows.flatMap(of);
    const { norm, measured } = await fused.update(
      [
        batchFeeds({
          ...{ batch, seq, ids: Int32Array.from(flat(({ tokens }) => tokens)) },
          targets: Int32Array.from(flat(({ targets }) => targets)),
          weights: Float32Array.from(flat(({ inputs }) => inputs.weights)),
        }),
      ],
      { lr: step.lr, muonLr: 0 },
    );
    await withTrainer(async (trainer) => {
      const output = await trainer.forwardBackward(rows, "cross_entropy");
      expect(output.loss).toBeCloseTo(measured[0].scalars.loss, 5);
      expect((await trainer.optimStep(step)).norm).toBeCloseTo(norm, 4);
      expect(apart(await trainer.parameters(), fused.parameters())).toBeLessThan(2e-5);
    });
    await fused.release();
  });

  it("gives each datum's values in its place, and the same by forward", () =>
    withTrainer(async (trainer) => {
      const whole = await trainer.forward(data, "cross_entropy");
      for (const [i, one] of data.entries()) {
        const alone = await trainer.forwardBackward([one], "cross_entropy");
        expect(whole.logProbs[i]).toHaveLength(one.tokens.length);
        alone.logProbs[0].forEach((value, t) => {
          expect(whole.logProbs[i][t]).toBeCloseTo(value, 4);
          expect(whole.tokenLosses[i][t]).toBeCloseTo(-one.inputs.weights[t] * value, 4);
        });
      }
      const total = whole.tokenLosses.flatMap((losses) => [...losses]).reduce((a, b) => a + b, 0);
      expect(whole.loss).toBeCloseTo(total, 4);
    }));

  it("add up over calls and over losses", async () => {
    const once = await withTrainer(async (trainer) => {
      await trainer.forwardBackward(data, "cross_entropy");
      await trainer.optimStep(step);
      return trainer.parameters();
    });
    const twice = await withTrainer(async (trainer) => {
      await trainer.forwardBackward(data.slice(2), "cross_entropy");
      await trainer.forwardBackward(data.slice(0, 2), "cross_entropy");
      await trainer.optimStep(step);
      return trainer.parameters();
    });
    expect(apart(once, twice)).toBeLessThan(2e-5);
    const norms = await withTrainer(async (trainer) => {
      const norm = async (...names: ("cross_entropy" | "dro")[]) => {
        for (const name of names) await trainer.forwardBackward(data, name);
        return (await trainer.optimStep({ ...step, lr: 1e-30 })).norm;
      };
      return [await norm("cross_entropy"), await norm("dro"), await norm("cross_entropy", "dro")];
    });
    expect(norms[2]).not.toBeCloseTo(norms[0], 3);
    expect(norms[2]).not.toBeCloseTo(norms[1], 3);
    expect(norms[2]).toBeLessThanOrEqual(norms[0] + norms[1] + 1e-5);
  });

  it("compute calls in their order that do not wait for one another", async () => {
    const [waited, pipelined] = await Promise.all([
      withTrainer(trainedTwice),
      withTrainer(async (trainer) => {
        const calls = [1e-3, 5e-4].flatMap((rate) => [
          trainer.forwardBackward(data, "cross_entropy"),
          trainer.optimStep({ ...step, lr: rate }),
        ]);
        const parameters = await trainer.parameters();
        await Promise.all(calls);
        return parameters;
      }),
    ]);
    expect(apart(waited, pipelined)).toBe(0);
  });

  it("take every loss by its name", () =>
    withTrainer(async (trainer) => {
      for (const name of Object.keys(losses) as LossName[]) {
        const { loss, tokenLosses } = await trainer.forward(data, name);
        const total = tokenLosses.flatMap((values) => [...values]).reduce((sum, one) => sum + one, 0);
        expect(loss).toBeCloseTo(total, 3);
        expect(loss).not.toBe(0);
      }
    }));

  it("take a loss of one's own", () =>
    withTrainer(async (trainer) => {
      const doubled = defineLoss({
        inputs: ["weights"],
        settings: { factor: 2 },
        perToken: ({ logProbs, inputs }, { factor }) => neg(mul(mul(inputs.weights, logProbs), factor)),
      });
      const { loss } = await trainer.forward(data, "cross_entropy");
      expect((await trainer.forward(data, doubled)).loss).toBeCloseTo(2 * loss, 4);
      expect((await trainer.forward(data, doubled, { factor: 3 })).loss).toBeCloseTo(3 * loss, 4);
    }));
});

describe("adapters", () => {
  const lora = { rank: 2 };

  it("of two trainers share a base, which stays as it is", async () => {
    const before = copyValues(start);
    const [one, other] = await Promise.all(
      [1, 2].map((seed) => Trainer.create(model, { engine, lora, seed })),
    );
    await one.forwardBackward(data, "cross_entropy");
    await one.optimStep({ ...step, lr: 0.05 });
    expect(apart(await one.parameters(), start)).toBeGreaterThan(1e-3);
    expect(apart(await other.parameters(), start)).toBe(0);
    expect(apart(start, before)).toBe(0);
    const adapter = await one.adapter();
    expect(adapter?.lora).toEqual({ rank: 2, alpha: 2, targets: [] });
    await Promise.all([one.release(), other.release()]);
  });
});

describe("sample", () => {
  it("asks the current parameters, and a policy gradient makes a rewarded token likelier", () =>
    withTrainer(async (trainer) => {
      const prompt = [3, 5, 7];
      const [first] = await trainer.sample(prompt, { maxNewTokens: 1, stopIds: new Set() });
      const wanted = first.ids[0];
      const chance = async () => {
        const samples = await trainer.sample(prompt, {
          maxNewTokens: 1,
          count: 64,
          seed: 1,
          stopIds: new Set(),
        });
        return { samples, share: samples.filter(({ ids }) => ids[0] === wanted).length / 64 };
      };
      const before = await chance();
      for (let i = 0; i < 8; i++) {
        const { samples } = await chance();
        const rows = samples.map(({ ids, logProbs }) =>
          completionDatum(prompt, ids, {
            sampled: logProbs,
            advantages: (ids[0] === wanted ? 1 : -0.2) / 64,
          }),
        );
        const [{ tokens, targets, inputs }] = rows;
        expect(tokens).toEqual(prompt);
        expect(targets.slice(0, 2)).toEqual([5, 7]);
        expect(inputs.sampled).toEqual([0, 0, samples[0].logProbs[0]]);
        await trainer.forwardBackward(rows, "importance_sampling");
        await trainer.optimStep({ lr: 0.02 });
      }
      const after = await chance();
      expect(after.share).toBeGreaterThan(before.share + 0.3);
    }));

  it("gives a group for each of several prompts", () =>
    withTrainer(async (trainer) => {
      const prompts = [[3, 5, 7], [4]];
      const options = { maxNewTokens: 5, count: 2, stopIds: new Set<number>() };
      const groups = await trainer.sampleEach(prompts, options);
      expect(groups.map((group) => group.length)).toEqual([2, 2]);
      expect(groups[0]).toEqual(await trainer.sample(prompts[0], options));
      expect(groups[1][0].ids).not.toEqual(groups[1][1].ids);
    }));

  it.each([undefined, { rank: 2 }])("gives the log-probabilities that forward gives: lora %j", (lora) =>
    withTrainer(
      async (trainer) => {
        // What was merged for this one must not answer for the updates after it.
        const before = await trainer.parameters();
        expect(apart(await trainedTwice(trainer), before)).toBeGreaterThan(1e-5);
        const prompt = [3, 5, 7];
        const [{ ids, logProbs }] = await trainer.sample(prompt, { maxNewTokens: 8, stopIds: new Set() });
        const forward = await trainer.forward(
          [completionDatum(prompt, ids, { weights: 1 })],
          "cross_entropy",
        );
        expect(furthest(forward.logProbs[0].subarray(2), logProbs)).toBeLessThan(1e-4);
      },
      { lora },
    ),
  );
});

describe("saveState and loadState", () => {
  it.each([undefined, { rank: 2 }])("continue as if nothing had happened: lora %j", async (lora) => {
    const [path, then, wanted] = await withTrainer(
      async (trainer) => {
        const then = await trainedTwice(trainer);
        const saved = await trainer.saveState(join(folder, `lora-${lora?.rank}`));
        return [saved, then, await trainedTwice(trainer)] as const;
      },
      { lora },
    );
    await withTrainer(
      async (trainer) => {
        await trainer.forwardBackward(data, "cross_entropy");
        await trainer.parameters();
        await trainer.loadState(path);
        expect(apart(await trainer.parameters(), then)).toBe(0);
        expect(apart(await trainedTwice(trainer), wanted)).toBe(0);
        await trainer.loadState(path, { optimizer: false });
        expect(apart(await trainedTwice(trainer), wanted)).toBeGreaterThan(0);
      },
      { lora, seed: 9 },
    );
  });

  it("refuse the state of another adapter, and change nothing", async () => {
    const path = await withTrainer((trainer) => trainer.saveState(join(folder, "two")), {
      lora: { rank: 2 },
    });
    await withTrainer(
      async (trainer) => {
        const before = await trainer.parameters();
        await expect(trainer.loadState(path)).rejects.toThrow(
          /another model or adapter.*as the one that saved/s,
        );
        expect(apart(await trainer.parameters(), before)).toBe(0);
      },
      { lora: { rank: 3 } },
    );
  });
});

describe("wrong data", () => {
  const [good] = data;
  const list = (length: number, value: number) => Array.from({ length }, () => value);
  it.each<[string, readonly Datum[], RegExp]>([
    ["nothing", [], /data: expected at least one datum/],
    ["no token", [{ ...good, tokens: [] }], /data\[0\]\.tokens: expected at least one id/],
    ["a target too few", [good, { ...good, targets: [1] }], /data\[1\]\.targets: expected 7 values.*found 1/],
    ["an unknown id", [{ ...good, targets: list(7, 999_999) }], /data\[0\]\.targets: expected ids from 0 to/],
    ["half an id", [{ ...good, tokens: list(7, 1.5) }], /data\[0\]\.tokens: expected ids/],
    ["no weights", [{ ...good, inputs: {} }], /data\[0\]\.inputs\.weights: expected the values/],
    ["NaN", [{ ...good, inputs: { weights: list(7, Number.NaN) } }], /inputs\.weights: expected finite/],
    ["too long", [datum(tinyConfig.maxPositions + 1, 1)], /at most the model's \d+ positions/],
  ])("is refused: %s", (_, wrong, message) =>
    withTrainer(async (trainer) => {
      await expect(trainer.forwardBackward(wrong, "cross_entropy")).rejects.toThrow(message);
      await expect(trainer.optimStep(step)).rejects.toThrow("There are no gradients");
    }),
  );

  it("is named: a loss, a setting, an optimizer's setting", () =>
    withTrainer(async (trainer) => {
      await expect(trainer.forward(data, "dpo" as "dro")).rejects.toThrow(
        /loss: expected one of cross_entropy/,
      );
      await expect(trainer.forward(data, "dro", { clipLow: 1 })).rejects.toThrow(
        /settings\.clipLow: expected one of beta/,
      );
      await expect(trainer.forward(data, "dro", { beta: Number.NaN })).rejects.toThrow(/a finite number/);
      await expect(trainer.optimStep({ lr: -1 })).rejects.toThrow(/optimStep\.lr/);
      expect(losses.dro.settings.beta).toBe(0.05);
    }));

  it("drops the gradients where the loss is not a number", () =>
    withTrainer(async (trainer) => {
      const broken = defineLoss({
        inputs: ["weights"],
        settings: {},
        perToken: ({ logProbs, inputs }) => mul(inputs.weights, mul(mul(logProbs, 1e38), 1e38)),
      });
      await trainer.forwardBackward(data, "cross_entropy");
      await expect(trainer.forwardBackward(data, broken)).rejects.toThrow("not a finite number");
      await expect(trainer.optimStep(step)).rejects.toThrow("There are no gradients");
    }));
});
