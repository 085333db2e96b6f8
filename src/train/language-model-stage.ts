/** Pretraining and SFT: packed rows, weighted cross-entropy, one update after another. They differ in data alone. */

import {
  type DocumentSource,
  type PackedBatch,
  PackedExamples,
  type PackedExamplesState,
  PackedStream,
  type PackedStreamState,
} from "../data/packing.ts";
import type { Metrics } from "../events.ts";
import { sumWork, type Work, workSince } from "../ledger/work.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import { documentMask } from "../models/masks.ts";
import { f32, type HostValue } from "../runtime/session.ts";
import { ExpertLoads } from "./expert-load.ts";
import { type BatchShape, batchFeeds, languageModelLoss } from "./language-model.ts";
import { learningRates } from "./optimizer.ts";
import { type LanguageModelOptions, languageModelSteps } from "./options.ts";
import { Policy, type Trained } from "./policy.ts";
import { biasFactor, lrFactor } from "./schedule.ts";
import type {
  Model,
  StageContext,
  StageSnapshot,
  StepReport,
  TrainedAdapter,
  TrainingStage,
} from "./stage.ts";
import type { Rates } from "./step.ts";
import { furtherFeeds, furtherTokens, V3_FACTORS, v3Loss } from "./v3-loss.ts";

/** What a language model of this design is trained on, and which parameters that needs. */
export function trainedOn(
  config: ModelConfig,
  options: Pick<LanguageModelOptions, "batch" | "sequence" | "documentMask" | "recompute" | "v3"> &
    Partial<Pick<LanguageModelOptions, "kind">>,
): Trained {
  const { parameters, mtp } = modelOf(config);
  const shape: BatchShape = {
    batch: options.batch,
    seq: options.sequence,
    mask: options.documentMask ? "each" : "shared",
    recompute: options.recompute,
    padded: options.kind === "sft",
  };
  const routed = parameters.some(({ role }) => role === "routerBias");
  if (!routed && mtp === null) return { specs: parameters, loss: languageModelLoss(config, shape) };
  const factors = { ...V3_FACTORS, ...options.v3 };
  const specs = factors.mtpFactor > 0 ? [...parameters, ...(mtp?.parameters ?? [])] : parameters;
  return { specs, loss: v3Loss(config, shape, factors) };
}

interface State {
  done: number;
  /** Updates of the optimizer: a step that trains nothing makes none. Absent in checkpoints of older versions. */
  updates?: number;
  packing: PackedStreamState | PackedExamplesState;
}

export class LanguageModelStage implements TrainingStage {
  readonly totalSteps: number;
  done: number;
  private readonly options: LanguageModelOptions;
  private readonly policy: Policy;
  private readonly batches: PackedStream | PackedExamples;
  /** Tokens of the rows that were trained. */
  private trained = 0;

  private constructor(
    options: LanguageModelOptions,
    policy: Policy,
    batches: PackedStream | PackedExamples,
    done: number,
  ) {
    this.options = options;
    this.totalSteps = languageModelSteps(options);
    this.policy = policy;
    this.batches = batches;
    this.done = done;
  }

  static async create(
    model: Pick<Model, "config" | "parameters">,
    source: DocumentSource,
    options: LanguageModelOptions,
    context: StageContext,
    resume?: StageSnapshot,
  ): Promise<LanguageModelStage> {
    const { batch, sequence, accumulate } = options;
    const state = resume?.state as State | undefined;
    const policy = await Policy.create(
      trainedOn(model.config, options),
      model.parameters,
      { ...context, optimizer: options.optimizer, lora: options.lora, accumulate: accumulate > 1 },
      resume && { tensors: resume.tensors, updates: state?.updates ?? (state as State).done },
    );
    return new LanguageModelStage(
      options,
      policy,
      options.kind === "sft"
        ? new PackedExamples(source, batch, sequence, state?.packing as PackedExamplesState | undefined)
        : new PackedStream(source, batch, sequence, state?.packing as PackedStreamState | undefined),
      state?.done ?? 0,
    );
  }

