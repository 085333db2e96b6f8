/**
 * Batched generation with a KV cache: schedule, run, postprocess. Training uses the sampled ids and their log-probabilities
 * as they are; text is made from them for verifiers alone.
 */
import { RunFlops } from "../graph/run-flops.ts";
import type { Graph } from "../graph/tensor.ts";
import { sumWork, type Work } from "../ledger/work.ts";
import { isUserError } from "../lib/errors.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Session } from "../runtime/session.ts";
import { read, scalar, type Value } from "../runtime/value.ts";
import { KvCache } from "./cache.ts";
import { Drafter } from "./drafter.ts";
import { decodeFeeds, prefillFeeds, traceDecode, tracePrefill } from "./graphs.ts";
import { StepOutputs } from "./outputs.ts";
import { CHUNKS, commonPrefix, inFullChunks, PromptCaches, tokensOfPass, WHOLE_PROMPTS } from "./prompts.ts";
import {
  checkRequests,
  type Generate,
  type GenerateOptions,
  type GenerationRequest,
  type GenerationResult,
  MAX_BATCH,
} from "./requests.ts";
import { drawFor, logitScale, sampleToken, verifyDraft } from "./sampling.ts";
import { ladderSize, type Row, Scheduler } from "./scheduler.ts";
import { openSession, parametersOf, perCall, roundsActivations, type Weights } from "./weights.ts";

export interface SamplerOptions {
  /** How the graphs get the model's weights; per call unless given. */
  weights?: Weights;
  /** Tokens that the model's MTP module drafts at each step; then one request is decoded after another. */
  drafts?: number;
}

/** A graph, ready to run. */
interface Program {
  session: Session;
  flops: RunFlops;
}

/** What the parts of one call of `generate` have in common. */
interface Call {
  requests: readonly GenerationRequest[];
  weights: Record<string, Value>;
  options: GenerateOptions;
  result: GenerationResult;
}

export class Sampler {
  private readonly config: ModelConfig;
  private readonly decoder: Program;
  /** Reads whole prompts; `null` where the decode graph reads them in chunks. */
  private readonly prefill: Program | null;
  private readonly drafter: Drafter | null;
  /** Tokens drafted at each step. */
  private readonly drafts: number;
  /** Whether what the cache holds of one request serves the next: the weights never change. */
  private readonly reuses: boolean;
  /** Whether completions must be equal bit for bit, whatever was asked before. */
  private readonly exact: boolean;
  /** Names of the decode graph's outputs for the cache. */
  private readonly added: readonly string[];
  private readonly cache: KvCache;
  /** Where prompts are read before their rows are free. */
  private readonly staging: KvCache;
  private readonly outputs: StepOutputs;
  /** Tokens that one pass reads, of one prompt or of several. */
  private readonly passTokens: number;
  /** The last request, if it was decoded alone: row 0 of the cache still holds it. */
  private last: Row | null = null;
  /** All that this sampler has computed, in calls that were stopped too. */
  private done: Work = sumWork();

  private constructor(
    config: ModelConfig,
    decoder: Program,
    prefill: Program | null,
    { weights, drafts }: Required<SamplerOptions>,
  ) {
    const { cacheLayers } = modelOf(config);
    this.config = config;
    this.decoder = decoder;
    this.prefill = prefill;
    this.drafter = drafts > 0 ? new Drafter(config, drafts) : null;
    this.drafts = drafts;
    this.reuses = weights.kind === "baked";
    this.exact = roundsActivations(weights);
    this.added = cacheLayers.map(({ name }) => `new.${name}`);
    this.cache = new KvCache(cacheLayers);
    this.staging = new KvCache(cacheLayers);
    this.outputs = new StepOutputs(decoder.session);
    const sizes = { batch: 1, past: this.cache.capacity, pairs: 1 };
    this.passTokens = tokensOfPass(
      (seq) => (prefill ?? decoder).flops.total({ ...sizes, seq }),
      prefill === null ? CHUNKS : WHOLE_PROMPTS,
    );
  }

  /**
   * Baked weights are read before this returns its promise, so their file may be closed at once. With them, a request that
   * is decoded alone reads no more of its prompt than differs from the request before. That gives the same numbers to 1e-6.
   * Rounded activations would make steps of such noise: there only full chunks of the prompt are kept, which gives the same
   * numbers bit for bit.
   */
  static async create(
    config: ModelConfig,
    engine: Engine,
    { weights = perCall, drafts = 0 }: SamplerOptions = {},
  ): Promise<Sampler> {
    const chunks = weights.kind === "baked" || drafts > 0;
    const parameters = parametersOf(weights);
    const open = async (name: string, graph: Graph): Promise<Program> => ({
      session: await openSession(graph, name, engine, weights),
      flops: new RunFlops(graph),
    });
    const decoder = await open("decode", traceDecode(config, { parameters, chunks, drafts }));
    // Weights that are fed are packed anew in each pass, so many prompts are read in one.
    const prefill = chunks ? null : await open("prefill", tracePrefill(config, parameters));
    return new Sampler(config, decoder, prefill, { weights, drafts });
  }

  get work(): Work {
    return this.done;
  }

