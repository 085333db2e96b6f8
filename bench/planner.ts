/** The planner against published figures whose inputs are published too: every row computes, and none repeats what it is compared with. */
import { fromHuggingFace } from "../src/models/architectures.ts";
import { trainingFlops, utilisation } from "../src/plan/scale/costs.ts";
import { countModel } from "../src/plan/scale/counts.ts";
import { gpus } from "../src/plan/scale/gpus.ts";
import { choosePlan } from "../src/plan/scale/input.ts";
import { systems } from "../src/plan/scale/systems.ts";
import { planTraining } from "../src/plan/scale/training.ts";
import type { Row } from "./rows.ts";

const MOST = 0.02;

interface Check {
  name: string;
  ours: number;
  published: number;
  inputs: string;
}

export async function benchPlanner(): Promise<Row[]> {
  const checks = [...v3(), ...r1(), ...llama(), ...gpt3(), ...service()];
  const rows = checks.map(({ name, ours, published, inputs }): Row => {
    const figure = (value: number): string => value.toPrecision(5);
    const note = `${figure(ours)} here, ${figure(published)} published; from ${inputs}`;
    return {
      name: `planner/${name}`,
      value: Math.abs(ours / published - 1),
      unit: "off",
      atMost: MOST,
      note,
    };
  });
  const worst = rows.reduce((a, b) => (b.value > a.value ? b : a));
  return [
    {
      name: "planner/worst-error",
      value: worst.value,
      unit: "off",
      atMost: MOST,
      note: `of ${rows.length}: ${worst.name}`,
    },
    ...rows,
    ...notPredicted(),
  ];
}

const { H800, H100 } = gpus;
const DOLLARS = H800.rents[0].value;

/** DeepSeek-V3 (arXiv 2412.19437, table 1) and its throughput (arXiv 2505.09343, tables 2 and 4). */
function v3(): Check[] {
  const system = systems["deepseek-v3"];
  const model = countModel(fromHuggingFace(system.shape));
  const withoutMtp = countModel(fromHuggingFace({ ...system.shape, num_nextn_predict_layers: 0 }));
  const [causal, full] = (["causal", "full"] as const).map((numerator) =>
    trainingFlops(model, 4096, numerator),
  );
  const day = 272.8e9;
  const mfu = (flops: number): number => utilisation(day * flops, 2048 * 24, H800.peak.bf16);
  const { stages } = plan("deepseek-v3", { mfu: 0.3894, numerator: "causal", gpus: 2048 });
  const hours = stages[0].computedHours ?? Number.NaN;
  return [
    { name: "v3-parameters", ours: withoutMtp.parameters, published: 671e9, inputs: "the shape" },
    { name: "v3-active", ours: model.active, published: 37e9, inputs: "the shape" },
    { name: "v3-flop-a-token", ours: causal, published: 250e9, inputs: "the traced graph at 4,096 tokens" },
    {
      name: "v3-mfu-causal",
      ours: mfu(causal),
      published: 0.3894,
      inputs: "272.8 B tokens a day on 2,048 H800",
    },
    { name: "v3-mfu-full", ours: mfu(full), published: 0.4373, inputs: "the same" },
    {
      name: "v3-pretraining-hours",
      ours: hours,
      published: 2_664_000,
      inputs: "14.8 T tokens and MFU 38.94 %, measured in another paper",
    },
    {
      name: "v3-pretraining-dollars",
      ours: hours * DOLLARS,
      published: 5_328_000,
      inputs: "these hours and $2",
    },
    {
      name: "v3-context-dollars",
      ours: 119_000 * DOLLARS,
      published: 238_000,
      inputs: "the published hours and $2 alone",
    },
    {
      name: "v3-post-training-dollars",
      ours: 5000 * DOLLARS,
      published: 10_000,
      inputs: "the published hours and $2 alone",
    },
    {
      name: "v3-dollars",
      ours: (hours + 119_000 + 5000) * DOLLARS,
      published: 5_576_000,
      inputs: "computed pretraining, published hours of the rest",
    },
  ];
}

