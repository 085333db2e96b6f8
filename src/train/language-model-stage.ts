/** Pretraining and SFT: packed rows, weighted cross-entropy, one update after another. They differ in data alone. */
import { decoderParameters } from "../models/dense.ts";
import { documentMask } from "../models/masks.ts";
import type { Value } from "../runtime/session.ts";
import { type DocumentSource, type PackedBatch, PackedBatches, type PackingState } from "./data.ts";
import { batchFeeds, languageModelLoss } from "./language-model.ts";
import { rateFactor, type Schedule } from "./schedule.ts";
import {
  type Model,
  type StageSnapshot,
  type StepReport,
  snapshotTensors,
  type TrainingStage,
  tensorsUnder,
} from "./stage.ts";
import { type OptimizerOptions, type Rates, TrainStep } from "./step.ts";

export interface LanguageModelOptions {
  steps: number;
  /** Rows of a micro-batch, and micro-batches of an update. */
  batch: number;
  accumulate: number;
  /** Tokens a row. */
  sequence: number;
  documentMask: boolean;
  recompute: boolean;
  optimizer: OptimizerOptions;
  schedule: Schedule;
  threads?: number;
}

interface State {
  done: number;
  packing: PackingState;
}

export class LanguageModelStage implements TrainingStage {
  readonly totalSteps: number;
  done: number;
  private readonly options: LanguageModelOptions;
  private readonly step: TrainStep;
  private readonly batches: PackedBatches;
  private readonly flopsPerStep: number;

  private constructor(options: LanguageModelOptions, step: TrainStep, batches: PackedBatches, done: number) {
    this.options = options;
    this.totalSteps = options.steps;
    this.step = step;
    this.batches = batches;
    this.done = done;
    this.flopsPerStep = options.accumulate * step.flopsOf({});
  }

  static async create(
    model: Model,
    source: DocumentSource,
    options: LanguageModelOptions,
    resume?: StageSnapshot,
  ): Promise<LanguageModelStage> {
    const { batch, sequence, accumulate } = options;
    const state = resume?.state as State | undefined;
    const specs = decoderParameters(model.config);
    const loss = languageModelLoss(model.config, {
      batch,
      seq: sequence,
      mask: options.documentMask ? "each" : "shared",
      recompute: options.recompute,
    });
    const step = await TrainStep.create(specs, model.parameters, loss, options.optimizer, {
      threads: options.threads,
      accumulate: accumulate > 1,
      step: state?.done,
      moments: resume && tensorsUnder(resume.tensors, "optimizer."),
    });
    return new LanguageModelStage(
      options,
      step,
      new PackedBatches(source, batch, sequence, state?.packing),
      state?.done ?? 0,
    );
  }

  async advance(): Promise<StepReport> {
    const start = performance.now();
    const { options } = this;
    const factor = rateFactor(options.schedule, this.done, this.totalSteps);
    const rates = {
      rate: factor * (options.optimizer.adamRate ?? options.optimizer.rate),
      muonRate: factor * options.optimizer.rate,
    };
    const micro = Array.from({ length: options.accumulate }, () => this.batches.next());
    const trained = micro.reduce((total, b) => total + b.trained, 0);
    // Without a trained token there is no update at all: decay and momentum would move the parameters blindly.
    const { loss, norm } =
      trained === 0 ? { loss: null, norm: null } : await this.update(micro, trained, rates);
    this.done++;
    const seconds = (performance.now() - start) / 1000;
    const tokens = options.accumulate * options.batch * options.sequence;
    return {
      metrics: {
        loss,
        "grad/norm": norm,
        rate: options.optimizer.kind === "muon" ? rates.muonRate : rates.rate,
        tokens: this.done * tokens,
        "tokens-per-second": tokens / seconds,
        "flops-per-second": this.flopsPerStep / seconds,
      },
      groups: [],
      notices:
        trained === 0
          ? ["No token of this step is trained: every document was longer than a row, or had no completion."]
          : [],
      flops: this.flopsPerStep,
      tokens,
    };
  }

  private async update(
    micro: readonly PackedBatch[],
    trained: number,
    rates: Rates,
  ): Promise<{ loss: number; norm: number }> {
    const { options, step } = this;
    let loss = 0;
    let norm = 0;
    for (const batch of micro) {
      const feeds = batchFeeds({ ...batch, weights: batch.weights.map((w) => w / trained) });
      if (options.documentMask) feeds.mask = documentMask(batch.documents, batch.batch, batch.seq);
      const result = options.accumulate > 1 ? await step.accumulate(feeds) : await step.step(feeds, rates);
      loss += result.loss;
      norm = result.norm ?? 0;
    }
    if (options.accumulate > 1) norm = (await step.applyUpdate(rates)).norm;
    return { loss, norm };
  }

  parameters(): ReadonlyMap<string, Value> {
    return this.step.parameters();
  }

  snapshot(): StageSnapshot {
    const state: State = { done: this.done, packing: this.batches.snapshot() };
    return { tensors: snapshotTensors(this.step.parameters(), this.step.moments()), state };
  }

  async release(): Promise<void> {
    await this.step.release();
  }
}
