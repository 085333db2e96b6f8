/** A run made up for tests of the server and the page, with numbers like the default recipe's. */
import type { GroupRecord, RunEvent, SampleRecord, StageInfo } from "../../src/events.ts";
import type { Bill } from "../../src/ledger/bill.ts";
import type {
  ChatEvent,
  ChatModel,
  ChatRequest,
  ChatService,
  ConversationRequest,
} from "../../src/server/chat.ts";
import type { Verdict } from "../../src/tasks/problem.ts";

export const STAGES: StageInfo[] = [
  { name: "base", kind: "pretrain", totalSteps: 300 },
  { name: "base-evaluation", kind: "evaluate", totalSteps: 8 },
  { name: "r1-zero", kind: "grpo", totalSteps: 140 },
  { name: "final-evaluation", kind: "evaluate", totalSteps: 8 },
];

export const PROMPT = "82, 27, 11 make 44\n<think>\n";
const MISSES = [
  "27 + 82 = 109, 109 - 11 = 98, no.\n",
  "82 - 11 = 71, 71 + 27 = 98, no.\n",
  "27 - 11 = 16, 82 - 16 = 66, no.\n",
];
const HIT = "82 - 27 = 55, 55 - 11 = 44, yes!\n</think>\n<answer>(82 - 27) - 11</answer>";

export const RIGHT: Verdict = {
  value: 1,
  kind: "right",
  extracted: "(82 - 27) - 11",
  canonical: "44",
  format: true,
  reason: "right",
};

/** Deterministic noise in [-1, 1]. */
export function noise(step: number, stream: number): number {
  const wave = Math.sin(step * 12.9898 + stream * 78.233) * 43758.5453;
  return 2 * (wave - Math.floor(wave)) - 1;
}

export const opening = {
  type: "run" as const,
  name: "tiny-r1-zero",
  folder: "runs/tiny-r1-zero",
  seed: 1,
  parameters: 798_848,
  stages: STAGES,
  startedAt: "2026-11-24T10:00:00Z",
  resumedAt: null,
};

export function pretrainStep(step: number): RunEvent {
  const done = step / 300;
  const metrics = {
    loss: 0.42 + 2.8 * Math.exp(-7 * done) + 0.03 * noise(step, 1),
    "grad/norm": 0.6 + 0.2 * noise(step, 2),
    lr: 0.01 * Math.min(1, step / 50) * (done > 0.9 ? 0.1 : 1),
    tokens: step * 3072,
    "tokens-per-second": 21_000 + 900 * noise(step, 3),
    mfu: 0.62 + 0.02 * noise(step, 4),
  };
  return { type: "metrics", stage: "base", step, totalSteps: 300, secondsLeft: 640 - step, metrics };
}

export function grpoStep(step: number): RunEvent {
  const done = 1 - Math.exp(-step / 45);
  const pass1 = 0.27 + 0.58 * done + 0.05 * noise(step, 5);
  const length = 48 + 60 * (step / 140) + 4 * noise(step, 6);
  const metrics = {
    "reward/mean": pass1 + 0.098,
    "reward/accuracy": pass1,
    "reward/format": 0.098 + 0.002 * noise(step, 7),
    "pass@1": pass1,
    "length/mean": length,
    "length/max": Math.min(360, length * 3.1),
    truncated: 0.02 + 0.01 * noise(step, 8),
    entropy: 0.52 - 0.2 * done + 0.01 * noise(step, 9),
    // The first step has nothing to compare with.
    kl: step === 1 ? null : 0.012 * done + 0.001 * noise(step, 10),
    "clip/low": 0.001,
    "clip/high": 0.002,
    "groups/signal": 0.8 - 0.3 * done + 0.05 * noise(step, 11),
    "grad/norm": 0.4 + 0.1 * noise(step, 12),
    "mismatch/mean": 2e-5,
    "mismatch/max": 4e-4,
    validity: 0.965 + 0.008 * noise(step, 13),
    "validity/0-63": 0.978 + 0.005 * noise(step, 14),
    "validity/64-127": 0.97 + 0.01 * noise(step, 15),
    "validity/128-191": step < 25 ? null : 0.95 + 0.03 * noise(step, 16),
    "tokens/rollout-per-second": 3_900 + 200 * noise(step, 17),
    "tokens/train-per-second": 15_200 + 400 * noise(step, 18),
    mfu: 0.41,
    lr: 1e-4 * (1 - 0.9 * (step / 140)),
    loss: 0.01 * noise(step, 19),
  };
  return { type: "metrics", stage: "r1-zero", step, totalSteps: 140, secondsLeft: 420 - 3 * step, metrics };
}

