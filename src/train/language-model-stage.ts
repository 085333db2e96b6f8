/** Pretraining and SFT, which differ in their data: packed rows, weighted cross-entropy, one update a step. */

import {
  type DocumentSource,
  type PackedBatch,
  PackedExamples,
  type PackedExamplesState,
  PackedStream,
  type PackedStreamState,
  type Packing,
} from "../data/packing.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import { documentMask } from "../models/masks.ts";
import { f32 } from "../runtime/value.ts";
import {
  type BatchShape,
  batchFeeds,
  languageModelLoss,
  mtpFeeds,
  mtpTokens,
  V3_FACTORS,
} from "./language-model.ts";
import { Meter } from "./meter.ts";
import { type LanguageModelOptions, languageModelSteps } from "./options.ts";
import { Policy, type Trained } from "./policy.ts";
import { biasFactor } from "./schedule.ts";
import type { Model, StageContext, StageSnapshot, StepResult } from "./stage.ts";
import type { Feeds, Rates } from "./step.ts";
import { TrainingStage } from "./training-stage.ts";

/** The loss of a model of this architecture, and the parameters that it trains. */
export function trainedOn(
  config: ModelConfig,
  options: Pick<LanguageModelOptions, "batch" | "sequence" | "documentMask" | "recompute" | "v3"> &
    Partial<Pick<LanguageModelOptions, "kind">>,
): Trained {
  const { parameters, mtp, loss } = modelOf(config);
  const shape: BatchShape = {
    batch: options.batch,
    seq: options.sequence,
    mask: options.documentMask ? "each" : "shared",
    recompute: options.recompute,
    padded: options.kind === "sft",
  };
  if (loss === null) return { specs: parameters, loss: languageModelLoss(config, shape) };
  const factors = { ...V3_FACTORS, ...options.v3 };
  const specs = factors.mtpFactor > 0 ? [...parameters, ...(mtp?.parameters ?? [])] : parameters;
  return { specs, loss: languageModelLoss(config, shape, factors) };
}

interface State {
  done: number;
  packing: unknown;
}

/** Pretraining or SFT: each step trains on packed rows of documents. */
export class LanguageModelStage extends TrainingStage {
  private readonly options: LanguageModelOptions;
  private readonly batches: Packing;

  private constructor(options: LanguageModelOptions, policy: Policy, batches: Packing, done?: number) {
    super(policy, options, languageModelSteps(options), done);
    this.options = options;
    this.batches = batches;
  }

  /**
   * Starts a stage, or continues one from its snapshot. `model.parameters` are taken over, not copied. @throws
   * UserError for an adapter's target that the model does not have
   */
  static async create(
    model: Pick<Model, "config" | "parameters">,
    source: DocumentSource,
    options: LanguageModelOptions,
    context: StageContext,
    resume?: StageSnapshot,
  ): Promise<LanguageModelStage> {
    const { kind, batch, sequence, optimizer, lora } = options;
    const state = resume?.state as State | undefined;
    const policy = await Policy.create(
      trainedOn(model.config, options),
      model.parameters,
      { ...context, optimizer, lora, accumulate: options.accumulate > 1 },
      resume,
    );
    const batches =
      kind === "sft"
        ? new PackedExamples(source, batch, sequence, state?.packing as PackedExamplesState | undefined)
        : new PackedStream(source, batch, sequence, state?.packing as PackedStreamState | undefined);
    return new LanguageModelStage(options, policy, batches, state?.done);
  }

  protected async step(rates: Rates): Promise<StepResult> {
    const start = performance.now();
    const { options } = this;
    const meter = new Meter(["loss", "grad/norm"]);
    const batches = Array.from({ length: options.accumulate }, () => this.batches.next());
    const trained = batches.reduce((total, batch) => total + batch.trained, 0);
    // Without a trained token there is no update at all: decay and momentum would move the parameters blindly.
    if (trained > 0) await this.update(batches, trained, rates, meter);
    const seconds = (performance.now() - start) / 1000;
    const tokens = options.accumulate * options.batch * options.sequence;
    return {
      metrics: {
        ...meter.metrics(),
        tokens: (this.done + 1) * tokens,
        "tokens-per-second": trained === 0 ? null : tokens / seconds,
      },
      groups: [],
      notices:
        trained === 0
          ? ["No token of this step is trained: every document was longer than a row, or had no completion."]
          : [],
    };
  }

  private async update(
    batches: readonly PackedBatch[],
    trained: number,
    rates: Rates,
    meter: Meter,
  ): Promise<void> {
    const { options, policy } = this;
    const biasRate = biasFactor(this.done, this.totalSteps) * (options.v3?.biasRate ?? V3_FACTORS.biasRate);
    // MTP has fewer targets, so its mean has another denominator. Eq. 24 divides by all T tokens of a fully trained row,
    // which has one or two targets less.
    const mtpTrained = batches.reduce((total, batch) => total + mtpTokens(batch), 0);
    const feeds = this.feeds(batches, trained, mtpTrained);
    const { norm, measured } = await policy.step.update(feeds, { ...rates, biasRate });
    await policy.merge();
    meter.mean("grad/norm", norm);
    for (const [i, { scalars, vectors }] of measured.entries()) {
      const { loss, "cross-entropy": crossEntropy, "mtp-cross-entropy": mtp, balance } = scalars;
      // All models have a cross-entropy; the loss that is minimised may have more terms. Both have one denominator.
      meter.sum("loss", crossEntropy ?? loss);
      if (crossEntropy !== undefined) meter.sum("loss/total", loss);
      if (mtp !== undefined && mtpTrained > 0) meter.sum("mtp-cross-entropy", mtp);
      else if (mtp !== undefined) meter.mean("mtp-cross-entropy", 0, 0);
      // A micro-batch's balance counts by its trained tokens.
      if (balance !== undefined) meter.mean("balance", balance * batches[i].trained, batches[i].trained);
      for (const [name, load] of vectors) meter.imbalance(`${name}/max-load`, load);
    }
  }

  private *feeds(batches: readonly PackedBatch[], trained: number, mtpTrained: number): Generator<Feeds> {
    for (const batch of batches) {
      const over = (tokens: number) => ({ ...batch, weights: batch.weights.map((w) => w / tokens) });
      // Padding belongs to no document.
      const fed = Float32Array.from(batch.documents, (document) => (document < 0 ? 0 : 1));
      const feeds: Feeds = {
        ...batchFeeds(over(trained)),
        ...mtpFeeds(over(Math.max(1, mtpTrained))),
        fed: f32(fed, [batch.batch, batch.seq]),
        ...(this.options.documentMask && { mask: documentMask(batch.documents, batch.batch, batch.seq) }),
      };
      yield feeds;
      this.trained += fed.reduce((total, one) => total + one, 0);
    }
  }

  protected state(): object {
    return { packing: this.batches.snapshot() };
  }
}
