import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { EvaluationRecord, GroupRecord, Metrics } from "../../src/events.ts";
import { BillBook } from "../../src/ledger/bill.ts";
import { ratesFor } from "../../src/ledger/prices.ts";
import { loadRecipe } from "../../src/recipe/load.ts";
import { type RunFolder, resumeOrCreate } from "../../src/run/folder.ts";
import { writeReport } from "../../src/run/report/report.ts";

const recipe = loadRecipe("recipes/tiny-r1-zero.yaml");
let root: string;
let run: RunFolder;

beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), "sputnik-report-"));
  run = resumeOrCreate(recipe, { root });
});

afterEach(() => {
  run.close();
  fs.rmSync(root, { recursive: true });
});

function pretrain(steps = 200): void {
  for (let step = 1; step <= steps; step++) {
    const metrics = { loss: 0.6 + 2.6 / Math.sqrt(step), "grad/norm": 0.8, rate: 0.01 };
    run.appendMetrics({ stage: "base", step, totalSteps: 200, metrics });
  }
}

function rl(steps: number, more: Metrics = {}): void {
  for (let step = 1; step <= steps; step++) {
    const done = step / 140;
    // Deterministic noise, so that the curves look like curves.
    const noise = 0.05 * Math.sin(step * 12.9898) * Math.cos(step * 78.233);
    const accuracy = 0.3 + 0.55 * done + noise;
    const metrics = {
      ...{
        "reward/mean": accuracy + 0.1,
        "reward/accuracy": accuracy,
        "reward/format": 0.1,
        "pass@1": accuracy,
      },
      ...{ "length/mean": 48 + 60 * done + 40 * noise, "length/max": 360, truncated: 0.05 * done },
      ...{ entropy: 1.1 - 0.6 * done + noise, kl: 0.02 * done, "groups/signal": 0.8 - 0.3 * done },
      ...{ validity: 0.97 - 0.01 * done, "grad/norm": 0.4, loss: step === 70 ? null : 0.01 * noise },
      ...more,
    };
    run.appendMetrics({ stage: "r1-zero", step, totalSteps: 140, metrics });
  }
}

const example = (completion: string, right: boolean): GroupRecord => ({
  problem: "countdown/test/0",
  prompt: "27, 82, 11: 44",
  samples: [
    {
      completion,
      tokens: 40,
      reward: 1,
      advantage: 0,
      verdict: {
        value: right ? 1 : 0,
        kind: right ? "right" : "wrong",
        extracted: "(82-27)-11",
        canonical: right ? "44" : "98",
        format: true,
        reason: right ? "right" : "value is 98 <> 44",
      },
    },
  ],
});

function exam(label: string, passAt1: number, half: number, group: GroupRecord): EvaluationRecord {
  return {
    ...{
      label,
      task: "countdown",
      stepName: "equations",
      problems: 1000,
      samplesPerProblem: 1,
      temperature: 0.6,
      passAt1,
    },
    ...{ interval: [passAt1 - half, passAt1 + half], majAtK: null, thoughtValidity: 0.97 },
    validityByPosition: [
      { from: 0, to: 64, share: 0.98, steps: 4000 },
      { from: 64, to: 128, share: 0.96, steps: 800 },
      { from: 128, to: 192, share: 0, steps: 0 },
    ],
    ...{ meanTokens: 50, truncated: 0.01, examples: [group] },
  } satisfies EvaluationRecord as EvaluationRecord;
}

const report = (): string => fs.readFileSync(writeReport(run.folder), "utf8");

