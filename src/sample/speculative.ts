/**
 * DeepSeek-V3's design one sequence at a time: a graph that reads tokens behind what is cached, and drafts further ones
 * with the model's own module (arXiv 2412.19437, section 5.4.3). A step of decoding reads the newest token and has the
 * model check drafts behind it, so that it costs one pass and gives up to 1 + drafts tokens, with the same distribution
 * as without drafts.
 */
import type { TensorSource } from "../checkpoint/weights.ts";
import { countFlops } from "../graph/analyse.ts";
import { MASKED } from "../graph/ops/nn.ts";
import { input } from "../graph/ops/source.ts";
import { concat, gather } from "../graph/ops.ts";
import { type Dim, Graph } from "../graph/tensor.ts";
import { Random } from "../lib/random.ts";
import { type CacheLayer, modelOf } from "../models/architectures.ts";
import { type ParameterMaker, parameterInputs } from "../models/layers.ts";
import type { V3Config } from "../models/v3-config.ts";
import { continueSequence, draftTokens } from "../models/v3-mtp.ts";
import type { Engine } from "../runtime/engine.ts";
import { f32, type HostValue, host, i32, type Session, scalar } from "../runtime/session.ts";
import { KvCache } from "./cache.ts";
import type { GenerateOptions, GenerationResult } from "./engine.ts";
import { type FixedOptions, fixedParameters, isExact, openFixed } from "./fixed.ts";
import { outputLogits } from "./graphs.ts";
import { PIECES, tokensOfPass, wholePieces } from "./pieces.ts";
import { checkRequests, commonPrefix } from "./requests.ts";
import { drawFor, LogitsError, logitScale, sampleToken } from "./sampler.ts";
import type { Generation, GenerationRequest } from "./scheduler.ts";
import { fillGumbel, verifyDraft } from "./verify.ts";

/** The module was trained for the first; it is as good at the second, and a third costs what it brings. */
const DRAFTS = 2;

export interface SpeculativeResult extends GenerationResult {
  /** Drafts whose turn came, and those of them that stayed. */
  drafted: number;
  accepted: number;
}

/**
 * The graph that drafts tokens behind `ids` [known, 1] and runs the trunk over all of these, behind what is cached:
 * `drafts` [drafts, 1] with `draftLogits`; of the trunk's last 1 + drafts tokens `logits` and `weights` (see
 * `traceDecode`) [1 + drafts, vocab]; of all `hidden` [rows, 1, width], and for each plane `fresh.<plane>`
 * [rows, 1, 1, width].
 */
export function traceSpeculative(
  config: V3Config,
  drafts: number,
  weights: ParameterMaker = parameterInputs,
): Graph {
  const graph = new Graph();
  const { parameters, mtp, cacheLayers: planes } = modelOf(config);
  const traced = weights(graph, drafts > 0 ? [...parameters, ...(mtp?.parameters ?? [])] : parameters);
  const real = (name: string, shape: Dim[]) => input(graph, name, "f32", shape);
  const whole = (name: string, shape: Dim[]) => input(graph, name, "i32", shape);
  const rows = drafts > 0 ? `(known+${drafts})` : "known";
  const width = config.kvLoraRank + config.ropeDim;
  const scale = real("scale", []);
  let ids = whole("ids", ["known", 1]);
  if (drafts > 0) {
    const drafted = draftTokens(traced, config, {
      hidden: real("pairs.hidden", ["pairs", 1, config.hiddenSize]),
      next: whole("pairs.next", ["pairs", 1]),
      positions: whole("pairs.positions", ["pairs", 1]),
      cache: {
        past: real(moduleName(config), ["past", width]),
        mask: real("pairs.mask", ["pairs", 1, "(past+pairs)"]),
      },
      last: whole("pairs.last", [1]),
      later: whole("drafts.positions", [drafts, 1]),
      scale,
      noise: real("noise", [drafts, config.vocabSize]),
    });
    ids = concat([ids, drafted.ids], 0);
    graph.output("drafts", drafted.ids);
    graph.output("draftLogits", drafted.logits);
    graph.output(`fresh.${moduleName(config)}`, drafted.fresh);
  }
  const last = whole("last", [1 + drafts]);
  const { logits, hidden, fresh } = continueSequence(traced, config, {
    ids,
    positions: whole("positions", [rows, 1]),
    cache: planes.map(({ name }) => real(name, ["past", width])),
    mask: real("mask", [rows, 1, `(past+${rows})`]),
    wanted: (all) => gather(all, last),
  });
  outputLogits(graph, logits, scale);
  if (drafts > 0) graph.output("hidden", hidden);
  planes.forEach(({ name }, i) => {
    graph.output(`fresh.${name}`, fresh[i]);
  });
  return graph;
}

