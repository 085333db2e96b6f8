/**
 * Speculative decoding with DeepSeek-V3's own module for a further token (arXiv 2412.19437, section 5.4.3), one sequence
 * at a time: each run of the graph drafts a token or more and has the model check them, so that a step costs one pass
 * and gives up to 1 + drafts tokens, with the same distribution as without drafts.
 */
import { countFlops } from "../graph/analyse.ts";
import { MASKED } from "../graph/ops/nn.ts";
import { input } from "../graph/ops/source.ts";
import { concat, exp, max, mul, sub } from "../graph/ops.ts";
import { type Dim, Graph } from "../graph/tensor.ts";
import { type CachePlane, designOf, isV3, type ModelConfig } from "../models/architecture.ts";
import { type ParameterSpec, type Parameters, parameterInputs } from "../models/layers.ts";
import { causalMask } from "../models/masks.ts";
import { v3Decoder } from "../models/v3.ts";
import type { V3Config } from "../models/v3-config.ts";
import { continueSequence, draftTokens } from "../models/v3-mtp.ts";
import { Random } from "../runtime/random.ts";
import { f32, i32, Session, scalar, type Value } from "../runtime/session.ts";
import { KvCache } from "./cache.ts";
import { checkRequests, type GenerateOptions, type GenerationResult, Sampler } from "./engine.ts";
import { fixedParameters, openFixed, type WeightSource } from "./fixed.ts";
import { logitScale, sampleToken } from "./sampler.ts";
import type { Generation, GenerationRequest } from "./scheduler.ts";
import { fillGumbel, verifyDraft } from "./verify.ts";

/** The module was trained for the first; it is as good at the second, and a third costs what it brings. */
const DRAFTS = 2;

export interface SpeculativeResult extends GenerationResult {
  /** Drafts whose turn came, and those of them that stayed. */
  drafted: number;
  accepted: number;
}

/** How a graph gets its parameters: as inputs, or as part of it. */
export type ParameterMaker = (graph: Graph, specs: readonly ParameterSpec[]) => Parameters;

/** The graph that reads a prompt: what the cache holds of it, and `hidden` [1, seq, width] for the module. */
export function traceReading(config: V3Config, weights: ParameterMaker = parameterInputs): Graph {
  const graph = new Graph();
  const { parameters, planes } = designOf(config);
  const ids = input(graph, "ids", "i32", [1, "seq"]);
  const positions = input(graph, "positions", "i32", [1, "seq"]);
  const mask = input(graph, "mask", "f32", [1, 1, "seq", "seq"]);
  const { hidden, cache } = v3Decoder(weights(graph, parameters), config, { ids, positions, mask });
  graph.output("hidden", hidden);
  planes.forEach(({ name }, i) => {
    graph.output(name, cache[i]);
  });
  return graph;
}

/**
 * The graph that drafts tokens behind the newest one and runs the trunk over all of these: `drafts` [drafts, 1] with
 * `draftLogits`, of the trunk `logits` and `weights` (see `traceDecode`) [1 + drafts, vocab] and `hidden`
 * [1 + drafts, 1, width], and for each plane `fresh.<plane>` [rows, 1, 1, width]. Without drafts it decodes plainly.
 */