describe("a run that learned", () => {
  beforeEach(() => {
    pretrain();
    rl(140);
    run.appendEvaluation(exam("base", 0.3, 0.03, example("27+82=109,109-11=98;", false)));
    run.appendEvaluation(exam("final", 0.85, 0.02, example("82-27=55,55-11=44!\n<answer>", true)));
    const book = new BillBook(ratesFor({ hardware: recipe.hardware, measuresEnergy: false }), ["t"]);
    book.charge({ stage: "base", flops: 3.5e13, seconds: 300, trained: 6_000_000 });
    book.charge({ stage: "r1-zero", flops: 7e12, seconds: 4000, trained: 500_000, generated: 400_000 });
    run.writeBill(book.bill());
    run.finish("2026-01-02T03:04:05.000Z");
  });

  test("reports gain, interval, curves, answers, bill and how to make it again", () => {
    const text = report();
    expect(text).toContain(
      "rose from 30.0 % to 85.0 % (+55.0 points, 95 % interval 51.4 to 58.6, not paired",
    );
    expect(text).toContain("| final | countdown | 1000 x 1 | 0.6 | 85.0 % | 83.0 % to 87.0 % | - | 97.0 % |");
    expect(text).toContain("| base | 98.0 % of 4000 | 96.0 % of 800 | - |");
    expect(text).toContain("<code>82-27=55,55-11=44!<br>&lt;answer&gt;</code><br><b>right</b> (40 tokens)");
    expect(text).toContain("<b>wrong</b>: value is 98 &lt;&gt; 44");
    expect(text).toContain("| r1-zero | 7.00 | 1 h 6 min | 900,000 | unknown | unknown |");
    expect(text).toContain("Cost is unknown");
    expect(text).toContain("name: tiny-r1-zero");
    expect(text).toContain(`npx sputnik chat ${run.folder}`);
    expect(text).toContain('In "r1-zero" the loss was not a number at step 70.');
    expect(text).not.toMatch(/did not finish|trained nothing|NaN|undefined/);
    const linked = [...text.matchAll(/\]\(figures\/([^)]+)\)/g)].map((match) => match[1]!);
    expect(linked).toEqual([...new Set(linked)]);
    expect(linked.sort()).toEqual(fs.readdirSync(run.paths.figures).sort());
    expect(linked).toContain("r1-zero-reward.svg");
    expect(linked).toContain("validity-by-position.svg");
  });

  test("draws the load of a mixture's experts, in every stage that has it", () => {
    const loads = { "experts/1/max-load": 1.3, "experts/2/max-load": null };
    run.appendMetrics({ stage: "base", step: 1, totalSteps: 200, metrics: { loss: 1, ...loads } });
    rl(140, loads);
    const text = report();
    expect(text).toContain("![Load of experts (base)](figures/base-experts.svg)");
    const drawn = fs.readFileSync(join(run.paths.figures, "r1-zero-experts.svg"), "utf8");
    expect(drawn).toContain("layer 1");
  });

  test("draws pass@k where several answers were asked for, and says what was not read or not scored", () => {
    const passAtK: EvaluationRecord["passAtK"] = [
      { k: 1, value: 0.3, interval: [0.25, 0.35] },
      { k: 4, value: 0.6, interval: [0.5, 0.7] },
    ];
    const counts = { right: 1200, wrong: 2600, unparsed: 100, unscored: 100 };
    run.appendEvaluation({ ...exam("several", 0.3, 0.05, example("x", false)), passAtK, counts });
    const text = report();
    expect(text).toContain("| several | 30.0 % (25.0 % to 35.0 %) | 60.0 % (50.0 % to 70.0 %) |");
    expect(text).toContain("| 50.0 | 1.0 % | 2.5 % | 2.5 % |");
    expect(text).toContain("| 50.0 | 1.0 % | - | - |");
    expect(fs.readFileSync(join(run.paths.figures, "pass-at-k.svg"), "utf8")).toContain("several");
  });

  test("is the same from the same files", () => {
    expect(report()).toBe(report());
  });
});

