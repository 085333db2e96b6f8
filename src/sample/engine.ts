/**
 * Batched generation with a KV cache: schedule, run, postprocess. The sampled ids and their log-probabilities are the
 * truth that training uses; text is made from them for the verifier alone.
 */
import { countFlops } from "../graph/analyse.ts";
import { MASKED } from "../graph/ops/nn.ts";
import { input } from "../graph/ops/source.ts";
import { exp, max, mul, sub } from "../graph/ops.ts";
import { Graph } from "../graph/tensor.ts";
import { type CachePlane, designOf, type ModelConfig } from "../models/architecture.ts";
import { type ParameterSpec, type Parameters, parameterInputs } from "../models/layers.ts";
import { causalMask } from "../models/masks.ts";
import { allocate, f32, i32, RuntimeError, Session, scalar, type Value } from "../runtime/session.ts";
import { KvCache, type PrefixCache } from "./cache.ts";
import { type FixedOptions, fixedParameters, openFixed, type WeightSource } from "./fixed.ts";
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

/** How a graph gets its parameters. */
type ParameterMaker = (graph: Graph, specs: readonly ParameterSpec[]) => Parameters;

/** The parameters of a sampler that has its own. */
export const FIXED: ReadonlyMap<string, Value> = new Map();

/** What a graph for chunks is told of one token. */
const ONE_TOKEN = { chunkMask: causalMask(1), last: i32([0]) };

/** Prompts that are prefilled together. */
const PREFILL_BATCH = 32;

/** The graph that reads prompts and returns what the cache holds of them, by the planes' names. */
export function tracePrefill(config: ModelConfig, weights: ParameterMaker = parameterInputs): Graph {
  const graph = new Graph();
  const design = designOf(config);
  const parameters = weights(graph, design.parameters);
  const ids = input(graph, "ids", "i32", ["batch", "seq"]);
  const positions = input(graph, "positions", "i32", ["batch", "seq"]);
  const mask = input(graph, "mask", "f32", [1, 1, "seq", "seq"]);
  const { cache } = design.whole(parameters, { ids, positions, mask });
  design.planes.forEach(({ name }, i) => {
    graph.output(name, cache[i]);
  });
  return graph;
}

/**
 * The graph that decodes one token a row: `logits` and `weights` = e^(logits · scale - largest) [batch, vocab], and
 * `fresh.<plane>` [batch, heads, 1, width]; with `chunks` of several tokens a row, [batch, heads, seq, width].
 */
