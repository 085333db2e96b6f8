/**
 * Batched generation with a KV cache: schedule, run, postprocess. The sampled ids and their log-probabilities are the
 * truth that training uses; text is made from them for the verifier alone.
 */
import type { TensorSource } from "../checkpoint/weights.ts";
import { countFlops } from "../graph/analyse.ts";
import { MASKED } from "../graph/ops/nn.ts";
import type { Graph } from "../graph/tensor.ts";
import { sumWork, type Work } from "../ledger/work.ts";
import { type CacheLayer, type ModelConfig, modelOf } from "../models/architectures.ts";
import type { ParameterMaker } from "../models/layers.ts";
import { causalMask } from "../models/masks.ts";
import type { Engine } from "../runtime/engine.ts";
import { f32, type HostValue, host, i32, type Session, scalar } from "../runtime/session.ts";
import { KvCache } from "./cache.ts";
import { type FixedOptions, fixedParameters, isExact, openFixed } from "./fixed.ts";
import { traceDecode, tracePrefill } from "./graphs.ts";
import { type DecodedStep, StepOutputs } from "./outputs.ts";
import { PIECES, tokensOfPass, WHOLE, wholePieces } from "./pieces.ts";
import { PromptCaches } from "./prompts.ts";
import { checkRequests, commonPrefix } from "./requests.ts";
import { drawFor, LogitsError, logitScale, type Sampling, sampleToken } from "./sampler.ts";
import { type Generation, type GenerationRequest, ladderSize, type Row, Scheduler } from "./scheduler.ts";

export interface GenerateOptions {
  sampling: Sampling;
  stopIds: ReadonlySet<number>;
  /** Rows decoded together, at most; 128 unless given. */
  maxBatch?: number;
  /** Called for each token as it is sampled. */
  onToken?: (requestIndex: number, id: number) => void;
  /** Asked before each step: an `AbortSignal`, or anything that throws when it is time to stop. */
  signal?: Pick<AbortSignal, "throwIfAborted">;
}

export interface GenerationResult {
  generations: Generation[];
  flops: number;
  /** Tokens sampled. */
  tokens: number;
  /** Runs of the decode graph. */
  steps: number;
}

/** What a graph for chunks is told of one token. */
const ONE_TOKEN = { chunkMask: causalMask(1), last: i32([0]) };

export type Generate = (
  requests: readonly GenerationRequest[],
  options: GenerateOptions,
) => Promise<GenerationResult>;

/** A sampler whose weights are its own. */
export interface FixedSampler {
  generate: Generate;
  release(): Promise<void>;
}

/** What the parts of one call of `generate` share. */
interface Call {
  requests: readonly GenerationRequest[];
  weights: Record<string, HostValue>;
  options: GenerateOptions;
  result: GenerationResult;
}

export class Sampler {
  private readonly config: ModelConfig;
  private readonly prefillGraph: Graph;
  private readonly decodeGraph: Graph;
  private readonly prefill: Session;
  private readonly decode: Session;
  private readonly planes: readonly CacheLayer[];
  private readonly cache: KvCache;
  /** Where prompts are read before their rows are free. */
  private readonly reading: KvCache;
  /** The last request, if it was alone: what row 0 of the cache still holds. */
  private last: Row | null = null;
  /** All that this sampler has computed, in calls that were stopped too. */
  private done: Work = sumWork();
  /** Tokens that one pass reads, of one prompt or of several. */
  private readonly passTokens: number;
  /** Whether answers are to be the same to the bit, whatever was asked before. */
  private readonly exact: boolean;

  private constructor(
    config: ModelConfig,
    graphs: [Graph, Graph],
    sessions: [Session, Session],
    exact = false,
  ) {
    this.config = config;
    this.exact = exact;
    [this.prefillGraph, this.decodeGraph] = graphs;
    [this.prefill, this.decode] = sessions;
    this.planes = modelOf(config).cacheLayers;
    this.cache = new KvCache(this.planes);
    this.reading = new KvCache(this.planes);
    this.outputs = new StepOutputs(this.decode, this.planes);
    this.passTokens = tokensOfPass(
      (seq) => countFlops(this.prefillGraph, { batch: 1, seq, past: this.cache.window }).total,
      this.continues ? PIECES : WHOLE,
    );
  }

  get work(): Work {
    return this.done;
  }

  private count(result: GenerationResult, part: Partial<Work>): void {
    result.flops += part.flops ?? 0;
    this.done = sumWork(this.done, part);
  }

  /** One graph reads and decodes, so that it reads behind what is cached. It has weights of its own, which never change. */
  private get continues(): boolean {
    return this.prefill === this.decode;
  }

