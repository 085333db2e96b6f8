/** What the thread that computes is asked for, and what it answers. All of it crosses threads as plain data. */
import type { LoraOptions } from "../../models/lora.ts";
import type { Sampling } from "../../sample/sampling.ts";
import type { LossOutput, OptimStep } from "../../train/trainer.ts";
import type { Pass } from "./data.ts";

/** Weights that are sampled from: a base model's, alone or with an adapter that has been kept under a name. */
export interface Weights {
  base: string;
  adapter: string | null;
}

/** Completions of one prompt. */
export interface PromptOrder {
  prompt: number[];
  count: number;
  /** As many as there is room for unless given. */
  maxNewTokens: number | null;
  seed: number;
  /** Log-probabilities of the last so many tokens of the prompt; 0 for none. */
  scored: number;
}

export interface SampledSequence {
  ids: number[];
  logProbs: number[];
  finish: "stop" | "length";
}

export interface PromptAnswer {
  sequences: SampledSequence[];
  /** Of each token of the prompt; NaN where it was not asked for, and of the first token. */
  promptLogProbs: Float32Array | null;
}

/** What ends a completion beside its length; `null`: the model's own stop tokens. */
export interface Stop {
  /** Whether the model's own stop tokens end it too. */
  own: boolean;
  ids: number[];
  texts: string[];
}

/** Which linear layers an adapter of a new model goes beside. */
export interface AdapterOrder {
  rank: number;
  attention: boolean;
  mlp: boolean;
  head: boolean;
}

export type Order =
  | { type: "create"; model: string; base: string; adapter: AdapterOrder; seed: number }
  | ({ type: "pass"; model: string; backward: boolean } & Pass)
  | { type: "update"; model: string; step: OptimStep }
  | { type: "save"; model: string; folder: string; state: boolean }
  /** A model as another one was saved; it is made where there is none of this name. */
  | { type: "load"; model: string; base: string; folder: string; optimizer: boolean }
  /** Keeps a copy of the model's adapter as it is now. */
  | { type: "keep"; model: string; adapter: string }
  /** Reads a saved adapter. */
  | { type: "open"; base: string; adapter: string; folder: string }
  | { type: "forget"; adapter: string }
  | { type: "unload"; model: string }
  | { type: "sample"; weights: Weights; sampling: Sampling; stop: Stop; prompts: PromptOrder[] };

/** What each order is answered with. */
export interface Answers {
  create: LoraOptions;
  pass: LossOutput;
  update: { norm: number };
  save: null;
  load: LoraOptions;
  keep: null;
  open: null;
  forget: null;
  unload: null;
  sample: PromptAnswer[];
}

export type OrderOf<Type extends Order["type"]> = Extract<Order, { type: Type }>;

/** Follows orders one after another, each sooner or later. */
export interface Compute {
  run<Type extends Order["type"]>(order: OrderOf<Type>): Promise<Answers[Type]>;
  close(): Promise<void>;
}