export function traceSpeculative(
  config: V3Config,
  drafts: number,
  weights: ParameterMaker = parameterInputs,
): Graph {
  const graph = new Graph();
  const { parameters, further, planes } = designOf(config);
  const traced = weights(graph, drafts > 0 ? [...parameters, ...further] : parameters);
  const real = (name: string, shape: Dim[]) => input(graph, name, "f32", shape);
  const whole = (name: string, shape: Dim[]) => input(graph, name, "i32", shape);
  const rows = 1 + drafts;
  const width = config.latent + config.ropeDim;
  const [scale, id, positions] = [real("scale", []), whole("id", [1, 1]), whole("positions", [rows, 1])];
  let ids = id;
  if (drafts > 0) {
    const drafted = draftTokens(traced, config, {
      hidden: real("pairs.hidden", ["pairs", 1, config.width]),
      next: whole("pairs.next", ["pairs", 1]),
      positions: whole("pairs.positions", ["pairs", 1]),
      cache: {
        past: real(moduleName(config), ["past", width]),
        mask: real("pairs.mask", ["pairs", 1, "(past+pairs)"]),
      },
      last: whole("pairs.last", [1]),
      later: positions,
      scale,
      noise: real("noise", [drafts, config.vocabSize]),
    });
    ids = concat([id, drafted.ids], 0);
    graph.output("drafts", drafted.ids);
    graph.output("draftLogits", drafted.logits);
    graph.output(`fresh.${moduleName(config)}`, drafted.fresh);
  }
  const { logits, hidden, fresh } = continueSequence(traced, config, {
    ids,
    positions,
    cache: planes.map(({ name }) => real(name, ["past", width])),
    mask: real("mask", [rows, 1, `(past+${rows})`]),
  });
  graph.output("logits", logits);
  graph.output("hidden", hidden);
  graph.scope("sampling", () => {
    const scaled = mul(logits, scale);
    graph.output("weights", exp(sub(scaled, max(scaled, [-1], true))));
  });
  planes.forEach(({ name }, i) => {
    graph.output(`fresh.${name}`, fresh[i]);
  });
  return graph;
}

/** The plane that the module's own attention caches. */
const moduleName = ({ layers }: V3Config): string => `latent.${layers}`;

/** What has been read of a sequence, and what the module has yet to read of it. */
interface Progress {
  /** The newest token's position; the trunk's cache holds those before it. */
  position: number;
  /** The newest tokens, and what the trunk made of the token before each, [pairs, 1, width]. */
  next: number[];
  hidden: Float32Array;
  /** Positions that the module's cache holds. */
  read: number;
}

export interface SpeculativeOptions {
  threads?: number;
  /** Tokens drafted at a step. */
  drafts?: number;
  parameters?: ReadonlyMap<string, Value>;
}

export class SpeculativeSampler {
  readonly drafts: number;
  private readonly config: V3Config;
  private readonly stepGraph: Graph;
  private readonly prefillGraph: Graph;
  private readonly step: Session;
  private readonly prefill: Session;
  private readonly planes: readonly CachePlane[];
  private readonly trunk: KvCache;
  private readonly module: KvCache;

  private constructor(
    config: V3Config,
    drafts: number,
    graphs: [Graph, Graph],
    sessions: [Session, Session],
  ) {
    this.config = config;
    this.drafts = drafts;
    [this.prefillGraph, this.stepGraph] = graphs;
    [this.prefill, this.step] = sessions;
    this.planes = designOf(config).planes;
    this.trunk = new KvCache(this.planes);
    this.module = new KvCache([
      { name: moduleName(config), heads: 1, width: config.latent + config.ropeDim },
    ]);
  }

  /**
   * With `parameters` the graphs hold the weights, and `generate` reads no others: ONNX Runtime packs them once, and a
   * product of two rows then costs hardly more than of one, where an input would be packed at each step.
   */
  static async create(config: V3Config, options: SpeculativeOptions = {}): Promise<SpeculativeSampler> {
    const { threads, drafts = DRAFTS, parameters } = options;
    const weights: ParameterMaker =
      parameters === undefined
        ? parameterInputs
        : (graph, specs) => fixedParameters(graph, specs, sourceOf(parameters), { precision: "f32" });
    const open = (graph: Graph, name: string) =>
      parameters === undefined
        ? Session.create(graph, { threads, name })
        : openFixed(graph, { threads, name });
    const graphs: [Graph, Graph] = [traceReading(config, weights), traceSpeculative(config, drafts, weights)];
    return new SpeculativeSampler(config, drafts, graphs, [
      await open(graphs[0], "reading"),
      await open(graphs[1], "speculative"),
    ]);
  }