/** DeepSeek-R1 (arXiv 2501.12948 v2, table 7): 512 GPUs for 198 and 80 hours, and 5 thousand hours for data. */
function r1(): Check[] {
  const [zero, rl, data] = [512 * 198, 512 * 80, 5000];
  return [
    { name: "r1-zero-hours", ours: zero, published: 101_000, inputs: "512 GPUs for 198 hours" },
    { name: "r1-rl-hours", ours: rl, published: 41_000, inputs: "512 GPUs for 80 hours" },
    {
      name: "r1-dollars",
      ours: (zero + rl + data) * DOLLARS,
      published: 294_000,
      inputs: "these, 5,000 hours of data, $2",
    },
  ];
}

/** Llama 3.1 405B (arXiv 2407.21783, tables 3 and 4, and its model card). */
function llama(): Check[] {
  const model = countModel(fromHuggingFace(systems["llama-3.1-405b"].shape));
  const { stages } = plan("llama-3.1-405b", {
    mfu: 400e12 / H100.peak.bf16,
    numerator: "causal",
    uptime: 0.9,
  });
  const mfu = (tera: number, published: number): Check => ({
    name: `llama-mfu-${tera}`,
    ours: (tera * 1e12) / H100.peak.bf16,
    published,
    inputs: `${tera} TFLOP/s a GPU and the peak alone`,
  });
  return [
    { name: "llama-parameters", ours: model.parameters, published: 405e9, inputs: "the shape" },
    {
      name: "llama-cache-bytes",
      ours: 2 * (model.details?.cache ?? Number.NaN),
      published: 516e3,
      inputs: "the shape, BF16",
    },
    {
      name: "llama-flop",
      ours: 15.6e12 * trainingFlops(model, 8192, "6nd"),
      published: 3.8e25,
      inputs: "6 x counted parameters x 15.6 T tokens",
    },
    ...[mfu(430, 0.43), mfu(400, 0.41), mfu(380, 0.38)],
    {
      name: "llama-hours",
      ours: stages[0].computedHours ?? Number.NaN,
      published: 30_840_000,
      inputs:
        "15.6 T tokens at 8,192, causal attention, 400 TFLOP/s a GPU, 90 % uptime (published as: higher than)",
    },
  ];
}

/** GPT-3 (arXiv 2005.14165, tables 2.1 and D.1), whose design is not among ours: 12 l d² + 13 l d + (V + T + 2) d parameters. */
function gpt3(): Check[] {
  const [layers, width, vocabulary, positions] = [96, 12_288, 50_257, 2048];
  const parameters = 12 * layers * width ** 2 + 13 * layers * width + (vocabulary + positions + 2) * width;
  return [
    { name: "gpt3-parameters", ours: parameters, published: 174.6e9, inputs: "96 layers of 12,288" },
    {
      name: "gpt3-flop",
      ours: 6 * parameters * 300e9,
      published: 3.14e23,
      inputs: "6 x these x 300 B tokens",
    },
  ];
}

/** DeepSeek's service on 2025-02-27 (open-infra-index, day 6), at its own prices of R1. */
function service(): Check[] {
  const [read, cached, written] = [608e9, 342e9, 168e9];
  const income = (cached * 0.14 + (read - cached) * 0.55 + written * 2.19) / 1e6;
  return [
    {
      name: "service-dollars",
      ours: 226.75 * 8 * 24 * DOLLARS,
      published: 87_072,
      inputs: "226.75 nodes of 8, 24 hours, $2",
    },
    {
      name: "service-income",
      ours: income,
      published: 562_027,
      inputs: "608 B tokens in, 342 B of them cached, 168 B out",
    },
  ];
}

/** Published hours that do not follow from published inputs: what the planner says of them, over what is published. */
function notPredicted(): Row[] {
  const { stages } = plan("deepseek-v3", {});
  const zero = plan("deepseek-r1", { completionTokens: 8000 }).stages[0];
  const ratio = (name: string, ours: number | null, published: number, note: string): Row => ({
    name: `planner/${name}`,
    value: (ours ?? Number.NaN) / published,
    unit: "x published",
    note,
  });
  return [
    ratio(
      "v3-context-hours",
      stages[1].computedHours,
      119_000,
      "its utilisation is not published; pretraining's is too high",
    ),
    ratio(
      "r1-zero-hours-by-rate",
      zero.computedHours,
      101_000,
      "8,000 tokens a completion are a guess, 1,850 tokens/s are the service's: a bound",
    ),
  ];
}

function plan(name: string, options: Parameters<typeof choosePlan>[1]) {
  const { input } = choosePlan(name, options);
  if (input === null) throw new Error(`${name} cannot be planned`);
  return planTraining(input);
}