  private count(result: GenerationResult, part: Partial<Work>): void {
    result.flops += part.flops ?? 0;
    this.done = sumWork(this.done, part);
  }

  /** `generate` with these parameters. */
  with(parameters: ReadonlyMap<string, Value>): Generate {
    return (requests, options) => this.generate(requests, { ...options, parameters });
  }

  /**
   * Samples a completion for each request.
   * @throws UserError "generation" where the model cannot answer a request, "logits" where its logits are not finite
   */
  async generate(
    requests: readonly GenerationRequest[],
    options: GenerateOptions,
  ): Promise<GenerationResult> {
    checkRequests(this.config, requests, options);
    const result = {
      ...{ generations: new Array(requests.length), flops: 0, tokens: 0, steps: 0 },
      ...{ drafted: 0, accepted: 0 },
    };
    const call = { requests, weights: Object.fromEntries(options.parameters ?? []), options, result };
    const scheduler = new Scheduler(requests, this.drafter === null ? (options.maxBatch ?? MAX_BATCH) : 1);
    if (!this.reuses) this.last = null;
    try {
      if (this.prefill === null && scheduler.maxBatch === 1) await this.generateAlone(scheduler, call);
      else await this.generateTogether(scheduler, call);
    } catch (error) {
      // A number that is not finite would outlive its request, since 0 times it is not 0 where a mask hides it. A first token
      // shows that what was read is finite.
      if (this.last === null || isUserError(error, "logits")) this.forget();
      throw error;
    }
    return result;
  }

  /** Frees the caches, which the next call allocates anew: for the time in which another session needs the memory. */
  forget(): void {
    this.last = null;
    this.drafter?.clear();
    for (const cache of [this.cache, this.staging]) cache.clear();
  }

  /** One request after another in row 0, each from what the row holds of its prompt. */
  private async generateAlone(scheduler: Scheduler, call: Call): Promise<void> {
    while (!scheduler.done()) {
      for (const { entry } of scheduler.admit()) await this.readOn(entry.request.prompt, call);
      const [row] = scheduler.active;
      await this.step(scheduler, call);
      this.last = row;
    }
  }

  private async generateTogether(scheduler: Scheduler, call: Call): Promise<void> {
    const prompts = new PromptCaches(call.requests, scheduler.maxBatch, this.passTokens);
    this.last = null;
    this.cache.reset(ladderSize(scheduler.maxBatch));
    while (!scheduler.done()) {
      const admitted = scheduler.admit();
      await this.readFor(admitted, prompts, call);
      for (const { row, entry } of admitted) {
        const prefix = prompts.take(entry.index);
        this.cache.ensure(entry.position + 1, scheduler.active.length);
        if (prefix !== undefined) this.cache.load(row, prefix);
      }
      await this.step(scheduler, call);
    }
  }

  /** Keys and values of the admitted prompts but their last tokens, which the first decode step reads. */
  private async readFor(
    admitted: readonly { entry: Row }[],
    prompts: PromptCaches,
    call: Call,
  ): Promise<void> {
    if (admitted.length === 0) return;
    const first = admitted[0].entry.index;
    for (const pass of prompts.missing(first, first + admitted.length)) {
      const texts = pass.map((index) => call.requests[index].prompt);
      this.staging.reset(pass.length);
      await this.readPrompts(this.staging, texts, 0, call);
      pass.forEach((index, row) => {
        prompts.hold(index, this.staging.prefix(row, texts[row].length - 1));
      });
    }
  }

  /** Makes row 0 of the cache hold the prompt but its last token. What it holds of the prompt already is not read again. */
  private async readOn(prompt: readonly number[], call: Call): Promise<void> {
    const { last, drafter } = this;
    const held = last === null ? [] : [...last.request.prompt, ...last.ids].slice(0, last.position);
    let shared = commonPrefix(held, prompt.slice(0, -1));
    // The first draft needs a token that the module has not read, with the token before it.
    if (drafter !== null) shared = Math.max(0, Math.min(shared - 1, drafter.held, prompt.length - 2));
    const kept =
      this.exact && last !== null
        ? inFullChunks(Math.min(shared, last.request.prompt.length - 1), this.passTokens)
        : shared;
    this.last = null;
    this.cache.keep(kept);
    drafter?.rewind(kept);
    await this.readPrompts(this.cache, [prompt], kept, call);
  }