  /**
   * A sampler with weights of its own. All of `source` is read before this returns its promise, so a file behind it may be
   * closed at once. Where it is asked for one sequence, it reads no more than what its last sequence did not begin with: the
   * same to 1e-6. Rounded activations would make steps of such noise: there it keeps whole pieces of the prompt alone, which
   * are the same to the bit.
   */
  static async fixed(
    config: ModelConfig,
    source: TensorSource,
    engine: Engine,
    options: FixedOptions,
  ): Promise<FixedSampler> {
    const open = (graph: Graph) => openFixed(graph, engine);
    const weights: ParameterMaker = (graph, specs) => fixedParameters(graph, specs, source, options);
    const decode = traceDecode(config, weights, true);
    const session = await open(decode);
    const sampler = new Sampler(config, [decode, decode], [session, session], isExact(options));
    return {
      generate: (requests, options) => sampler.generate(new Map(), requests, options),
      release: () => sampler.release(),
    };
  }

  /** A sampler that is given its weights at each call, since training changes them. */
  static async create(config: ModelConfig, engine: Engine): Promise<Sampler> {
    const graphs: [Graph, Graph] = [tracePrefill(config), traceDecode(config)];
    return new Sampler(config, graphs, [
      await engine.session(graphs[0], "prefill"),
      await engine.session(graphs[1], "decode"),
    ]);
  }

  /** `generate` with these weights. */
  with(parameters: ReadonlyMap<string, HostValue>): Generate {
    return (requests, options) => this.generate(parameters, requests, options);
  }

  /**
   * Samples a completion for each request, in the order of `requests`. Throws `RuntimeError` where a prompt is empty or
   * has an id outside the vocabulary, no token is asked for, or both together do not fit the model's positions.
   */
  async generate(
    parameters: ReadonlyMap<string, HostValue>,
    requests: readonly GenerationRequest[],
    options: GenerateOptions,
  ): Promise<GenerationResult> {
    checkRequests(this.config, requests, options);
    const scheduler = new Scheduler(requests, options.maxBatch ?? 128);
    const result: GenerationResult = {
      generations: new Array(requests.length),
      flops: 0,
      tokens: 0,
      steps: 0,
    };
    const call = { requests, weights: Object.fromEntries(parameters), options, result };
    const alone = this.continues && requests.length === 1;
    try {
      await (alone ? this.answerOne(scheduler, call) : this.answerAll(scheduler, call));
    } catch (error) {
      // What is not finite would outlive its request, since 0 times it is not 0 where a mask hides it; a first token shows
      // that what was read is finite.
      if (this.last === null || error instanceof LogitsError) this.forget();
      throw error;
    }
    return result;
  }

  /** Frees the caches, which the next call allocates anew: for the time in which another session needs the memory. */
  forget(): void {
    this.last = null;
    for (const cache of [this.cache, this.reading]) cache.clear();
  }

  private async answerOne(scheduler: Scheduler, call: Call): Promise<void> {
    await this.readOn(call.requests[0].prompt, call);
    const [{ entry }] = scheduler.admit();
    while (!scheduler.done()) {
      await this.step(scheduler, call);
      this.last = entry;
    }
  }

