/**
 * The systems that R1 is compared with, as far as anything is known of them; `null` is unknown. What Epoch AI estimates is
 * from "Data on notable AI models" (epoch.ai/data/ai-models, copy of July 2026, CC-BY 4.0).
 */
import { usageError } from "../../lib/errors.ts";
import { nearest } from "../../recipe/spelling.ts";
import type { Numerator, Utilisation } from "./costs.ts";
import type { GpuName, PeakType } from "./gpus.ts";
import { estimated, type Figure, measured, published } from "./sources.ts";

type Known<T = Figure> = T | null;

/** One price of a system: what the dollars are of, and who says so. In words where the source gives no number. */
export interface Dollars {
  method: "rented" | "amortised" | "bought" | "stated";
  amount: Figure | (Omit<Figure, "value"> & { words: string });
}

/** A part of a training. A system with stages has parameters and active ones. */
export interface SystemStage {
  name: string;
  /** Tokens read at sequences of so many tokens. */
  text?: readonly { tokens: Figure; context: number }[];
  /** Steps of RL: problems, completions of each, tokens of a completion. */
  rl?: { steps: Figure; problems: Known; group: Figure | null; completion: Known };
  gpuHours: Known;
}

export interface System {
  title: string;
  released: string;
  /** Its `config.json`, where this program has the design. */
  shape: Readonly<Record<string, unknown>> | null;
  parameters: Known;
  /** Parameters that one token uses. */
  active: Known;
  tokens: Known;
  /** Of the whole training, as somebody else counts it. */
  flop: Known;
  gpu: Known<Omit<Figure, "value"> & { name: GpuName }>;
  gpus: Known;
  gpuHours: Known;
  utilisation: Known<Figure & Utilisation & { peak: PeakType }>;
  /** Share of the hours in which the training moves on. */
  uptime: Known;
  /** Tokens a second that one GPU samples. */
  rollout: Known;
  dollars: readonly Dollars[];
  stages: readonly SystemStage[];
  /** What it was trained from, which is not in its own figures. */
  base?: string;
}

const reached = (figure: Figure, numerator: Numerator, peak: PeakType = "bf16") => ({
  ...figure,
  ...{ numerator, peak },
});

/** A pretraining at sequences of one length. */
const pretraining = (tokens: Figure, context: number, gpuHours: Known = null): SystemStage => ({
  name: "pretraining",
  text: [{ tokens, context }],
  gpuHours,
});

const nothing: Omit<System, "title" | "released"> = {
  ...{ shape: null, parameters: null, active: null, tokens: null, flop: null },
  ...{ gpu: null, gpus: null, gpuHours: null, utilisation: null, uptime: null, rollout: null },
  ...{ dollars: [], stages: [] },
};

const llama = (sizes: Record<string, number>): Record<string, unknown> => ({
  model_type: "llama",
  num_key_value_heads: 8,
  max_position_embeddings: 16_384,
  ...sizes,
});

const V3_SHAPE = { model_type: "deepseek_v3", num_nextn_predict_layers: 1, max_position_embeddings: 163_840 };
const V3_CLUSTER = {
  shape: V3_SHAPE,
  parameters: published(671e9, "v3"),
  active: published(37e9, "v3"),
  gpu: { name: "H800", source: "v3", firmness: "published" },
  utilisation: reached(measured(0.3894, "isca", "43.73 % with the full square of attention"), "causal"),
  rollout: measured(1850, "service", "14.8 thousand output tokens a second on a server of 8 GPUs"),
} as const;