/** The plane that the module's own attention caches. */
const moduleName = ({ layers }: V3Config): string => `latent.${layers}`;

/** What is cached of one sequence, from one request to the next. */
interface Sequence {
  /** Tokens in the trunk's cache. */
  ids: number[];
  /** Tokens in the module's cache, each read with the one behind it: all but the newest of `ids`. */
  read: number;
  /** What the trunk made of these newest, [ids.length - read, 1, width]. */
  hidden: Float32Array;
  /** How many of `ids` were read as a prompt, in pieces. */
  promptTokens: number;
}

const NOTHING: Sequence = { ids: [], read: 0, hidden: new Float32Array(), promptTokens: 0 };

/** What the parts of one request share. */
interface Call {
  options: GenerateOptions;
  random: Random;
  result: SpeculativeResult;
}

export class SpeculativeSampler {
  readonly drafts: number;
  private readonly config: V3Config;
  private readonly graph: Graph;
  private readonly session: Session;
  private readonly planes: readonly CacheLayer[];
  private readonly trunk: KvCache;
  private readonly module: KvCache;
  private sequence: Sequence = { ...NOTHING, ids: [] };
  /** See `Sampler`: tokens of a pass, and whether what is kept must be the same to the bit. */
  private readonly passTokens: number;
  private readonly exact: boolean;

  private constructor(config: V3Config, drafts: number, graph: Graph, session: Session, exact: boolean) {
    this.exact = exact;
    this.config = config;
    this.drafts = drafts;
    this.graph = graph;
    this.session = session;
    this.planes = modelOf(config).cacheLayers;
    this.trunk = new KvCache(this.planes);
    this.module = new KvCache([
      { name: moduleName(config), heads: 1, width: config.kvLoraRank + config.ropeDim },
    ]);
    const sizes = { past: this.trunk.window, pairs: 1 };
    this.passTokens = tokensOfPass((known) => countFlops(graph, { ...sizes, known }).total, PIECES);
  }

  /**
   * All of `source` is read before this returns its promise.
   * @param options `drafts`: tokens drafted at a step; none where the model has no module for them
   */
  static async create(
    config: V3Config,
    source: TensorSource,
    engine: Engine,
    { drafts = config.mtpLayers > 0 ? DRAFTS : 0, ...options }: FixedOptions & { drafts?: number },
  ): Promise<SpeculativeSampler> {
    const graph = traceSpeculative(config, drafts, (traced, specs) =>
      fixedParameters(traced, specs, source, options),
    );
    const session = await openFixed(graph, engine);
    return new SpeculativeSampler(config, drafts, graph, session, isExact(options));
  }

