/**
 * The verbs of training: `forwardBackward` adds the gradients of data under a loss, `optimStep` moves the parameters,
 * `sample` asks the current model, `saveState` and `loadState` keep all of it. Tinker made these verbs common ground; the
 * stages here run on the same programs, `TrainStep` and `Sampler`.
 */
import { loadCheckpoint, saveCheckpoint } from "../checkpoint/resume.ts";
import { asValues, readParameters } from "../checkpoint/values.ts";
import { UserError } from "../lib/errors.ts";
import { modelOf } from "../models/architectures.ts";
import type { LoraOptions } from "../models/lora.ts";
import { Engine } from "../runtime/engine.ts";
import { allocate, type Value } from "../runtime/value.ts";
import type { Generation } from "../sample/requests.ts";
import { Sampler } from "../sample/sampler.ts";
import type { Sampling } from "../sample/sampling.ts";
import { checkData, type Datum, dataBatches } from "./datum.ts";
import { type LossName, losses, PER_TOKEN, type TokenLoss, tokenLoss } from "./losses.ts";
import { type Optimizer, optimizerSchema } from "./optimizer.ts";
import { copyParameters, Policy, type Trained, withAdapter } from "./policy.ts";
import type { Model, TrainedAdapter } from "./stage.ts";
import type { Feeds, Measured } from "./step.ts";
import type { BuildLoss } from "./trace-step.ts";

/** What is trained of the model, and what computes. */
export interface TrainerOptions {
  /** Train an adapter (2106.09685) and freeze the model's weights, which several trainers may share. */
  lora?: Partial<LoraOptions> & Pick<LoraOptions, "rank">;
  /** Draws the adapter; default 0. */
  seed?: number;
  /** Default: one with as many threads as this process has cores. */
  engine?: Engine;
}

/** What a loss gave. */
export interface LossOutput {
  /** The sum over all tokens. */
  loss: number;
  /** log π of each target, for each datum. */
  logProbs: Float32Array[];
  /** Each token's part in the loss, for each datum. */
  tokenLosses: Float32Array[];
}

/** AdamW's settings of one update (arXiv 1711.05101); all but the learning rate have the defaults of a recipe. */
export type OptimStep = Pick<Optimizer, "lr"> &
  Partial<Pick<Optimizer, "betas" | "epsilon" | "weightDecay" | "clip">>;

/** Which completions are wanted; temperature 1 unless given. */
export interface SampleOptions extends Partial<Sampling> {
  maxNewTokens: number;
  /** Completions; default 1. */
  count?: number;
  /** Equal seeds give equal completions of equal parameters; default 0. */
  seed?: number;
  /** Ids that end a completion; default: those of the model's tokenizer. */
  stopIds?: ReadonlySet<number>;
}

interface SavedState {
  updates: number;
  lora: LoraOptions | null;
}

/** A model in training. Calls may follow one another without waiting: they are computed in their order. */
export class Trainer {
  private readonly model: Model;
  private readonly lora: LoraOptions | undefined;
  private readonly engine: Engine;
  private readonly policy: Policy;
  private sampler: Sampler | null = null;
  /** Whether the policy's parameters have the adapter of the last update. */
  private merged: boolean;
  /** Graph parts of losses, by their settings. */
  private readonly losses = new Map<TokenLoss, Map<string, BuildLoss>>();
  private last: Promise<unknown> = Promise.resolve();

  private constructor(
    model: Model,
    policy: Policy,
    { lora, engine }: { lora: LoraOptions | undefined; engine: Engine },
  ) {
    this.model = model;
    this.policy = policy;
    this.lora = lora;
    this.merged = lora === undefined;
    this.engine = engine;
  }

  /**
   * Starts from a model. Without an adapter its parameters are copied.
   * @throws UserError for an adapter's target that the model does not have
   */
  static async create(model: Model, options: TrainerOptions = {}): Promise<Trainer> {
    const { seed = 0, engine = new Engine() } = options;
    const lora = options.lora && { alpha: options.lora.rank, targets: [], ...options.lora };
    const trained: Trained = {
      specs: modelOf(model.config).parameters,
      loss: tokenLoss(model.config, losses.cross_entropy, {}),
    };
    const parameters = lora === undefined ? copyParameters(model.parameters) : model.parameters;
    const optimizer = adamW({ lr: 1 });
    const policy = await Policy.create(trained, parameters, {
      optimizer,
      lora,
      ...{ accumulate: true, mergeLater: true },
      seed,
      engine,
    });
    return new Trainer(model, policy, { lora, engine });
  }

