/** What a run's bill says after it was stopped, killed or slow, and that stages draw from streams of their own. */
import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import type { RunEvent } from "../../src/events.ts";
import type { BillEntry, BillFile } from "../../src/ledger/bill.ts";
import { readJournal } from "../../src/lib/journal.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { type RunFolder, resumeOrCreate } from "../../src/run/folder.ts";
import { readRun } from "../../src/run/reader.ts";
import { Run, type RunOutcome } from "../../src/run/run.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { TINY_DATA } from "./tiny-run.ts";

const HEAD = `name: billed
seed: 1
task: { kind: countdown, numbers: [2] }
model: { layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 24, maxPositions: 64 }
tokenizer: { kind: compact }
hardware: { watts: 10, dollarsPerHour: 3600 }
`;

const pretrain = (name: string, steps: number): string => `  - name: ${name}
    kind: pretrain
    ${TINY_DATA}
    batch: 2
    steps: ${steps}
    optimizer: { kind: adamw, lr: 0.001 }
    schedule: { kind: constant }
`;
const EXAM = `  - { name: exam, kind: evaluate, label: final, problems: 32, samples: 2, temperature: 1, maxNewTokens: 40 }
`;
const grpo = (name: string): string => `  - name: ${name}
    kind: grpo
    steps: 1
    problemsPerStep: 2
    groupSize: 2
    maxNewTokens: 8
    temperature: 1
    rewards: { accuracy: 1, format: 0.1 }
    preset: grpo
    optimizer: { kind: adamw, lr: 0.01 }
    schedule: { kind: constant }
`;

interface Session {
  outcome: RunOutcome | "killed";
  folder: RunFolder;
  events: RunEvent[];
  seconds: number;
}

/** What `emit` throws stands for a kill: nothing is written from then on. */
class Kill extends Error {}

interface Given {
  prepare?: (folder: RunFolder) => void;
  onEvent?: (event: RunEvent) => void;
  stopAt?: (events: RunEvent[]) => boolean;
}

async function session(text: string, root: string, given: Given = {}): Promise<Session> {
  const recipe = parseRecipe(text, "billed.yaml");
  const folder = resumeOrCreate(recipe, { root });
  given.prepare?.(folder);
  const events: RunEvent[] = [];
  const emit = (event: RunEvent): void => {
    events.push(event);
    given.onEvent?.(event);
  };
  const began = performance.now();
  let outcome: Session["outcome"] = "killed";
  try {
    outcome = await new Run(recipe, folder, {
      ...{ engine: new Engine({ threads: 1 }), emit, shouldStop: () => given.stopAt?.(events) ?? false },
    }).run();
  } catch (error) {
    if (!(error instanceof Kill)) throw error;
  }
  folder.close();
  return { outcome, folder, events, seconds: (performance.now() - began) / 1000 };
}

const temporary = (): string => fs.mkdtempSync(join(os.tmpdir(), "sputnik-bill-"));
const billOf = ({ folder }: Session): BillFile =>
  JSON.parse(fs.readFileSync(folder.paths.bill, "utf8")) as BillFile;

describe("what ran is billed (B3)", () => {
  it("killed after three steps without a checkpoint, and run again: nine steps, two sessions, three done again", async () => {
    const text = `${HEAD}checkpoint: { everySteps: 4, keep: 2 }\nstages:\n${pretrain("base", 6)}`;
    const [whole, root] = [billOf(await session(text, temporary())), temporary()];
    let steps = 0;
    const killed = await session(text, root, {
      onEvent: (event) => {
        if (event.type === "metrics" && ++steps === 3) throw new Kill();
      },
    });
    expect(killed.outcome).toBe("killed");
    // Whoever reads the folder now sees what was charged, whatever bill.json was last.
    expect(readRun(killed.folder.folder).bill?.lines).toMatchObject([{ stage: "base", steps: 3 }]);
    const bill = billOf(await session(text, root));
    expect(whole).toMatchObject({ lines: [{ steps: 6, tokens: 6 * 96 }], redone: { steps: 0, flops: 0 } });
    expect(bill).toMatchObject({
      lines: [{ steps: 9, tokens: 9 * 96 }],
      redone: { steps: 3, trained: 3 * 96 },
    });
    expect(bill.sessions.map(({ lines }) => lines[0]?.steps)).toEqual([3, 6]);
    expect(bill.flops).toBeCloseTo(1.5 * whole.flops, 0);
    expect(bill.flops - (bill.redone?.flops ?? 0)).toBe(whole.flops);
    fs.rmSync(root, { recursive: true });
  });

  it("an exam that is stopped is billed for what it did; run again, it is billed again", async () => {
    const text = `${HEAD}checkpoint: { everySteps: 9, keep: 2 }\nstages:\n${pretrain("base", 1)}${EXAM}`;
    const [whole, root] = [billOf(await session(text, temporary())), temporary()];
    let asked = 0;
    const stopped = await session(text, root, {
      stopAt: (events) =>
        events.some((e) => e.type === "stage" && e.stage.kind === "evaluate") && ++asked > 12,
    });
    expect(stopped.outcome).toBe("stopped");
    const part = billOf(stopped).lines[1];
    const { lines } = whole;
    expect(part).toMatchObject({ stage: "exam", steps: 0, prefilled: lines[1]?.prefilled });
    expect(part.flops).toBeGreaterThan(0);
    expect(part.flops).toBeLessThan(lines[1].flops);
    expect(part.generated).toBeGreaterThan(0);
    const bill = billOf(await session(text, root));
    expect(bill.lines[1]).toMatchObject({ steps: 1, flops: lines[1].flops + part.flops });
    expect(bill.redone).toMatchObject({ flops: part.flops, generated: part.generated, steps: 0 });
  });

  it("prompts that the sampler reads and tokens that it makes, of an exam and of RL (B11)", async () => {
    const text = `${HEAD}checkpoint: { everySteps: 9, keep: 2 }\nstages:\n${grpo("rl")}${EXAM}`;
    const { events, ...run } = await session(text, temporary());
    const [rl, exam] = billOf(run as Session).lines;
    for (const line of [rl, exam]) {
      expect(line.prefilled).toBeGreaterThan(0);
      expect(line.tokens).toBe(
        ["trained", "prefilled", "generated", "scored"].reduce(
          (sum, kind) => sum + Number(Reflect.get(line, kind)),
          0,
        ),
      );
    }
    const evaluation = events.find((event) => event.type === "evaluation");
    expect(evaluation?.evaluation.meanTokens).toBeCloseTo(exam.generated / 64, 9);
    const step = events.find((event) => event.type === "metrics");
    expect(rl.generated).toBe(4 * (step?.metrics["length/mean"] ?? 0));
  });
});

