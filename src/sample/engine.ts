/**
 * Batched generation with a KV cache: schedule, run, postprocess. The sampled ids and their log-probabilities are the
 * truth that training uses; text is made from them for the verifier alone.
 */
import type { TensorSource } from "../checkpoint/weights.ts";
import { countFlops } from "../graph/analyse.ts";
import { MASKED } from "../graph/ops/nn.ts";
import type { Graph } from "../graph/tensor.ts";
import { sumWork, type Work } from "../ledger/work.ts";
import { type CachePlane, designOf, type ModelConfig } from "../models/architecture.ts";
import type { ParameterMaker } from "../models/layers.ts";
import { causalMask } from "../models/masks.ts";
import { f32, i32, RuntimeError, Session, scalar, type Value } from "../runtime/session.ts";
import { KvCache, type PrefixCache } from "./cache.ts";
import { type FixedOptions, fixedParameters, openFixed } from "./fixed.ts";
import { traceDecode, tracePrefill } from "./graphs.ts";
import { logitScale, type SamplingOptions, sampleToken } from "./sampler.ts";
import { type Generation, type GenerationRequest, ladderSize, type Row, Scheduler } from "./scheduler.ts";

export interface GenerateOptions extends SamplingOptions {
  stopIds: ReadonlySet<number>;
  /** Rows decoded together, at most. */
  slots?: number;
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

/** The outputs of one run of the decode graph. */
interface DecodedStep {
  fetches: Record<string, Value>;
  /** [batch, vocab]. */
  logits: Float32Array;
  weights: Float32Array;
  /** What each plane of the cache gets. */
  fresh: readonly Float32Array[];
}

/** What a graph for chunks is told of one token. */
const ONE_TOKEN = { chunkMask: causalMask(1), last: i32([0]) };

/**
 * Tokens that one pass reads, of one prompt or of several, where a graph takes prompts in pieces: enough for its products,
 * and few enough that scores and activations are small beside a model. 128 and 512 are no faster.
 */
export const READ_TOKENS = 256;

/** Tokens of several prompts that one pass reads where each is whole. */
const WHOLE_TOKENS = 4096;

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
  weights: Record<string, Value>;
  options: GenerateOptions;
  result: GenerationResult;
}

/** @throws RuntimeError for the first request that the model cannot answer */
export function checkRequests(
  { vocabSize, maxPositions }: ModelConfig,
  requests: readonly GenerationRequest[],
): void {
  for (const [index, { prompt, maxNewTokens }] of requests.entries()) {
    if (prompt.length === 0)
      throw new RuntimeError(`request ${index} has an empty prompt; begin it with the BOS token`);
    if (maxNewTokens < 1)
      throw new RuntimeError(`request ${index} asks for ${maxNewTokens} new tokens; it needs at least 1`);
    const foreign = prompt.find((id) => !(id >= 0 && id < vocabSize));
    if (foreign !== undefined)
      throw new RuntimeError(
        `request ${index}: id ${foreign} is not one of the model's ${vocabSize} tokens; is this its tokenizer?`,
      );
    if (prompt.length + maxNewTokens > maxPositions)
      throw new RuntimeError(
        `request ${index}: ${prompt.length} prompt tokens and ${maxNewTokens} new ones exceed the model's ${maxPositions} positions`,
      );
  }
}

/** How many ids two sequences share at their beginnings. */
export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const end = Math.min(a.length, b.length);
  let length = 0;
  while (length < end && a[length] === b[length]) length++;
  return length;
}

export class Sampler {
  private readonly config: ModelConfig;
  private readonly prefillGraph: Graph;
  private readonly decodeGraph: Graph;
  private readonly prefill: Session;
  private readonly decode: Session;
  private readonly planes: readonly CachePlane[];
  private readonly cache: KvCache;
  /** Where prompts are read before their rows are free. */
  private readonly reading: KvCache;
  /** The last request, if it was alone: what row 0 of the cache still holds. */
  private last: Row | null = null;
  /** All that this sampler has computed, in calls that were stopped too. */
  private done: Work = sumWork();