/** Eight samples: later in the run more of them are right, after longer searches. */
export function sampledGroups(step: number, count = 2): GroupRecord[] {
  return Array.from({ length: count }, (_, index) => {
    const rightOnes = Math.min(7, 2 + Math.floor(step / 25));
    const samples = Array.from({ length: 8 }, (_, number) => sample(step, number, number < rightOnes));
    const mean = samples.reduce((sum, { reward }) => sum + (reward ?? 0), 0) / samples.length;
    const deviation = Math.sqrt(
      samples.reduce((sum, { reward }) => sum + ((reward ?? 0) - mean) ** 2, 0) / 8,
    );
    for (const each of samples) each.advantage = ((each.reward ?? 0) - mean) / deviation;
    const prompt = index === 0 ? PROMPT : `${10 + index}, ${step + 1}, 7 make 33\n<think>\n`;
    return { problem: `countdown/train/${step * 16 + index}`, prompt, samples };
  });
}

function sample(step: number, number: number, isRight: boolean): SampleRecord {
  const tries = (number + Math.floor(step / 50)) % 4;
  const search = MISSES.slice(0, tries).join("");
  const lapse = number === 6 ? "82 + 27 = 108, 108 / 11 = 9, no.\n" : "";
  if (isRight) {
    return { completion: search + HIT, tokens: 34 + 18 * tries, verdict: RIGHT, reward: 1.1, advantage: 0 };
  }
  if (number === 7) {
    const verdict: Verdict = {
      value: 0,
      kind: "unparsed",
      extracted: null,
      canonical: null,
      format: false,
      reason: "no answer: the thought was cut off",
    };
    return { completion: MISSES.join("").repeat(4), tokens: 360, verdict, reward: 0, advantage: 0 };
  }
  const completion = `${search + lapse + MISSES[1]}</think>\n<answer>(82 - 11) + 27</answer>`;
  const verdict: Verdict = {
    value: 0,
    kind: "wrong",
    extracted: "(82 - 11) + 27",
    canonical: "98",
    format: true,
    reason: "value is 98, not 44",
  };
  return { completion, tokens: 48 + 18 * tries, verdict, reward: 0.1, advantage: 0 };
}

export function evaluation(label: "base" | "final"): RunEvent {
  const [passAt1, low, high] = label === "base" ? [0.284, 0.257, 0.313] : [0.861, 0.838, 0.881];
  return {
    type: "evaluation",
    evaluation: {
      label,
      task: "countdown",
      problems: 1000,
      samplesPerProblem: 1,
      temperature: 0.6,
      passAt1,
      interval: [low, high],
      majAtK: null,
      stepName: "equations",
      thoughtValidity: label === "base" ? 0.979 : 0.974,
      validityByPosition: [{ from: 0, to: 64, share: 0.98, steps: 9000 }],
      meanTokens: label === "base" ? 48.2 : 106.4,
      truncated: label === "base" ? 0 : 0.013,
      // What the base solves, the final model solves too.
      tallies: Array.from({ length: 1000 }, (_, i) => {
        const right = i < 1000 * passAt1 ? 1 : 0;
        return { key: `problem ${i}`, right, wrong: 1 - right, unparsed: 0, unscored: 0, answer: null };
      }),
    },
  };
}

export function bill(seconds: number): RunEvent {
  const line = { stage: "base", flops: 3.4e13, seconds: 290, tokens: 6e6, wattHours: 2.9, dollars: null };
  const rl = { stage: "r1-zero", flops: 9.1e12, seconds, tokens: 1.4e6, wattHours: null, dollars: null };
  const total: Bill = {
    flops: line.flops + rl.flops,
    seconds: line.seconds + rl.seconds,
    wattHours: null,
    dollars: null,
    lines: [line, rl],
    method:
      "FLOPs counted from the graph; time measured; energy not measurable on this machine during RL; no price known.",
  };
  return { type: "bill", bill: total };
}

/** Everything up to the given step of RL. */
export function replay(lastGrpoStep: number): RunEvent[] {
  const steps = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);
  return [
    opening,
    { type: "stage", index: 0, stage: STAGES[0]! },
    ...steps(300).map(pretrainStep),
    { type: "stage", index: 1, stage: STAGES[1]! },
    evaluation("base"),
    { type: "stage", index: 2, stage: STAGES[2]! },
    ...steps(lastGrpoStep).flatMap((step): RunEvent[] => [
      grpoStep(step),
      { type: "samples", stage: "r1-zero", step, groups: sampledGroups(step) },
    ]),
    bill(3.6 * lastGrpoStep),
  ];
}