export const systems = {
  "deepseek-llm": {
    ...nothing,
    title: "DeepSeek LLM 67B",
    released: "2023-11-29",
    shape: llama({
      ...{ vocab_size: 102_400, hidden_size: 8192, intermediate_size: 22_016 },
      ...{ num_hidden_layers: 95, num_attention_heads: 64 },
    }),
    parameters: published(67e9, "llm"),
    active: published(67e9, "llm"),
    tokens: published(2e12, "llm"),
    gpu: { name: "H800", source: "v2", firmness: "published" },
    gpuHours: measured(601_200, "v2", "300.6 thousand hours a trillion tokens"),
    stages: [
      pretraining(
        published(2e12, "llm"),
        4096,
        measured(601_200, "v2", "300.6 thousand hours a trillion tokens"),
      ),
    ],
  },
  "deepseek-coder": {
    ...nothing,
    title: "DeepSeek-Coder 33B",
    released: "2023-11-02",
    shape: llama({
      ...{ vocab_size: 32_256, hidden_size: 7168, intermediate_size: 19_200 },
      ...{ num_hidden_layers: 62, num_attention_heads: 56 },
    }),
    parameters: published(33e9, "coder"),
    active: published(33e9, "coder"),
    tokens: published(2e12, "coder"),
    stages: [
      {
        name: "pretraining",
        text: [
          { tokens: published(1.8e12, "coder"), context: 4096 },
          { tokens: published(0.2e12, "coder"), context: 16_384 },
        ],
        gpuHours: null,
      },
    ],
  },
  "deepseek-v3": {
    ...nothing,
    ...V3_CLUSTER,
    title: "DeepSeek-V3",
    released: "2024-12-26",
    tokens: published(14.8e12, "v3"),
    flop: estimated(3.3e24, "epoch", "6ND of the pretraining, and 1e22 after it"),
    gpus: published(2048, "v3"),
    gpuHours: measured(2_788_000, "v3"),
    dollars: [
      {
        method: "rented",
        amount: published(5_576_000, "v3", "at an assumed $2, without research"),
      },
    ],
    stages: [
      pretraining(published(14.8e12, "v3"), 4096, measured(2_664_000, "v3")),
      {
        name: "context extension",
        text: [
          {
            tokens: published(1000 * 1920 * 32_768, "v3", "1,000 steps of 1,920 sequences"),
            context: 32_768,
          },
          { tokens: published(1000 * 480 * 131_072, "v3", "1,000 steps of 480 sequences"), context: 131_072 },
        ],
        gpuHours: measured(119_000, "v3"),
      },
      { name: "post-training", gpuHours: measured(5000, "v3") },
    ],
  },
  "deepseek-r1": {
    ...nothing,
    ...V3_CLUSTER,
    title: "DeepSeek-R1",
    released: "2025-01-20",
    flop: estimated(1.83e23, "epoch", "its hours at V3's utilisation, without V3"),
    gpus: published(512, "r1"),
    gpuHours: measured(147_000, "r1"),
    dollars: [
      {
        method: "rented",
        amount: published(294_000, "r1", "at an assumed $2, without V3 and trials"),
      },
    ],
    stages: [
      {
        name: "R1-Zero",
        rl: {
          steps: published(10_400, "r1"),
          problems: published(32, "r1"),
          group: published(16, "r1"),
          completion: null,
        },
        gpuHours: measured(101_000, "r1", "512 GPUs for 198 hours"),
      },
      { name: "SFT data", gpuHours: measured(5000, "r1", "800 thousand samples") },
      {
        name: "R1",
        rl: {
          steps: published(1700, "r1", "of the second RL alone"),
          problems: null,
          group: null,
          completion: null,
        },
        gpuHours: measured(41_000, "r1", "512 GPUs for about 80 hours"),
      },
    ],
    base: "deepseek-v3",
  },
  "deepseek-v4-pro": {
    ...nothing,
    title: "DeepSeek-V4-Pro",
    released: "2026-04-24",
    parameters: published(1.6e12, "v4"),
    active: published(49e9, "v4"),
    tokens: published(33e12, "v4"),
    flop: estimated(9.702e24, "epoch", "6ND"),
    stages: [pretraining(published(33e12, "v4"), 4096)],
  },
  "deepseek-v4-flash": {
    ...nothing,
    title: "DeepSeek-V4-Flash",
    released: "2026-04-24",
    parameters: published(284e9, "v4"),
    active: published(13e9, "v4"),
    tokens: published(32e12, "v4"),
    flop: estimated(2.496e24, "epoch", "6ND"),
    stages: [pretraining(published(32e12, "v4"), 4096)],
  },
  "deepseek-v4.1-flash": {
    ...nothing,
    title: "DeepSeek-V4.1-Flash",
    released: "2026-09-10",
    parameters: published(748e9, "v41", "196 of them in tables of n-grams"),
    active: published(16e9, "v41", "8 billion for a prompt"),
    tokens: published(45e12, "v41"),
    stages: [pretraining(published(45e12, "v41"), 65_536)],
  },
  "gpt-3": {
    ...nothing,
    title: "GPT-3 175B",
    released: "2020-05-28",
    parameters: published(174.6e9, "gpt3"),
    active: published(174.6e9, "gpt3"),
    tokens: published(300e9, "gpt3"),
    flop: published(3.14e23, "gpt3"),
    gpu: { name: "V100", source: "gpt3", firmness: "published" },
    gpus: estimated(10_000, "epoch"),
    utilisation: reached(estimated(0.1966, "epoch"), "6nd"),
    dollars: [
      { method: "amortised", amount: estimated(2_116_866, "epoch", "in dollars of 2023") },
      { method: "rented", amount: estimated(4_493_220, "epoch", "in dollars of 2023") },
    ],
    stages: [pretraining(published(300e9, "gpt3"), 2048)],
  },
  "gpt-4": {
    ...nothing,
    title: "GPT-4",
    released: "2023-03-14",
    parameters: estimated(1.8e12, "leak"),
    active: estimated(280e9, "leak"),
    tokens: estimated(13e12, "leak"),
    flop: estimated(2.1e25, "epoch", "90 % interval 8.2e24 to 4.4e25"),
    gpu: { name: "A100-40", source: "leak", firmness: "estimated" },
    gpus: estimated(25_000, "leak"),
    utilisation: reached(estimated(0.34, "leak", "32 to 36 %"), "6nd"),
    dollars: [
      { method: "amortised", amount: estimated(40_700_000, "epochCosts", "68.8 M in its version of 2026") },
      { method: "rented", amount: estimated(78_400_000, "aiIndex") },
      { method: "bought", amount: estimated(778_000_000, "epochCosts") },
      {
        method: "stated",
        amount: {
          words: "more than $100 M",
          source: "altman",
          firmness: "published",
          note: "scope unknown",
        },
      },
    ],
    stages: [pretraining(estimated(13e12, "leak"), 8192)],
  },
  "gemini-ultra": {
    ...nothing,
    title: "Gemini 1.0 Ultra",
    released: "2023-12-06",
    flop: estimated(5e25, "epoch", "from benchmarks and guesses"),
    gpu: { name: "TPU-v4", source: "epoch", firmness: "estimated" },
    gpus: estimated(57_000, "epoch"),
    gpuHours: estimated(57_000 * 2400, "epoch", "57,000 chips for 2,400 hours"),
    dollars: [
      { method: "amortised", amount: estimated(30_719_420, "epoch", "in dollars of 2023") },
      { method: "rented", amount: estimated(191_000_000, "aiIndex") },
      { method: "bought", amount: estimated(598_000_000, "epochCosts") },
    ],
  },
  "claude-3.5-sonnet": {
    ...nothing,
    title: "Claude 3.5 Sonnet",
    released: "2024-06-20",
    flop: estimated(2.7e25, "epoch", "from the stated dollars"),
    dollars: [
      {
        method: "stated",
        amount: { words: "a few $10M's", source: "amodei", firmness: "published" },
      },
    ],
  },
  "grok-3": {
    ...nothing,
    title: "Grok 3, on Colossus",
    released: "2025-02-17",
    parameters: estimated(3e12, "epoch"),
    flop: estimated(3.5e26, "epoch", "80,000 H100 for three months"),
    gpu: { name: "H100", source: "colossus", firmness: "published" },
    gpus: estimated(80_000, "epoch", "of 100,000 in Colossus in 2024"),
    gpuHours: estimated(80_000 * 2160, "epoch", "80,000 H100 for 2,160 hours"),
    dollars: [
      { method: "amortised", amount: estimated(217_835_546, "epoch", "in dollars of 2023") },
      { method: "rented", amount: estimated(849_737_164, "epoch", "in dollars of 2023") },
      { method: "bought", amount: estimated(4_446_013_317, "epoch", "in dollars of 2023") },
    ],
  },
  "llama-3.1-405b": {
    ...nothing,
    title: "Llama 3.1 405B",
    released: "2024-07-23",
    shape: llama({
      ...{ vocab_size: 128_256, hidden_size: 16_384, intermediate_size: 53_248 },
      ...{ num_hidden_layers: 126, num_attention_heads: 128, max_position_embeddings: 131_072 },
    }),
    parameters: published(405e9, "llama3"),
    active: published(405e9, "llama3"),
    tokens: published(15.6e12, "llama3"),
    flop: published(3.8e25, "llama3"),
    gpu: { name: "H100", source: "llama3", firmness: "published" },
    gpus: published(16_384, "llama3"),
    gpuHours: measured(30_840_000, "llama3Card"),
    utilisation: reached(measured(0.404, "llama3", "400 TFLOP/s; the paper says 41 %"), "causal"),
    uptime: measured(0.9, "llama3", "the paper says: higher than 90 %"),
    dollars: [
      { method: "amortised", amount: estimated(52_885_434, "epoch", "73.4 M in its version of 2026") },
      { method: "rented", amount: estimated(175_966_627, "epoch") },
      { method: "bought", amount: estimated(928_433_368, "epoch") },
    ],
    stages: [pretraining(published(15.6e12, "llama3"), 8192, measured(30_840_000, "llama3Card"))],
  },
} as const satisfies Record<string, System>;

export type SystemName = keyof typeof systems;

/** The preset of this name. @throws UserError that names the nearest one */
export function systemNamed(word: string): System {
  const name = word.toLowerCase();
  if (Object.hasOwn(systems, name)) return systems[name as SystemName];
  const names = Object.keys(systems);
  const near = nearest(name, names);
  throw usageError(
    `"${word}" is no preset, no recipe and no folder or file with a config.json.`,
    `${near === null ? "" : `Did you mean ${near}? `}Presets: ${names.join(", ")}.`,
  );
}