  private constructor(config: ModelConfig, graphs: [Graph, Graph], sessions: [Session, Session]) {
    this.config = config;
    [this.prefillGraph, this.decodeGraph] = graphs;
    [this.prefill, this.decode] = sessions;
    this.planes = designOf(config).planes;
    this.cache = new KvCache(this.planes);
    this.reading = new KvCache(this.planes);
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
   * same to 1e-6, but where activations are rounded too, which f32 noise then moves by a step (a few hundredths of a logit).
   */
  static async fixed(
    config: ModelConfig,
    source: TensorSource,
    { threads, ...options }: FixedOptions & { threads?: number },
  ): Promise<FixedSampler> {
    const open = (graph: Graph, name: string) => openFixed(graph, { threads, name });
    const weights: ParameterMaker = (graph, specs) => fixedParameters(graph, specs, source, options);
    const decode = traceDecode(config, weights, designOf(config).chunks);
    const sessions = [open(decode, "decode")];
    const prefill = designOf(config).chunks ? decode : tracePrefill(config, weights);
    if (prefill !== decode) sessions.push(open(prefill, "prefill"));
    const [session, other] = await Promise.all(sessions);
    const sampler = new Sampler(config, [prefill, decode], [other ?? session, session]);
    return {
      generate: (requests, options) => sampler.generate(new Map(), requests, options),
      release: () => sampler.release(),
    };
  }

  /** A sampler that is given its weights at each call, since training changes them. */
  static async create(config: ModelConfig, options: { threads?: number } = {}): Promise<Sampler> {
    const graphs: [Graph, Graph] = [tracePrefill(config), traceDecode(config)];
    const { threads } = options;
    return new Sampler(config, graphs, [
      await Session.create(graphs[0], { threads, name: "prefill" }),
      await Session.create(graphs[1], { threads, name: "decode" }),
    ]);
  }

  /** `generate` with these weights. */
  with(parameters: ReadonlyMap<string, Value>): Generate {
    return (requests, options) => this.generate(parameters, requests, options);
  }

  /**
   * Samples a completion for each request, in the order of `requests`. Throws `RuntimeError` where a prompt is empty or
   * has an id outside the vocabulary, no token is asked for, or both together do not fit the model's positions.
   */
  async generate(
    parameters: ReadonlyMap<string, Value>,
    requests: readonly GenerationRequest[],
    options: GenerateOptions,
  ): Promise<GenerationResult> {
    checkRequests(this.config, requests);
    const scheduler = new Scheduler(requests, options.slots ?? 128);
    const result: GenerationResult = {
      generations: new Array(requests.length),
      flops: 0,
      tokens: 0,
      steps: 0,
    };
    const call = { weights: Object.fromEntries(parameters), options, result };
    const alone = this.continues && requests.length === 1;
    const prefixes = alone ? null : await this.readAll(requests, call);
    if (alone) await this.readOn(requests[0].prompt, call);
    else this.cache.reset(ladderSize(scheduler.slots));

    while (!scheduler.done()) {
      options.signal?.throwIfAborted();
      for (const { row, entry } of scheduler.admit()) {
        const prefix = prefixes?.get(entry.request.prompt.join());
        this.cache.ensure(entry.position + 1, scheduler.active.length);
        if (prefix !== undefined) this.cache.load(row, prefix);
        if (alone) this.last = entry;
      }
      const decoded = await this.decodeStep(call, scheduler);
      this.postprocess(scheduler, decoded, call);
    }
    return result;
  }

  /** Keys and values of every different prompt but its last token, which the first decode step reads. */
  private async readAll(
    requests: readonly GenerationRequest[],
    call: Call,
  ): Promise<Map<string, PrefixCache>> {
    this.last = null;
    const unique = new Map(
      requests.filter((r) => r.prompt.length > 1).map((r) => [r.prompt.join(), r.prompt]),
    );
    const prompts = [...unique].sort((a, b) => a[1].length - b[1].length);
    const most = this.continues ? READ_TOKENS : WHOLE_TOKENS;
    const prefixes = new Map<string, PrefixCache>();
    for (let start = 0, end = 0; start < prompts.length; start = end) {
      // The last is the longest.
      do end++;
      while (end < prompts.length && (end + 1 - start) * prompts[end][1].length <= most);
      const group = prompts.slice(start, end);
      this.reading.reset(group.length);
      await this.read(
        this.reading,
        group.map(([, prompt]) => prompt),
        0,
        call,
      );
      group.forEach(([name, prompt], row) => {
        prefixes.set(name, this.reading.prefix(row, prompt.length - 1));
      });
    }
    return prefixes;
  }

  /** Row 0 of the cache comes to hold the prompt but its last token; what it holds of it already is not read again. */
  private async readOn(prompt: readonly number[], call: Call): Promise<void> {
    const { last } = this;
    const held = last === null ? [] : [...last.request.prompt, ...last.ids].slice(0, last.position);
    const kept = commonPrefix(held, prompt.slice(0, -1));
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
    const length = Math.max(...prompts.map((prompt) => prompt.length)) - 1;
    const piece = this.continues ? Math.ceil(READ_TOKENS / batch) : length;
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
      const fresh = this.planes.map(({ name }) => (outputs[name] ?? outputs[`fresh.${name}`]).data);
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
    const decoded = this.outputsFor(batch);
    const feeds = {
      ...weights,
      ...this.cache.feeds(batch),
      ids: i32(ids, [batch, 1]),
      positions: i32(positions, [batch, 1]),
      mask: f32(mask, [batch, 1, 1, window]),
      scale: scalar(logitScale(options)),
      ...ONE_TOKEN,
    };
    await this.decode.run(feeds, decoded.fetches);
    result.steps++;
    this.count(result, { flops: this.decodeFlops(batch, window), generated: active.length });
    return decoded;
  }

  private readonly knownOutputs = new Map<number, DecodedStep>();

  /** The arrays that a step of `batch` rows is written into, the same ones at each step. */
  private outputsFor(batch: number): DecodedStep {
    let decoded = this.knownOutputs.get(batch);
    if (decoded === undefined) {
      const names = this.decode.outputs.map(({ name }) => name);
      const fetches = this.decode.allocateOutputs(names, { batch, seq: 1 });
      const array = (name: string) => fetches[name].data as Float32Array;
      const fresh = this.planes.map(({ name }) => array(`fresh.${name}`));
      decoded = { fetches, logits: array("logits"), weights: array("weights"), fresh };
      this.knownOutputs.set(batch, decoded);
    }
    return decoded;
  }

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
      const { id, logProb } = sampleToken(logits, i * vocabSize, vocabSize, options, row.random, weights);
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
function chunkFeeds(cache: KvCache, batch: number, start: number, seq: number): Record<string, Value> {
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