  /** As `Sampler.generate`, one request after another; what a prompt shares with the sequence before is not read again. */
  async generate(
    requests: readonly GenerationRequest[],
    options: GenerateOptions,
  ): Promise<SpeculativeResult> {
    checkRequests(this.config, requests, options);
    const result: SpeculativeResult = {
      generations: [],
      flops: 0,
      tokens: 0,
      steps: 0,
      drafted: 0,
      accepted: 0,
    };
    for (const [index, request] of requests.entries()) {
      const random = new Random(...(request.key as [string]));
      const { tokens } = result;
      try {
        result.generations.push(await this.one(request, index, { options, random, result }));
      } catch (error) {
        if (error instanceof LogitsError || result.tokens === tokens) this.forget();
        throw error;
      }
    }
    return result;
  }

  /** What is not finite would outlive its request: see `Sampler`. */
  private forget(): void {
    this.sequence = { ...NOTHING, ids: [] };
    for (const cache of [this.trunk, this.module]) cache.clear();
  }

  private async one(
    { prompt, maxNewTokens }: GenerationRequest,
    index: number,
    call: Call,
  ): Promise<Generation> {
    const { options, random, result } = call;
    const { vocabSize } = this.config;
    const generation: Generation = { ids: [], logProbs: [], finish: "length" };
    await this.read(prompt, call);
    let newest = prompt[prompt.length - 1];
    while (generation.ids.length < maxNewTokens && generation.finish === "length") {
      options.signal?.throwIfAborted();
      const step = await this.run([newest], call, true);
      const { drafts, draftLogits, logits, weights: target } = step;
      result.steps++;
      const next: number[] = [];
      for (let i = 0, accepted = true; accepted; i++) {
        const offset = i * vocabSize;
        const last = i === this.drafts;
        const row = { logits, weights: target, offset, vocabSize };
        const draft = { id: drafts[i], logits: draftLogits, offset };
        const { length } = generation.ids;
        const token = drawFor(index, length, prompt.length + length, () =>
          last
            ? { ...sampleToken(logits, offset, vocabSize, options.sampling, random, target), accepted: false }
            : verifyDraft(row, draft, options.sampling, random),
        );
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
      this.keep([newest, ...next.slice(0, -1)], step);
      newest = next[next.length - 1];
    }
    return generation;
  }

  /** Goes back to what the prompt shares with the sequence, and reads on to all but its last token, which a step reads. */
  private async read(prompt: readonly number[], call: Call): Promise<void> {
    const { ids, read, promptTokens } = this.sequence;
    // The module has read a token with the one behind it, and its first draft needs a token that it has not read.
    const shared = Math.max(0, Math.min(read, commonPrefix(ids, prompt) - 1, prompt.length - 2));
    const kept = this.exact ? wholePieces(Math.min(shared, promptTokens), this.passTokens) : shared;
    this.sequence = {
      ...{ ids: ids.slice(0, kept), read: kept, hidden: new Float32Array() },
      promptTokens: prompt.length - 1,
    };
    for (const cache of [this.trunk, this.module]) cache.keep(kept);
    for (let start = kept; start < prompt.length - 1; start += this.passTokens) {
      call.options.signal?.throwIfAborted();
      const piece = prompt.slice(start, Math.min(start + this.passTokens, prompt.length - 1));
      this.keep(piece, await this.run(piece, call, false));
    }
  }

  /** `known` tokens behind the sequence, and drafts behind these, which are worth something in `decoding` alone. */
  private async run(known: readonly number[], { options, random, result }: Call, decoding: boolean) {
    const { maxPositions, vocabSize, hiddenSize: width } = this.config;
    const { drafts } = this;
    const { ids, read, hidden } = this.sequence;
    const [position, unread] = [ids.length, ids.length - read];
    const rows = known.length + drafts;
    this.trunk.ensure(position + rows, 1);
    this.module.ensure(position, 1);
    // A draft wants a pair: where there is none, one of nothing, which is not kept.
    const pairs = Math.max(1, unread);
    const noise = new Float32Array(drafts * vocabSize);
    if (decoding) fillGumbel(noise, options.sampling.temperature, random);
    // Drafts behind a piece of a prompt are worth nothing, but experts read them beside it: always the same ones.
    else for (let draft = 0; draft < drafts; draft++) noise[draft * vocabSize] = 1e30;
    // Drafts beyond the last position are never asked for: any position will do.
    const from = (start: number, length: number): HostValue =>
      i32(
        Int32Array.from({ length }, (_, i) => Math.min(start + i, maxPositions - 1)),
        [length, 1],
      );
    const outputs = await this.session.run({
      ...flatFeeds(this.trunk),
      ...flatFeeds(this.module),
      "pairs.hidden": f32(unread > 0 ? hidden : new Float32Array(width), [pairs, 1, width]),
      "pairs.next": i32([...ids.slice(read + 1), known[0]], [pairs, 1]),
      "pairs.positions": from(read, pairs),
      "pairs.mask": sequenceMask(read, this.module.window, pairs),
      "pairs.last": i32([pairs - 1]),
      "drafts.positions": from(position, drafts),
      scale: scalar(logitScale(options.sampling)),
      noise: f32(noise, [drafts, vocabSize]),
      ids: i32(known as number[], [known.length, 1]),
      positions: from(position, rows),
      mask: sequenceMask(position, this.trunk.window, rows),
      last: i32(Array.from({ length: 1 + drafts }, (_, i) => known.length - 1 + i)),
    });
    const array = (name: string) => host(outputs[name]).data as Float32Array;
    if (drafts > 0 && unread > 0)
      this.module.append(0, read, [array(`fresh.${moduleName(this.config)}`)], pairs, pairs);
    result.flops += this.flopsOf({ past: this.trunk.window, pairs, known: known.length });
    return {
      // [rows, 1, 1, width]: a single head's tokens, one after another.
      fresh: this.planes.map(({ name }) => array(`fresh.${name}`)),
      drafts: drafts > 0 ? (host(outputs.drafts).data as Int32Array) : [],
      draftLogits: drafts > 0 ? array("draftLogits") : new Float32Array(),
      logits: array("logits"),
      weights: array("weights"),
      hidden: drafts > 0 ? array("hidden") : new Float32Array(),
    };
  }

  /** The first of the tokens that a run read belong to the sequence: those that were known, and drafts that stayed. */
  private keep(
    tokens: readonly number[],
    { fresh, hidden }: { fresh: Float32Array[]; hidden: Float32Array },
  ): void {
    const { sequence } = this;
    const before = sequence.ids.length;
    this.trunk.append(0, before, fresh, tokens.length, fresh[0].length / this.planes[0].width);
    sequence.ids.push(...tokens);
    sequence.read = this.drafts > 0 ? before : sequence.ids.length;
    sequence.hidden = hidden.slice(0, tokens.length * this.config.hiddenSize);
  }

  private readonly knownFlops = new Map<string, number>();

  private flopsOf(sizes: { past: number; pairs: number; known: number }): number {
    const key = Object.values(sizes).join();
    const flops = this.knownFlops.get(key) ?? countFlops(this.graph, sizes).total;
    this.knownFlops.set(key, flops);
    return flops;
  }

  release(): Promise<void> {
    return this.session.release();
  }
}

/** The only row as graph inputs [window, width]. */
function flatFeeds(cache: KvCache): Record<string, HostValue> {
  const feeds = Object.entries(cache.feeds(1));
  return Object.fromEntries(
    feeds.map(([name, value]) => [name, f32(value.data as Float32Array, value.shape.slice(2))]),
  );
}

/** What each of `rows` new tokens sees of a window filled below `filled`, and of itself and those before it. */
function sequenceMask(filled: number, window: number, rows: number): HostValue {
  const length = window + rows;
  const mask = new Float32Array(rows * length);
  for (let row = 0; row < rows; row++) {
    mask.fill(MASKED, row * length + filled, row * length + window);
    mask.fill(MASKED, row * length + window + row + 1, (row + 1) * length);
  }
  return f32(mask, [rows, 1, length]);
}