it("a step that takes long is charged meanwhile, so that a kill leaves little unbilled (B3)", async () => {
  const text = `${HEAD}checkpoint: { everySteps: 9, keep: 2 }\nstages:\n${EXAM}`;
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  let asked = 0;
  const run = await session(text, temporary(), {
    stopAt: (events) => {
      if (events.some((e) => e.type === "stage") && ++asked === 12) vi.advanceTimersByTime(5000);
      return false;
    },
  });
  vi.useRealTimers();
  const entries = readJournal<BillEntry>(run.folder.paths.charges).filter(({ generated }) => generated > 0);
  expect(entries.map(({ step, steps }) => [step, steps])).toEqual([
    [1, 0],
    [1, 1],
  ]);
  const { lines, flops } = billOf(run);
  expect(lines).toMatchObject([{ stage: "exam", steps: 1 }]);
  expect(entries[0].flops).toBeGreaterThan(0);
  expect(entries[0].flops + entries[1].flops).toBe(flops);
});

it("all of a run's time is billed, the last checkpoint of each stage too (B4)", async () => {
  const text = `${HEAD}checkpoint: { everySteps: 1, keep: 2 }\nstages:\n${pretrain("a", 2)}${pretrain("b", 2)}`;
  let saves = 0;
  const run = await session(text, temporary(), {
    prepare: (folder) => {
      const position = folder.position.bind(folder);
      folder.position = () => {
        saves++;
        const start = performance.now();
        while (performance.now() - start < 600);
        return position();
      };
    },
  });
  const bill = billOf(run);
  expect(saves).toBe(4);
  // Each save is charged to the step that it is of, the last one of a stage too.
  const saved = readJournal<BillEntry>(run.folder.paths.charges).filter(
    ({ step, flops, seconds }) => step !== null && step > 0 && flops === 0 && seconds > 0.55,
  );
  expect(saved.map(({ stage, step }) => `${stage} ${step}`)).toEqual(["a 1", "a 2", "b 1", "b 2"]);
  // What is left out is writing the report.
  expect(run.seconds - bill.seconds).toBeLessThan(0.5);
  expect(bill.dollars).toBeCloseTo(bill.seconds, 9);
});

it("two stages that are alike draw other problems and other documents (B5), and a run draws the same ones again", async () => {
  const text = `${HEAD}checkpoint: { everySteps: 9, keep: 2 }\nstages:\n${pretrain("a", 1)}${pretrain("b", 1)}${grpo("rl")}${grpo("rl2")}`;
  const traces = async () => {
    const { events } = await session(text, temporary());
    const prompts = events.flatMap((e) =>
      e.type === "samples" ? [e.groups.map(({ prompt }) => prompt)] : [],
    );
    const losses = events.flatMap((e) => (e.type === "metrics" ? [e.metrics.loss] : []));
    return { prompts, losses: losses.slice(0, 2) };
  };
  const first = await traces();
  expect(first.prompts).toHaveLength(2);
  expect(first.prompts[0]).not.toEqual(first.prompts[1]);
  expect(first.prompts[0].filter((prompt) => first.prompts[1].includes(prompt))).toEqual([]);
  expect(first.losses[0]).not.toBe(first.losses[1]);
  expect(await traces()).toEqual(first);
});