  /** Reads prompts but their last tokens into the rows of a cache that holds the first `from` tokens of each. */
  private async readPrompts(
    cache: KvCache,
    prompts: readonly (readonly number[])[],
    from: number,
    { weights, options, result }: Call,
  ): Promise<void> {
    const { prefill, decoder, drafter, drafts } = this;
    const { maxPositions } = this.config;
    const batch = prompts.length;
    const length = prompts.reduce((most, prompt) => Math.max(most, prompt.length), 0) - 1;
    const chunk = prefill === null ? Math.ceil(this.passTokens / batch) : length;
    for (let start = from; start < length; start += chunk) {
      options.signal?.throwIfAborted();
      const end = Math.min(start + chunk, length);
      const seq = end - start;
      cache.ensure(end, batch);
      /** Ids of each row in this pass; the other ones are padding. */
      const pieces = prompts.map((prompt) => prompt.slice(start, Math.min(end, prompt.length - 1)));
      const ids = new Int32Array(batch * seq);
      pieces.forEach((own, row) => {
        ids.set(own, row * seq);
      });
      const tokens = { ids, starts: prompts.map(() => start), batch, maxPositions };
      const feeds = {
        ...weights,
        ...(prefill === null ? decodeFeeds(tokens, cache, drafts) : prefillFeeds(tokens)),
        scale: scalar(1),
        ...drafter?.draft(ids[0], cache.capacity),
      };
      const program = prefill ?? decoder;
      const outputs = await program.session.run(feeds);
      const prefilled = pieces.reduce((sum, own) => sum + own.length, 0);
      this.count(result, { flops: program.flops.of(feeds), prefilled });
      const added = this.added.map((name) => outputs[name]);
      pieces.forEach((own, row) => {
        cache.append(row, start, added, own.length, seq + drafts);
      });
      drafter?.accept(pieces[0], outputs);
    }
  }

  /** One run of the decode graph: each row's newest token, and a new token for each row, or several where drafts are accepted. */
  private async step(scheduler: Scheduler, { weights, options, result }: Call): Promise<void> {
    options.signal?.throwIfAborted();
    const { active } = scheduler;
    const { cache, drafter, drafts, decoder } = this;
    const { maxPositions } = this.config;
    const { sampling } = options;
    const batch = scheduler.batchSize();
    const starts = active.map((row) => row.position);
    cache.ensure(Math.max(...starts) + 1 + drafts, active.length);
    const ids = new Int32Array(batch);
    active.forEach((row, i) => {
      ids[i] = row.next;
    });
    const feeds = {
      ...weights,
      ...decodeFeeds({ ids, starts, batch, maxPositions }, cache, drafts),
      scale: scalar(logitScale(sampling)),
      ...drafter?.draft(ids[0], cache.capacity, { sampling, random: active[0].random }),
    };
    const outputs = await decoder.session.run(feeds, drafter === null ? this.outputs.of(batch) : {});
    result.steps++;
    this.count(result, { flops: decoder.flops.of(feeds) });
    const before = result.tokens;
    const finished = await this.postprocess(active, outputs, { options, result });
    this.count(result, { generated: result.tokens - before });
    // From the end, so that a row that moves into a free place is not itself to be released.
    for (const i of finished.reverse()) {
      const { index, ids, logProbs, stopped } = active[i];
      const finish = stopped ? "stop" : "length";
      result.generations[index] = { ids, logProbs, finish };
      const moved = scheduler.release(i);
      if (moved !== null) this.cache.move(moved, i);
    }
  }

  /** Samples from a run's outputs and stores what it read in the cache; returns the rows that are finished. */
  private async postprocess(
    active: readonly Row[],
    outputs: Record<string, Value>,
    { options, result }: Pick<Call, "options" | "result">,
  ): Promise<number[]> {
    const { drafter } = this;
    const { vocabSize } = this.config;
    const { sampling, stopIds } = options;
    const logits = await read(outputs.logits, "f32");
    const weights = await read(outputs.weights, "f32");
    const drafts = drafter === null ? new Int32Array() : await read(outputs.drafts, "i32");
    const draftLogits = drafter === null ? new Float32Array() : await read(outputs.draftLogits, "f32");
    const added = this.added.map((name) => outputs[name]);
    const finished: number[] = [];
    const starts = active.map(({ position }) => position);
    active.forEach((row, i) => {
      const { position, next: newest } = row;
      const known = row.ids.length;
      let ended = false;
      for (let draft = 0, accepted = true; accepted && !ended; draft++) {
        // Either many rows of one token, or one row whose drafts follow.
        const offset = (i + draft) * vocabSize;
        const target = { logits, weights, offset, vocabSize };
        const token = drawFor(row.index, row.ids.length, row.position + 1, () =>
          draft < drafts.length
            ? verifyDraft(target, { id: drafts[draft], logits: draftLogits, offset }, sampling, row.random)
            : { ...sampleToken(logits, offset, vocabSize, sampling, row.random, weights), accepted: false },
        );
        accepted = token.accepted;
        if (draft < drafts.length) result.drafted++;
        if (accepted) result.accepted++;
        row.ids.push(token.id);
        row.logProbs.push(token.logProb);
        row.next = token.id;
        row.position++;
        result.tokens++;
        options.onToken?.(row.index, token.id, token.logProb);
        row.stopped = row.request.ends?.(token.id) === true || stopIds.has(token.id);
        ended = row.stopped || row.ids.length >= row.request.maxNewTokens;
      }
      if (ended) finished.push(i);
      if (drafter === null) return;
      this.cache.append(i, position, added, row.position - position, 1 + drafts.length);
      drafter.accept([newest, ...row.ids.slice(known, -1)], outputs);
    });
    if (drafter === null) this.cache.appendEach(starts, added);
    return finished;
  }

  async release(): Promise<void> {
    await this.decoder.session.release();
    await this.prefill?.session.release();
  }
}