  /**
   * Adds the gradients of the data under a loss to those of the coming update.
   * @param loss a name, or a loss of one's own; `settings` replace its defaults
   * @throws UserError "input" for data that the model or the loss cannot take, and for an unknown setting, before anything
   *   is computed; "non-finite" where the loss is not a number, and then the gradients since the last update are dropped
   */
  forwardBackward(
    data: readonly Datum[],
    loss: LossName | TokenLoss,
    settings: Readonly<Record<string, number>> = {},
  ): Promise<LossOutput> {
    const { step } = this.policy;
    return this.compute(data, loss, settings, (feeds, traced) =>
      step.forwardBackward(feeds, traced).catch((error) => {
        step.dropGradients();
        throw error;
      }),
    );
  }

  /** The same without gradients. */
  forward(
    data: readonly Datum[],
    loss: LossName | TokenLoss,
    settings: Readonly<Record<string, number>> = {},
  ): Promise<LossOutput> {
    return this.compute(data, loss, settings, (feeds, traced) => this.policy.step.forward(feeds, traced));
  }

  /**
   * Updates the parameters by the gradients of all data since the last update.
   * @returns the gradient's norm before clipping
   * @throws UserError "input" where there is no data, and for settings out of range
   */
  optimStep(options: OptimStep): Promise<{ norm: number }> {
    return this.inOrder(async () => {
      const optimizer = adamW(options);
      const { step } = this.policy;
      if (step.batches === 0)
        throw new UserError({
          kind: "input",
          what: "There are no gradients to update by",
          remedy: "Call forwardBackward first.",
        });
      const norm = await step.optimStep({ lr: optimizer.lr, muonLr: 0 }, optimizer);
      this.merged = false;
      return { norm };
    });
  }

  /**
   * Completions of a prompt by the current parameters.
   * @param prompt ids, at least one
   * @throws UserError "generation" where the model cannot answer
   */
  async sample(prompt: readonly number[], options: SampleOptions): Promise<Generation[]> {
    return (await this.sampleEach([prompt], options))[0];
  }

  /** The same for several prompts, decoded together: one group of completions for each. */
  sampleEach(prompts: readonly (readonly number[])[], options: SampleOptions): Promise<Generation[][]> {
    const { maxNewTokens, count = 1, seed = 0, temperature = 1, topP, topK } = options;
    const { stopIds = this.model.tokenizer.stopIds } = options;
    return this.inOrder(async () => {
      this.sampler ??= await Sampler.create(this.model.config, this.engine);
      const requests = prompts.flatMap((prompt, index) =>
        Array.from({ length: count }, (_, i) => ({ prompt, maxNewTokens, key: [seed, "sample", index, i] })),
      );
      const generate = this.sampler.with(await this.current());
      const { generations } = await generate(requests, { sampling: { temperature, topP, topK }, stopIds });
      this.sampler.forget();
      return prompts.map((_, index) => generations.slice(index * count, (index + 1) * count));
    });
  }

  /** Copies of the current model's parameters, with the adapter merged in. */
  parameters(): Promise<ReadonlyMap<string, Value>> {
    return this.inOrder(async () => copyParameters(await this.current()));
  }

  /** A copy of the adapter, under PEFT's names; `null` where all parameters are trained. */
  adapter(): Promise<TrainedAdapter | null> {
    return this.inOrder(async () => {
      const adapter = this.policy.adapter();
      return adapter && { ...adapter, tensors: copyParameters(adapter.tensors) };
    });
  }

  /**
   * Saves the trained parameters, the optimizer's moments and the number of updates, in one piece or not at all. Gradients
   * since the last update are no part of it.
   * @param folder of all states: this one is a folder in it, named after the number of updates
   * @returns the path of the state, for `loadState`
   */
  saveState(folder: string): Promise<string> {
    return this.inOrder(async () => {
      const { step } = this.policy;
      const state: SavedState = { updates: step.stepCount, lora: this.lora ?? null };
      const tensors = await readParameters(new Map([...step.trainedParameters(), ...step.moments()]));
      return saveCheckpoint(folder, step.stepCount, { tensors, state });
    });
  }

