/** What a training on a cluster takes: FLOPs by stage, memory, hours, dollars, energy. Unknown inputs give unknown results. */
import {
  amortised,
  clusterPrice,
  EXPERIMENTS,
  gpuHours,
  kilowattHours,
  NUMERATORS,
  type Numerator,
  type RlShape,
  rlFlops,
  rolloutBound,
  SECONDS,
  trainingFlops,
  type Utilisation,
  utilisation,
} from "./costs.ts";
import type { ModelCounts } from "./counts.ts";
import type { Gpu, PeakType } from "./gpus.ts";
import { checkMemory, fewestGpus, type Memory, type MemoryInput } from "./memory.ts";

export interface Stage {
  name: string;
  /** Tokens that are trained on, in sequences of `context`. */
  text?: readonly { tokens: number; context: number }[];
  /** `null`: RL of which not all is known. */
  rl?: RlShape | null;
  /** Hours that are known, which the bill takes; `null` where none are. */
  givenHours: number | null;
}

export interface TrainingInput {
  model: ModelCounts;
  stages: readonly Stage[];
  gpu: Gpu | null;
  /** `null` is unknown; "fewest" are those that hold the model. */
  gpus: number | "fewest" | null;
  utilisation: Utilisation & { peak: PeakType };
  uptime: number;
  /** Of one GPU; `null` is unknown. */
  dollarsPerHour: number | null;
  pue: number;
  /** Tokens a second that one GPU samples; `null`: as many as it could at the most. */
  rollout: number | null;
  /** Sequences that a GPU trains on at once. */
  sequences: number;
}

export interface PlannedStage {
  name: string;
  /** Tokens that are trained on, prompts included. */
  tokens: number | null;
  flop: number | null;
  /** What follows from the FLOPs. */
  computedHours: number | null;
  givenHours: number | null;
  /** The hours that the bill takes: given ones where there are some. */
  hours: number | null;
  /** The computed hours take rollouts at the speed that no cluster reaches. */
  atLeast: boolean;
}

export interface TrainingPlan {
  stages: PlannedStage[];
  /** Sums over the stages of which they are known; `null`: over none. */
  flop: number | null;
  hours: number | null;
  /** The names of the others. */
  missing: { flop: string[]; hours: string[] };
  gpus: number | null;
  memory: Memory | null;
  /** Of the cluster. */
  wallHours: number | null;
  kilowattHours: number | null;
  dollars: {
    rented: number | null;
    amortised: number | null;
    bought: number | null;
    /** The rent with all experiments, for each factor of `EXPERIMENTS`. */
    experiments: { factor: number; dollars: number | null }[];
  };
  /** Of the first stage with text: its MFU by each numerator and peak. Empty where hours are unknown. */
  utilisations: { numerator: Numerator; flop: number; bf16: number; fp8: number | null }[];
}

/** @throws UserError where the model does not fit */
export function planTraining(input: TrainingInput): TrainingPlan {
  const { model, gpu, dollarsPerHour } = input;
  const stages = input.stages.map((stage) => planStage(stage, input));
  const [flop, hours] = (["flop", "hours"] as const).map((what) =>
    sumKnown(stages.map((stage) => stage[what])),
  );
  const missing = (what: "flop" | "hours"): string[] =>
    stages.filter((stage) => stage[what] === null).map(({ name }) => name);
  const memory = memoryInput(input);
  const gpus = input.gpus !== "fewest" ? input.gpus : gpu === null ? null : fewestGpus(model, gpu, memory);
  const kwh = hours === null || gpu === null ? null : kilowattHours(hours, gpu.watts, input.pue);
  const rented = times(hours, dollarsPerHour);
  const price = gpu?.purchase?.value ?? null;
  return {
    stages,
    ...{ flop, hours, missing: { flop: missing("flop"), hours: missing("hours") } },
    gpus,
    memory: gpu === null || gpus === null ? null : checkMemory(model, gpu, gpus, memory),
    wallHours: hours === null || gpus === null ? null : hours / gpus,
    kilowattHours: kwh,
    dollars: {
      rented,
      amortised: hours === null || price === null || kwh === null ? null : amortised(hours, price, kwh),
      bought: gpus === null || price === null ? null : clusterPrice(gpus, price),
      experiments: EXPERIMENTS.map((factor) => ({ factor, dollars: times(rented, factor) })),
    },
    utilisations: utilisations(input, stages),
  };
}