  /** As `Sampler.generate`, one request after another. */
  async generate(
    parameters: ReadonlyMap<string, Value>,
    requests: readonly GenerationRequest[],
    options: GenerateOptions,
  ): Promise<SpeculativeResult> {
    checkRequests(this.config, requests);
    const weights = Object.fromEntries(parameters);
    const result: SpeculativeResult = {
      generations: [],
      flops: 0,
      tokens: 0,
      steps: 0,
      drafted: 0,
      accepted: 0,
    };
    for (const [index, request] of requests.entries())
      result.generations.push(await this.one(weights, request, index, options, result));
    return result;
  }

  private async one(
    weights: Record<string, Value>,
    { prompt, maxNewTokens, key }: GenerationRequest,
    index: number,
    options: GenerateOptions,
    result: SpeculativeResult,
  ): Promise<Generation> {
    const random = new Random(...(key as [string]));
    const generation: Generation = { ids: [], logProbs: [], finish: "length" };
    const progress = await this.start(weights, prompt, result);
    const { vocabSize, width } = this.config;
    while (generation.ids.length < maxNewTokens && generation.finish === "length") {
      options.signal?.throwIfAborted();
      const {
        drafts,
        draftLogits,
        logits,
        weights: target,
        hidden,
      } = await this.run(weights, progress, options, random, result);
      const next: number[] = [];
      for (let i = 0, accepted = true; accepted; i++) {
        const offset = i * vocabSize;
        const last = i === this.drafts;
        const row = { logits, weights: target, offset, vocabSize };
        const draft = { id: drafts[i], logits: draftLogits, offset };
        const token = last
          ? { ...sampleToken(logits, offset, vocabSize, options, random, target), accepted: false }
          : verifyDraft(row, draft, options, random);
        accepted = token.accepted;
        if (!last) result.drafted++;
        if (accepted) result.accepted++;
        next.push(token.id);
        generation.ids.push(token.id);
        generation.logProbs.push(token.logProb);
        result.tokens++;
        options.onToken?.(index, token.id);
        if (options.stopIds.has(token.id)) generation.finish = "stop";
        if (generation.finish === "stop" || generation.ids.length === maxNewTokens) break;
      }
      progress.position += next.length;
      progress.next = next;
      progress.hidden = hidden.slice(0, next.length * width);
    }
    return generation;
  }

  /** Reads a prompt but its last token, which the first step reads. */
  private async start(
    weights: Record<string, Value>,
    prompt: readonly number[],
    result: SpeculativeResult,
  ): Promise<Progress> {
    for (const cache of [this.trunk, this.module]) cache.reset(1);
    const seq = prompt.length - 1;
    // A single token has none before it: the draft from nothing is as good as any, and is checked as any.
    const alone = { position: 0, next: [...prompt], hidden: new Float32Array(this.config.width), read: -1 };
    if (seq === 0) return alone;
    const outputs = await this.prefill.run({
      ...weights,
      ids: i32(prompt.slice(0, -1), [1, seq]),
      positions: i32(
        Int32Array.from({ length: seq }, (_, i) => i),
        [1, seq],
      ),
      mask: causalMask(seq),
    });
    result.flops += countFlops(this.prefillGraph, { seq }).total;
    const array = (name: string) => outputs[name].data as Float32Array;
    this.trunk.ensure(seq, 1);
    this.trunk.load(0, { length: seq, tensors: this.planes.map(({ name }) => array(name)) });
    return { position: seq, next: prompt.slice(1), hidden: array("hidden"), read: 0 };
  }

