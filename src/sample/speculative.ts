/**
 * Speculative decoding with DeepSeek-V3's own module for a further token (arXiv 2412.19437, section 5.4.3), one sequence
 * at a time: each run of the graph drafts a token or more and has the model check them, so that a step costs one pass
 * and gives up to 1 + drafts tokens, with the same distribution as without drafts.
 */
import { countFlops } from "../graph/analyse.ts";
import { MASKED } from "../graph/ops/nn.ts";
import { input } from "../graph/ops/source.ts";
import { exp, max, mul, sub } from "../graph/ops.ts";
import { Graph } from "../graph/tensor.ts";
import { designOf, isV3, type ModelConfig } from "../models/architecture.ts";
import { parameterInputs } from "../models/layers.ts";
import { causalMask } from "../models/masks.ts";
import { v3Decoder } from "../models/v3.ts";
import type { V3Config } from "../models/v3-config.ts";
import { speculativeStep } from "../models/v3-mtp.ts";
import { Random } from "../runtime/random.ts";
import { f32, i32, Session, scalar, type Value } from "../runtime/session.ts";
import { KvCache } from "./cache.ts";
import { checkRequests, type GenerateOptions, type GenerationResult, Sampler } from "./engine.ts";
import { logitScale, sampleToken } from "./sampler.ts";
import type { Generation, GenerationRequest } from "./scheduler.ts";
import { fillGumbel, verifyDraft } from "./verify.ts";

/** One more token than the module was trained for brings less than it costs. */
const DRAFTS = 1;

export interface SpeculativeResult extends GenerationResult {
  /** Drafts whose turn came, and those of them that stayed. */
  drafted: number;
  accepted: number;
}

/** The graph that reads a prompt: what the cache holds of it, and `hidden` [1, seq, width] for the module. */
export function traceSpeculativePrefill(config: V3Config): Graph {
  const graph = new Graph();
  const { parameters, planes } = designOf(config);
  const ids = input(graph, "ids", "i32", [1, "seq"]);
  const positions = input(graph, "positions", "i32", [1, "seq"]);
  const mask = input(graph, "mask", "f32", [1, 1, "seq", "seq"]);
  const { hidden, cache } = v3Decoder(parameterInputs(graph, parameters), config, { ids, positions, mask });
  graph.output("hidden", hidden);
  planes.forEach(({ name }, i) => {
    graph.output(name, cache[i]);
  });
  return graph;
}

/** The graph of `speculativeStep`: see there. `weights` are as in the decode graph. */
export function traceSpeculative(config: V3Config, drafts: number): Graph {
  const graph = new Graph();
  const { parameters, further, planes } = designOf(config);
  const rows = 1 + drafts;
  const matrix = (name: string, shape: (number | string)[]) => input(graph, name, "f32", shape);
  const width = config.latent + config.ropeDim;
  const scale = matrix("scale", []);
  const step = speculativeStep(
    parameterInputs(graph, [...parameters, ...further]),
    config,
    {
      hidden: matrix("pairs.hidden", ["pairs", 1, config.width]),
      next: input(graph, "pairs.next", "i32", ["pairs", 1]),
      positions: input(graph, "pairs.positions", "i32", ["pairs", 1]),
      cache: {
        past: matrix(moduleName(config), [1, 1, "past", width]),
        mask: matrix("pairs.mask", ["pairs", 1, "(past+pairs)"]),
      },
      last: input(graph, "pairs.last", "i32", [1]),
      scale,
      noise: matrix("noise", [drafts, config.vocabSize]),
    },
    {
      id: input(graph, "id", "i32", [1, 1]),
      positions: input(graph, "positions", "i32", [rows, 1]),
      cache: planes.map(({ name }) => matrix(name, [1, 1, "past", width])),
      mask: matrix("mask", [rows, 1, `(past+${rows})`]),
    },
  );
  const { drafts: ids, draftLogits, logits, hidden, fresh, freshDraft } = step;
  const outputs = { drafts: ids, draftLogits, logits, hidden };
  for (const [name, tensor] of Object.entries(outputs)) graph.output(name, tensor);
  graph.scope("sampling", () => {
    const scaled = mul(logits, scale);
    graph.output("weights", exp(sub(scaled, max(scaled, [-1], true))));
  });
  [...planes.map(({ name }) => name), moduleName(config)].forEach((name, i) => {
    graph.output(`fresh.${name}`, fresh[i] ?? freshDraft);
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

export class SpeculativeSampler {
  readonly drafts: number;
  private readonly config: V3Config;
  private readonly stepGraph: Graph;
  private readonly prefillGraph: Graph;
  private readonly step: Session;
  private readonly prefill: Session;
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
    this.trunk = new KvCache(designOf(config).planes);
    this.module = new KvCache([
      { name: moduleName(config), heads: 1, width: config.latent + config.ropeDim },
    ]);
  }

  static async create(
    config: V3Config,
    { threads, drafts = DRAFTS }: { threads?: number; drafts?: number } = {},
  ): Promise<SpeculativeSampler> {
    const graphs: [Graph, Graph] = [traceSpeculativePrefill(config), traceSpeculative(config, drafts)];
    return new SpeculativeSampler(config, drafts, graphs, [
      await Session.create(graphs[0], { threads, name: "prefill" }),
      await Session.create(graphs[1], { threads, name: "speculative" }),
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
    this.trunk.load(0, { length: seq, tensors: designOf(this.config).planes.map(({ name }) => array(name)) });
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
      ...this.trunk.feeds(1),
      ...this.module.feeds(1),
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
      designOf(this.config).planes.map(({ name }) => array(`fresh.${name}`)),
    );
    if (read >= 0) appendAll(this.module, read, pairs, [array(`fresh.${moduleName(this.config)}`)]);
    progress.read += read < 0 ? 1 : pairs;
    result.steps++;
    result.flops += this.flopsOf(this.trunk.window, pairs);
    return {
      drafts: outputs.drafts.data as Int32Array,
      draftLogits: array("draftLogits"),
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

/** What decodes one conversation fastest: with drafts where the model has a module for them. */
export function openSampler(
  config: ModelConfig,
  options: { threads?: number } = {},
): Promise<Sampler | SpeculativeSampler> {
  return isV3(config) && config.mtpLayers > 0
    ? SpeculativeSampler.create(config, options)
    : Sampler.create(config, options);
}