  async advance(): Promise<StepReport> {
    const start = performance.now();
    const before = this.work();
    const { options } = this;
    const factor = lrFactor(options.schedule, this.done, this.totalSteps);
    const rates = {
      ...learningRates(options.optimizer, factor),
      biasRate: biasFactor(this.done, this.totalSteps) * (options.v3?.biasRate ?? V3_FACTORS.biasRate),
    };
    const micro = Array.from({ length: options.accumulate }, () => this.batches.next());
    const trained = micro.reduce((total, b) => total + b.trained, 0);
    // Without a trained token there is no update at all: decay and momentum would move the parameters blindly.
    const { loss, norm, measured } =
      trained === 0 ? { loss: null, norm: null, measured: {} } : await this.update(micro, trained, rates);
    this.done++;
    const seconds = (performance.now() - start) / 1000;
    const work = workSince(this.work(), before);
    const tokens = options.accumulate * options.batch * options.sequence;
    return {
      metrics: {
        loss,
        ...measured,
        "grad/norm": norm,
        rate: factor * options.optimizer.lr,
        tokens: this.done * tokens,
        "tokens-per-second": trained === 0 ? null : tokens / seconds,
        "flops-per-second": trained === 0 ? null : work.flops / seconds,
      },
      groups: [],
      notices:
        trained === 0
          ? ["No token of this step is trained: every document was longer than a row, or had no completion."]
          : [],
      ...work,
    };
  }

  private async update(
    micro: readonly PackedBatch[],
    trained: number,
    rates: Rates,
  ): Promise<{ loss: number; norm: number; measured: Metrics }> {
    const {
      options,
      policy: { step },
    } = this;
    let norm = 0;
    // The tokens that MTP is trained on are fewer and have a mean of their own: eq. 24 divides by all T tokens of a row that
    // is trained from end to end, which is the same but for its last one or two.
    const further = micro.reduce((total, batch) => total + furtherTokens(batch), 0);
    const sums: Record<string, number> = {};
    const loads = new ExpertLoads();
    for (const batch of micro) {
      const over = (tokens: number) => ({ ...batch, weights: batch.weights.map((w) => w / tokens) });
      const feeds = { ...batchFeeds(over(trained)), ...furtherFeeds(over(Math.max(1, further))) };
      if (options.documentMask) feeds.mask = documentMask(batch.documents, batch.batch, batch.seq);
      // Padding is of no document.
      const fed = Float32Array.from(batch.documents, (document) => (document < 0 ? 0 : 1));
      feeds.fed = f32(fed, [batch.batch, batch.seq]);
      const result = options.accumulate > 1 ? await step.accumulate(feeds) : await step.step(feeds, rates);
      this.trained += fed.reduce((total, one) => total + one, 0);
      norm = result.norm ?? 0;
      loads.add(step.vectors);
      // Losses carry the one denominator and add up; the balance counts a micro-batch by its trained tokens.
      for (const [name, value] of Object.entries(result)) {
        const share = name === "balance" ? (value * batch.trained) / trained : value;
        if (name !== "norm") sums[name] = (sums[name] ?? 0) + share;
      }
    }
    if (options.accumulate > 1) norm = (await step.applyUpdate(rates)).norm;
    await this.policy.merge();
    // The loss that all designs share is the cross-entropy; what is minimised may hold more.
    const { loss, "cross-entropy": entropy = loss, ...rest } = sums;
    const measured: Metrics = { ...rest, ...loads.metrics() };
    if ("mtp-cross-entropy" in rest && further === 0) measured["mtp-cross-entropy"] = null;
    return {
      loss: entropy,
      norm,
      measured: entropy === loss ? measured : { ...measured, "loss/total": loss },
    };
  }

  /** All that this stage has computed. */
  work(): Work {
    return sumWork({ flops: this.policy.flops, trained: this.trained });
  }

  parameters(): ReadonlyMap<string, HostValue> {
    return this.policy.parameters();
  }

  snapshot(): StageSnapshot {
    const { done, policy } = this;
    const state: State = { done, updates: policy.step.stepCount, packing: this.batches.snapshot() };
    return { tensors: this.policy.tensors(), state };
  }

  adapter(): TrainedAdapter | null {
    return this.policy.adapter();
  }

  async release(): Promise<void> {
    await this.policy.release();
  }
}