  private async answerAll(scheduler: Scheduler, call: Call): Promise<void> {
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

  private async step(scheduler: Scheduler, call: Call): Promise<void> {
    call.options.signal?.throwIfAborted();
    this.postprocess(scheduler, await this.decodeStep(call, scheduler), call);
  }

  /** Keys and values of the newcomers' prompts but their last tokens, which the first decode step reads. */
  private async readFor(
    admitted: readonly { entry: Row }[],
    prompts: PromptCaches,
    call: Call,
  ): Promise<void> {
    if (admitted.length === 0) return;
    const first = admitted[0].entry.index;
    for (const pass of prompts.missing(first, first + admitted.length)) {
      const texts = pass.map((index) => call.requests[index].prompt);
      this.reading.reset(pass.length);
      await this.read(this.reading, texts, 0, call);
      pass.forEach((index, row) => {
        prompts.hold(index, this.reading.prefix(row, texts[row].length - 1));
      });
    }
  }

  /** Row 0 of the cache comes to hold the prompt but its last token; what it holds of it already is not read again. */
  private async readOn(prompt: readonly number[], call: Call): Promise<void> {
    const { last } = this;
    const held = last === null ? [] : [...last.request.prompt, ...last.ids].slice(0, last.position);
    const shared = commonPrefix(held, prompt.slice(0, -1));
    const kept =
      this.exact && last !== null
        ? wholePieces(Math.min(shared, last.request.prompt.length - 1), this.passTokens)
        : shared;
    this.last = null;
    this.cache.keep(kept);
    await this.read(this.cache, [prompt], kept, call);
  }

  /** Reads prompts but their last tokens into the rows of a cache that holds the first `from` tokens of each. */
  private async read(
    cache: KvCache,
    prompts: readonly (readonly number[])[],
    from: number,
    { weights, options, result }: Call,
  ): Promise<void> {
    const batch = prompts.length;
    const length = prompts.reduce((most, prompt) => Math.max(most, prompt.length), 0) - 1;
    const piece = this.continues ? Math.ceil(this.passTokens / batch) : length;
    for (let start = from; start < length; start += piece) {
      options.signal?.throwIfAborted();
      const end = Math.min(start + piece, length);
      const seq = end - start;
      cache.ensure(end, batch);
      const ids = new Int32Array(batch * seq);
      prompts.forEach((prompt, row) => {
        ids.set(prompt.slice(start, Math.min(end, prompt.length - 1)), row * seq);
      });
      const positions = Int32Array.from({ length: ids.length }, (_, i) => start + (i % seq));
      const outputs = await this.prefill.run({
        ...weights,
        ids: i32(ids, [batch, seq]),
        positions: i32(positions, [batch, seq]),
        ...(this.continues ? chunkFeeds(cache, batch, start, seq) : { mask: causalMask(seq) }),
      });
      const { total: flops } = countFlops(this.prefillGraph, { batch, seq, past: cache.window });
      const read = prompts.map((prompt) => Math.max(0, Math.min(end, prompt.length - 1) - start));
      this.count(result, { flops, prefilled: read.reduce((sum, tokens) => sum + tokens) });
      const fresh = this.planes.map(({ name }) => host(outputs[name] ?? outputs[`fresh.${name}`]).data);
      prompts.forEach((prompt, row) => {
        cache.append(row, start, fresh as Float32Array[], Math.min(end, prompt.length - 1) - start, seq);
      });
    }
  }

  private async decodeStep({ weights, options, result }: Call, scheduler: Scheduler): Promise<DecodedStep> {
    const { active } = scheduler;
    const batch = scheduler.batchSize();
    this.cache.ensure(Math.max(...active.map((row) => row.position + 1)), active.length);
    const { window } = this.cache;
    const ids = new Int32Array(batch);
    const positions = new Int32Array(batch);
    const mask = new Float32Array(batch * window);
    active.forEach((row, i) => {
      ids[i] = row.next;
      positions[i] = row.position;
      mask.fill(MASKED, i * window + row.position, (i + 1) * window);
    });
    const decoded = this.outputs.of(batch);
    const feeds = {
      ...weights,
      ...this.cache.feeds(batch),
      ids: i32(ids, [batch, 1]),
      positions: i32(positions, [batch, 1]),
      mask: f32(mask, [batch, 1, 1, window]),
      scale: scalar(logitScale(options.sampling)),
      ...ONE_TOKEN,
    };
    await this.decode.run(feeds, decoded.fetches);
    result.steps++;
    this.count(result, { flops: this.decodeFlops(batch, window), generated: active.length });
    return decoded;
  }

  private readonly outputs: StepOutputs;

  private readonly knownFlops = new Map<string, number>();

  private decodeFlops(batch: number, past: number): number {
    const key = `${batch}x${past}`;
    let flops = this.knownFlops.get(key);
    if (flops === undefined) {
      flops = countFlops(this.decodeGraph, { batch, past, seq: 1 }).total;
      this.knownFlops.set(key, flops);
    }
    return flops;
  }

  private postprocess(
    scheduler: Scheduler,
    { logits, weights, fresh }: DecodedStep,
    { options, result }: Call,
  ): void {
    const finished: number[] = [];
    const { vocabSize } = this.config;
    scheduler.active.forEach((row, i) => {
      this.cache.append(i, row.position, fresh);
      const { id, logProb } = drawFor(row.index, row.ids.length, row.position + 1, () =>
        sampleToken(logits, i * vocabSize, vocabSize, options.sampling, row.random, weights),
      );
      row.ids.push(id);
      row.logProbs.push(logProb);
      row.next = id;
      row.position++;
      result.tokens++;
      options.onToken?.(row.index, id);
      if (options.stopIds.has(id) || row.ids.length >= row.request.maxNewTokens) finished.push(i);
    });
    // From the end, so that a row that moves into a freed place is never one that is to be freed itself.
    for (const i of finished.reverse()) {
      const row: Row = scheduler.active[i];
      const finish = options.stopIds.has(row.next) ? "stop" : "length";
      result.generations[row.index] = { ids: row.ids, logProbs: row.logProbs, finish };
      const moved = scheduler.release(i);
      if (moved !== null) this.cache.move(moved, i);
    }
  }

  async release(): Promise<void> {
    await this.decode.release();
    if (this.prefill !== this.decode) await this.prefill.release();
  }
}

/** A piece of `seq` tokens behind the first `start` of the cache. */
function chunkFeeds(cache: KvCache, batch: number, start: number, seq: number): Record<string, HostValue> {
  const mask = new Float32Array(batch * cache.window);
  for (let row = 0; row < batch; row++)
    mask.fill(MASKED, row * cache.window + start, (row + 1) * cache.window);
  return {
    ...cache.feeds(batch),
    mask: f32(mask, [batch, 1, 1, cache.window]),
    chunkMask: causalMask(seq),
    last: i32([seq - 1]),
    scale: scalar(1),
  };
}