export function traceDecode(
  config: ModelConfig,
  weights: ParameterMaker = parameterInputs,
  chunks = false,
): Graph {
  const graph = new Graph();
  const design = designOf(config);
  const parameters = weights(graph, design.parameters);
  const seq = chunks ? "seq" : 1;
  const ids = input(graph, "ids", "i32", ["batch", seq]);
  const positions = input(graph, "positions", "i32", ["batch", seq]);
  const mask = input(graph, "mask", "f32", ["batch", 1, 1, "past"]);
  const cache = design.planes.map(({ name, heads, width }) =>
    input(graph, name, "f32", ["batch", heads, "past", width]),
  );
  const chunk = chunks
    ? { mask: input(graph, "chunkMask", "f32", [1, 1, "seq", "seq"]), last: input(graph, "last", "i32", [1]) }
    : undefined;
  const { logits, fresh } = design.cached(parameters, { ids, positions, cache, mask, chunk });
  graph.output("logits", logits);
  graph.scope("sampling", () => {
    const scaled = mul(logits, input(graph, "scale", "f32", []));
    graph.output("weights", exp(sub(scaled, max(scaled, [-1], true))));
  });
  design.planes.forEach(({ name }, i) => {
    graph.output(`fresh.${name}`, fresh[i]);
  });
  return graph;
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

export class Sampler {
  private readonly config: ModelConfig;
  private readonly prefillGraph: Graph;
  private readonly decodeGraph: Graph;
  private readonly prefill: Session;
  private readonly decode: Session;
  private readonly planes: readonly CachePlane[];
  private readonly cache: KvCache;

  private constructor(config: ModelConfig, graphs: [Graph, Graph], sessions: [Session, Session]) {
    this.config = config;
    [this.prefillGraph, this.decodeGraph] = graphs;
    [this.prefill, this.decode] = sessions;
    this.planes = designOf(config).planes;
    this.cache = new KvCache(this.planes);
  }

  /**
   * A sampler whose weights are its own, quantised; `generate` then takes `FIXED` for parameters. All of `source` is read
   * before this returns its promise, so a file behind it may be closed at once.
   */
  static async fixed(
    config: ModelConfig,
    source: WeightSource,
    { threads, ...options }: FixedOptions & { threads?: number },
  ): Promise<Sampler> {
    const open = (graph: Graph, name: string) => openFixed(graph, { threads, name });
    const weights: ParameterMaker = (graph, specs) => fixedParameters(graph, specs, source, options);
    const decode = traceDecode(config, weights, designOf(config).chunks);
    const sessions = [open(decode, "decode")];
    const prefill = designOf(config).chunks ? decode : tracePrefill(config, weights);
    if (prefill !== decode) sessions.push(open(prefill, "prefill"));
    return Promise.all(sessions).then(
      ([session, other]) => new Sampler(config, [prefill, decode], [other ?? session, session]),
    );
  }

  static async create(config: ModelConfig, options: { threads?: number } = {}): Promise<Sampler> {
    const graphs: [Graph, Graph] = [tracePrefill(config), traceDecode(config)];
    const { threads } = options;
    return new Sampler(config, graphs, [
      await Session.create(graphs[0], { threads, name: "prefill" }),
      await Session.create(graphs[1], { threads, name: "decode" }),
    ]);
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
    const weights = Object.fromEntries(parameters);
    const scheduler = new Scheduler(requests, options.slots ?? 128);
    const result: GenerationResult = {
      generations: new Array(requests.length),
      flops: 0,
      tokens: 0,
      steps: 0,
    };
    const prefixes = await this.prefillAll(weights, requests, result);
    this.cache.reset(ladderSize(scheduler.slots));

    while (!scheduler.done()) {
      options.signal?.throwIfAborted();
      for (const { row, entry } of scheduler.admit()) {
        const prefix = prefixes.get(entry.request.prompt.join());
        this.cache.ensure(entry.position + 1, scheduler.active.length);
        if (prefix !== undefined) this.cache.load(row, prefix);
      }
      const decoded = await this.decodeStep(weights, scheduler, logitScale(options), result);
      this.postprocess(scheduler, decoded, options, result);
    }
    return result;
  }

  /** Keys and values of every different prompt but its last token, which the first decode step reads. */
  private async prefillAll(
    weights: Record<string, Value>,
    requests: readonly GenerationRequest[],
    result: GenerationResult,
  ): Promise<Map<string, PrefixCache>> {
    const unique = new Map(
      requests.filter((r) => r.prompt.length > 1).map((r) => [r.prompt.join(), r.prompt]),
    );
    const prompts = [...unique].sort((a, b) => a[1].length - b[1].length);
    const prefixes = new Map<string, PrefixCache>();
    for (let start = 0; start < prompts.length; start += PREFILL_BATCH) {
      const chunk = prompts.slice(start, start + PREFILL_BATCH);
      const seq = Math.max(...chunk.map(([, prompt]) => prompt.length - 1));
      const ids = new Int32Array(chunk.length * seq);
      const positions = Int32Array.from({ length: ids.length }, (_, i) => i % seq);
      chunk.forEach(([, prompt], row) => {
        ids.set(prompt.slice(0, -1), row * seq);
      });
      const shape = [chunk.length, seq];
      const outputs = await this.prefill.run({
        ...weights,
        ids: i32(ids, shape),
        positions: i32(positions, shape),
        ...this.prefillMasks(chunk.length, seq),
      });
      result.flops += countFlops(this.prefillGraph, { batch: chunk.length, seq, past: 1 }).total;
      chunk.forEach(([name, prompt], row) => {
        prefixes.set(name, this.sliceRow(outputs, row, prompt.length - 1, seq));
      });
    }
    return prefixes;
  }

  /** Which tokens see which; where one graph does both, a cache of one empty slot as well. */
  private prefillMasks(batch: number, seq: number): Record<string, Value> {
    if (this.prefill !== this.decode) return { mask: causalMask(seq) };
    const empty = this.planes.map(({ name, heads, width }) => [
      name,
      allocate("f32", [batch, heads, 1, width]),
    ]);
    return {
      ...Object.fromEntries(empty),
      mask: f32(new Float32Array(batch).fill(MASKED), [batch, 1, 1, 1]),
      chunkMask: causalMask(seq),
      last: i32([seq - 1]),
      scale: scalar(1),
    };
  }

  private sliceRow(outputs: Record<string, Value>, row: number, length: number, seq: number): PrefixCache {
    const tensors = this.planes.map(({ name, heads, width }) => {
      const source = (outputs[name] ?? outputs[`fresh.${name}`]).data as Float32Array;
      const copy = new Float32Array(heads * length * width);
      for (let head = 0; head < heads; head++) {
        const from = (row * heads + head) * seq * width;
        copy.set(source.subarray(from, from + length * width), head * length * width);
      }
      return copy;
    });
    return { length, tensors };
  }

  private async decodeStep(
    weights: Record<string, Value>,
    scheduler: Scheduler,
    scale: number,
    result: GenerationResult,
  ): Promise<DecodedStep> {
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
      scale: scalar(scale),
      ...ONE_TOKEN,
    };
    await this.decode.run(feeds, decoded.fetches);
    result.steps++;
    result.flops += this.decodeFlops(batch, window);
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
    options: GenerateOptions,
    result: GenerationResult,
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