describe("honesty", () => {
  test("no non-zero update: not called trained, with cause and remedy (pitfall A8)", () => {
    pretrain();
    rl(140, { "grad/norm": 0, truncated: 1, "groups/signal": 0 });
    const text = report();
    expect(text).toMatch(
      /"r1-zero" trained nothing: no update was non-zero.*100\.0 % of the completions were cut off.*raise maxNewTokens/,
    );
    expect(text).toContain("this report claims no gain");
  });

  test("equal rewards are named as a cause", () => {
    pretrain();
    rl(10, { "grad/norm": null, truncated: 0, "groups/signal": 0 });
    expect(report()).toMatch(/In every group all completions had the same reward/);
  });

  test("few groups with a signal are said, with the number and the remedy; from half on nothing is (B7)", () => {
    pretrain();
    rl(140, { "groups/signal": 0.32, "pass@1": 0.17 });
    expect(report()).toContain(
      'In "r1-zero" only 32.0 % of the groups carried a signal: in the others all rewards were equal, and they taught nothing; at a pass@1 of 17 %, groups of 16 would carry one in about 95 %: raise groupSize (now 8), make the task easier, or draw further problems with dynamicSampling.',
    );
    run.truncateTo(null);
    rl(140, { "groups/signal": 0.5 });
    expect(report()).not.toContain("carried a signal");
  });

  test.each([
    [0.5, false],
    [0.51, true],
  ])("cut off in %d of the answers: one threshold for raising maxNewTokens", (truncated, said) => {
    rl(10, { "grad/norm": null, truncated, "groups/signal": 0 });
    expect(report().includes("raise maxNewTokens")).toBe(said);
    run.truncateTo(null);
    rl(10, { truncated, "groups/signal": 0.2, "pass@1": 0.2 });
    expect(report().includes("raise maxNewTokens")).toBe(said);
  });

  test("steps of pretraining or SFT that trained no token are no broken losses", () => {
    pretrain();
    const metrics = { loss: null, "grad/norm": null };
    for (const step of [3, 4]) run.appendMetrics({ stage: "base", step, totalSteps: 200, metrics });
    expect(report()).toContain('"base" trained no token, and made no update, at step 3, 4.');
    expect(report()).not.toContain("not a number");
  });

  test("the reward's parts that are drawn add up to it (U10)", () => {
    rl(10, { "reward/validity": 0.2, "reward/overlong": -0.1 });
    report();
    const chart = fs.readFileSync(join(run.paths.figures, "r1-zero-reward.svg"), "utf8");
    for (const part of ["total", "accuracy", "format", "true equations", "length penalty"])
      expect(chart).toContain(part);
  });

  test("a stage that stopped or never began is said so", () => {
    pretrain(57);
    const text = report();
    expect(text).toContain('"base" did not finish: it stopped at step 57 of 200.');
    expect(text).toContain('The stage "r1-zero" did not start.');
    expect(text).toContain('The evaluation "final-evaluation" was not done.');
    expect(text).toContain("No bill was written.");
  });

  test("a difference inside the noise is called so, and harm is harm", () => {
    const group = example("x", false);
    run.appendEvaluation(exam("base", 0.3, 0.03, group));
    run.appendEvaluation(exam("final", 0.32, 0.03, group));
    expect(report()).toContain("Nothing was learned that this evaluation can show");
    run.truncateTo(null);
    run.appendEvaluation(exam("base", 0.3, 0.02, group));
    run.appendEvaluation(exam("final", 0.1, 0.02, group));
    expect(report()).toContain("The training did harm");
  });

  test.skipIf(process.platform === "win32")(
    "figures are drawn into the run's own folder, not through a link",
    () => {
      pretrain();
      const elsewhere = fs.mkdtempSync(join(root, "elsewhere-"));
      fs.rmSync(run.paths.figures, { recursive: true, force: true });
      fs.symlinkSync(elsewhere, run.paths.figures);
      writeReport(run.folder);
      expect(fs.readdirSync(elsewhere)).toEqual([]);
      expect(fs.readdirSync(run.paths.figures)).toContain("base-loss.svg");
    },
  );

  test("a folder without a run is refused", () => {
    expect(() => writeReport(join(root, "none"))).toThrow(/holds no run/);
  });
});