  /**
   * Continues from a state that `saveState` wrote, with or without the optimizer's part of it.
   * @throws UserError "checkpoint" if it is damaged or belongs to another model or adapter; the trainer is as before
   */
  loadState(path: string, { optimizer = true }: { optimizer?: boolean } = {}): Promise<void> {
    return this.inOrder(async () => {
      const { state, tensors } = loadCheckpoint(path);
      const { updates } = state as SavedState;
      const { step } = this.policy;
      const values = asValues(tensors);
      if (!optimizer)
        for (const [name, { shape }] of step.moments()) values.set(name, allocate("f32", shape));
      try {
        step.restore(values, optimizer ? updates : 0);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        throw new UserError({
          kind: "checkpoint",
          where: path,
          what: `it belongs to another model or adapter: ${error.message}`,
          remedy: "Make the trainer as the one that saved it.",
        });
      }
      this.merged = false;
    });
  }

  /** Frees all memory. */
  async release(): Promise<void> {
    await this.inOrder(async () => {
      await this.policy.release();
      await this.sampler?.release();
    });
  }

  /** One call after another. A call that fails leaves the next ones as they are. */
  private inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work);
    this.last = result.catch(() => {});
    return result;
  }

  /** The model's parameters as they are now; valid until the next update. */
  private async current(): Promise<ReadonlyMap<string, Value>> {
    if (!this.merged) await this.policy.merge();
    this.merged = true;
    return this.policy.parameters();
  }

  private compute(
    data: readonly Datum[],
    loss: LossName | TokenLoss,
    settings: Readonly<Record<string, number>>,
    run: (feeds: Feeds, traced: BuildLoss) => Promise<Measured>,
  ): Promise<LossOutput> {
    return this.inOrder(async () => {
      const { config } = this.model;
      const chosen = this.lossOf(loss);
      const traced = this.traced(chosen, settings);
      checkData(data, config, chosen.inputs);
      const output: LossOutput = {
        loss: 0,
        logProbs: new Array(data.length),
        tokenLosses: new Array(data.length),
      };
      for (const { rows, seq, feeds } of dataBatches(data, config, chosen.inputs)) {
        const { scalars, vectors } = await run(feeds, traced);
        output.loss += scalars.loss;
        rows.forEach((index, row) => {
          const part = (name: string) =>
            vectors.get(name)!.slice(row * seq, row * seq + data[index].tokens.length);
          output.logProbs[index] = part(PER_TOKEN.logProbs);
          output.tokenLosses[index] = part(PER_TOKEN.loss);
        });
      }
      return output;
    });
  }

  private lossOf(loss: LossName | TokenLoss): TokenLoss {
    if (typeof loss !== "string") return loss;
    if (Object.hasOwn(losses, loss)) return losses[loss] as TokenLoss;
    throw new UserError({
      kind: "input",
      where: "loss",
      expected: `one of ${Object.keys(losses).join(", ")}, or an object of defineLoss`,
      found: `"${loss}"`,
    });
  }

  /** The loss with these settings as a graph's part; equal settings give the same one, so that its program is kept. */
  private traced(loss: TokenLoss, settings: Readonly<Record<string, number>>): BuildLoss {
    for (const [name, value] of Object.entries(settings))
      if (!Object.hasOwn(loss.settings, name) || !Number.isFinite(value))
        throw new UserError({
          kind: "input",
          where: `settings.${name}`,
          expected: Object.hasOwn(loss.settings, name)
            ? "a finite number"
            : `one of ${Object.keys(loss.settings).join(", ") || "no settings, which this loss has none of"}`,
          found: Object.hasOwn(loss.settings, name) ? String(value) : "another name",
        });
    const chosen = { ...loss.settings, ...settings };
    const known = this.losses.get(loss) ?? new Map<string, BuildLoss>();
    this.losses.set(loss, known);
    const key = JSON.stringify(Object.entries(chosen).sort());
    const traced = known.get(key) ?? this.withAdapter(tokenLoss(this.model.config, loss, chosen));
    known.set(key, traced);
    return traced;
  }

  private withAdapter(loss: BuildLoss): BuildLoss {
    const specs = modelOf(this.model.config).parameters;
    return withAdapter({ specs, loss }, this.lora).loss;
  }
}

/** An optimizer as a recipe has it. @throws UserError "input" for settings out of range */
function adamW(options: OptimStep): Optimizer {
  const { data, error } = optimizerSchema.safeParse({ kind: "adamw", ...options });
  if (data !== undefined) return data;
  const [{ path, message }] = error.issues;
  throw new UserError({ kind: "input", where: `optimStep.${path.join(".")}`, what: message });
}