export function finish(): RunEvent[] {
  return [
    { type: "stage", index: 3, stage: STAGES[3]! },
    evaluation("final"),
    { type: "done", folder: "runs/tiny-r1-zero", report: "runs/tiny-r1-zero/report.md" },
  ];
}

/** Answers in the default recipe's words, a token every `pause` milliseconds; notes how it was left. */
export class ScriptedChat implements ChatService {
  readonly asked: ChatRequest[] = [];
  aborted = 0;
  runKind: ChatModel["kind"] = "problem";
  readonly #pause: number;

  constructor(pause = 0) {
    this.#pause = pause;
  }

  models() {
    return [
      {
        id: "shipped",
        label: "tiny-r1-zero (comes with Sputnik)",
        description: "0.8 M parameters; pass@1 86 %.",
        kind: "problem" as const,
      },
      {
        id: "run",
        label: "this run, step 90",
        description: "The latest checkpoint of the run under way.",
        kind: this.runKind,
      },
    ];
  }

  async *ask(request: ChatRequest, signal: AbortSignal): AsyncGenerator<ChatEvent, void> {
    this.asked.push(request);
    if ("messages" in request) return yield* this.talk(request, signal);
    if (request.problem.startsWith("boom")) throw new Error("The checkpoint is truncated.");
    if (request.problem.startsWith("12, 30, 5")) return yield* this.mistake();
    if (request.problem.startsWith("1 2 3")) return yield* this.cutOff();
    const completion = MISSES.join("") + HIT;
    yield { type: "prompt", text: PROMPT };
    const tokens = completion.match(/<\/?\w+>|\s*\d|\s*\S+|\s/g) ?? [];
    for (const [id, text] of tokens.entries()) {
      if (signal.aborted) {
        this.aborted++;
        return;
      }
      yield { type: "token", text, id };
      await new Promise((resolve) => setTimeout(resolve, this.#pause));
    }
    yield { type: "verdict", verdict: RIGHT };
    yield { type: "done", tokens: tokens.length, seconds: tokens.length / 400, finish: "stop" };
  }

  /** Claims a hit that is none. */
  async *mistake(): AsyncGenerator<ChatEvent, void> {
    yield { type: "prompt", text: "12, 30, 5 make 90\n<think>\n" };
    const text = "12 + 30 = 42, 42 + 5 = 47, yes!\n</think>\n<answer>(12 + 30) + 5</answer>";
    yield { type: "token", text, id: 0 };
    const verdict: Verdict = {
      ...RIGHT,
      value: 0,
      kind: "wrong",
      canonical: "47",
      reason: "value is 47, not 90",
    };
    yield { type: "verdict", verdict };
    yield { type: "done", tokens: 20, seconds: 0.1, finish: "stop" };
  }

  /** Answers at once at the longest length, without a thought. */
  async *cutOff(): AsyncGenerator<ChatEvent, void> {
    yield { type: "prompt", text: PROMPT };
    yield { type: "token", text: "\n</think>\n<answer>(8", id: 0 };
    const verdict: Verdict = {
      ...RIGHT,
      value: 0,
      kind: "unparsed",
      canonical: null,
      reason: "answer block not closed",
    };
    yield { type: "verdict", verdict };
    yield { type: "done", tokens: 3, seconds: 0.1, finish: "length" };
  }

  /** Thinks of the last message, and says how many there were. */
  async *talk({ messages }: ConversationRequest, signal: AbortSignal): AsyncGenerator<ChatEvent, void> {
    yield { type: "turn", tokens: 9, dropped: 0 };
    const last = messages.at(-1)!.content;
    const parts = [`You said ${last}.`, "Message ", "number ", "", `${messages.length}.`];
    if (last.startsWith("Slowly")) parts.push(...Array<string>(1000).fill(" and"));
    for (const [id, text] of parts.entries()) {
      if (signal.aborted) {
        this.aborted++;
        return;
      }
      const said = last.startsWith("Do not think") && id === 0 ? "\n\n" : text;
      yield { type: "token", text: said, id, thought: id === 0 };
      await new Promise((resolve) => setTimeout(resolve, this.#pause));
    }
    yield { type: "done", tokens: parts.length, seconds: 0.01, finish: "stop" };
  }
}