  /** One run of the graph; both caches have read what they were given afterwards, drafts that fall included. */
  private async run(
    weights: Record<string, Value>,
    progress: Progress,
    options: GenerateOptions,
    random: Random,
    result: SpeculativeResult,
  ) {
    const { maxPositions, vocabSize, width } = this.config;
    const { position, next, hidden, read } = progress;
    const [pairs, rows] = [next.length, 1 + this.drafts];
    const limit = position + rows;
    this.trunk.ensure(limit, 1);
    this.module.ensure(limit, 1);
    const noise = new Float32Array(this.drafts * vocabSize);
    fillGumbel(noise, options.temperature, random);
    const first = Math.max(0, read);
    // Drafts beyond the last position are never asked for: any position will do.
    const from = (start: number, length: number): Value =>
      i32(
        Int32Array.from({ length }, (_, i) => Math.min(start + i, maxPositions - 1)),
        [length, 1],
      );
    const outputs = await this.step.run({
      ...weights,
      ...flatFeeds(this.trunk),
      ...flatFeeds(this.module),
      "pairs.hidden": f32(hidden, [pairs, 1, width]),
      "pairs.next": i32(next, [pairs, 1]),
      "pairs.positions": from(first, pairs),
      "pairs.mask": sequenceMask(first, this.module.window, pairs),
      "pairs.last": i32([pairs - 1]),
      scale: scalar(logitScale(options)),
      noise: f32(noise, [this.drafts, vocabSize]),
      id: i32([next[pairs - 1]], [1, 1]),
      positions: from(position, rows),
      mask: sequenceMask(position, this.trunk.window, rows),
    });
    const array = (name: string) => outputs[name].data as Float32Array;
    appendAll(
      this.trunk,
      position,
      rows,
      this.planes.map(({ name }) => array(`fresh.${name}`)),
    );
    if (read >= 0 && this.drafts > 0)
      appendAll(this.module, read, pairs, [array(`fresh.${moduleName(this.config)}`)]);
    progress.read += read < 0 ? 1 : pairs;
    result.steps++;
    result.flops += this.flopsOf(this.trunk.window, pairs);
    return {
      drafts: this.drafts > 0 ? (outputs.drafts.data as Int32Array) : [],
      draftLogits: this.drafts > 0 ? array("draftLogits") : new Float32Array(),
      logits: array("logits"),
      weights: array("weights"),
      hidden: array("hidden"),
    };
  }

  private readonly knownFlops = new Map<string, number>();

  private flopsOf(past: number, pairs: number): number {
    const key = `${past}+${pairs}`;
    const flops = this.knownFlops.get(key) ?? countFlops(this.stepGraph, { past, pairs }).total;
    this.knownFlops.set(key, flops);
    return flops;
  }

  async release(): Promise<void> {
    await this.prefill.release();
    await this.step.release();
  }
}

/** The only row as graph inputs [window, width]. */
function flatFeeds(cache: KvCache): Record<string, Value> {
  const feeds = Object.entries(cache.feeds(1));
  return Object.fromEntries(
    feeds.map(([name, value]) => [name, f32(value.data as Float32Array, value.shape.slice(2))]),
  );
}

/** What each of `rows` new tokens sees of a window filled below `filled`, and of itself and those before it. */
function sequenceMask(filled: number, window: number, rows: number): Value {
  const length = window + rows;
  const mask = new Float32Array(rows * length);
  for (let row = 0; row < rows; row++) {
    mask.fill(MASKED, row * length + filled, row * length + window);
    mask.fill(MASKED, row * length + window + row + 1, (row + 1) * length);
  }
  return f32(mask, [rows, 1, length]);
}

/** Stores `rows` tokens from `position` on; `fresh` has [rows, 1, 1, width] for each plane. */
function appendAll(cache: KvCache, position: number, rows: number, fresh: readonly Float32Array[]): void {
  for (let row = 0; row < rows; row++) {
    const own = fresh.map((plane) =>
      plane.subarray((row * plane.length) / rows, ((row + 1) * plane.length) / rows),
    );
    cache.append(0, position + row, own);
  }
}

/** Weights in memory as `fixedParameters` reads them. */
const sourceOf = (values: ReadonlyMap<string, Value>): WeightSource =>
  new Map([...values].map(([name, { shape, data }]) => [name, { shape, read: () => data as Float32Array }]));

export type AnySampler = Pick<Sampler, "generate" | "release">;

/** What decodes one conversation fastest: with drafts where the model has a module for them. */
export function samplerFor(
  config: ModelConfig,
  parameters: ReadonlyMap<string, Value>,
  options: { threads?: number } = {},
): Promise<AnySampler> {
  return isV3(config) && config.mtpLayers > 0
    ? SpeculativeSampler.create(config, { ...options, parameters })
    : Sampler.create(config, options);
}