function planStage(stage: Stage, input: TrainingInput): PlannedStage {
  const { name, text, rl, givenHours } = stage;
  const { tokens, flop, computedHours, atLeast } =
    text !== undefined ? planText(text, input) : rl ? planRl(rl, input) : UNKNOWN;
  return { name, tokens, flop, computedHours, givenHours, hours: givenHours ?? computedHours, atLeast };
}

type Work = Pick<PlannedStage, "tokens" | "flop" | "computedHours" | "atLeast">;
const UNKNOWN: Work = { tokens: null, flop: null, computedHours: null, atLeast: false };

/** Hours of FLOPs at the plan's utilisation. */
function hoursOf(flop: number, { gpu, utilisation: { value, peak }, uptime }: TrainingInput): number | null {
  const rate = gpu?.peak[peak] ?? null;
  return rate === null ? null : gpuHours(flop, rate, value, uptime);
}

const textFlops = (text: NonNullable<Stage["text"]>, model: ModelCounts, numerator: Numerator): number =>
  text.reduce((total, { tokens, context }) => total + tokens * trainingFlops(model, context, numerator), 0);

function planText(text: NonNullable<Stage["text"]>, input: TrainingInput): Work {
  const flop = textFlops(text, input.model, input.utilisation.numerator);
  const tokens = text.reduce((total, part) => total + part.tokens, 0);
  return { tokens, flop, computedHours: hoursOf(flop, input), atLeast: false };
}

function planRl(rl: RlShape, input: TrainingInput): Work {
  const { model, gpu } = input;
  const flops = rlFlops(model, rl);
  const samples = rl.steps * rl.problems * rl.group;
  const rate = input.rollout ?? (gpu === null ? null : rolloutBound(model, gpu, rl));
  const sampling = rate === null ? null : (samples * rl.completion) / rate / SECONDS;
  return {
    tokens: samples * (rl.prompt + rl.completion),
    flop: flops.rollout + flops.scores + flops.training,
    computedHours: plus(sampling, hoursOf(flops.scores + flops.training, input)),
    atLeast: input.rollout === null,
  };
}

function utilisations(input: TrainingInput, stages: readonly PlannedStage[]): TrainingPlan["utilisations"] {
  const index = input.stages.findIndex(({ text }) => text !== undefined);
  const [text, hours, peak] = [input.stages[index]?.text, stages[index]?.hours ?? null, input.gpu?.peak];
  if (text === undefined || hours === null || peak === undefined) return [];
  const known = NUMERATORS.filter((one) => !one.endsWith("mtp") || input.model.mtp !== null);
  return known
    .filter((one) => one === "6nd" || input.model.details !== null)
    .map((numerator) => {
      const flop = textFlops(text, input.model, numerator);
      const of = (rate: number): number => utilisation(flop, hours, rate);
      return { numerator, flop, bf16: of(peak.bf16), fp8: peak.fp8 === null ? null : of(peak.fp8) };
    });
}

/** What the first stage trains on, and RL's longest rollouts. Longer sequences later are split over GPUs. */
function memoryInput({ stages, sequences }: TrainingInput): MemoryInput {
  const text = stages.find((stage) => stage.text !== undefined)?.text?.[0];
  const rl = stages.map((stage) => stage.rl).find((one) => one !== undefined && one !== null);
  const length = rl && rl.prompt + rl.completion;
  return {
    sequences,
    context: text?.context ?? length ?? null,
    rollouts: rl && length ? { samples: rl.problems * rl.group, tokens: length } : null,
  };
}

function sumKnown(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((a, b) => a + b, 0);
}

/** What is not known stays unknown: it is not zero. */
const plus = (a: number | null, b: number | null): number | null => (a === null || b === null ? null : a + b);
const times = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? null : a * b;
