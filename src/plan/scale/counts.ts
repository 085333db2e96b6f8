/**
 * What a model of a published size computes and holds for one token, counted from the architecture's own parameters and from
 * graphs that are traced on the null device. Blocks of one kind are alike, so two of each are traced and the others follow.
 */
import { countFlops } from "../../graph/analyse.ts";
import { input } from "../../graph/ops/source.ts";
import { bindShape, Graph, type Node, sizeOf } from "../../graph/tensor.ts";
import { type ModelConfig, modelOf } from "../../models/architectures.ts";
import { sequenceInputs } from "../../models/decoder.ts";
import { countParameters, parameterInputs } from "../../models/layers.ts";
import { traceDecode } from "../../sample/graphs.ts";

/** FLOPs of matrix products for one token: `fixed`, and `perKey` for each token that it attends to. */
export interface TokenFlops {
  fixed: number;
  perKey: number;
}

/** A model as the planner sees it. */
export interface ModelCounts {
  /** With the MTP module. */
  parameters: number;
  /** Parameters that one token uses. Embedding and head count in full, the MTP module does not count. */
  active: number;
  /** A token of a sequence that is read from its beginning. */
  forward: TokenFlops;
  /** What the MTP module adds to `forward`; `null` where there is none. */
  mtp: TokenFlops | null;
  /** What only a shape tells; `null` for a model of which the size alone is known. */
  details: ModelDetails | null;
}

/** Counts of numbers are a token's. */
export interface ModelDetails {
  layers: number;
  hiddenSize: number;
  vocabSize: number;
  /** FLOPs of a new token over a KV cache. */
  decode: TokenFlops;
  /** Numbers in the KV cache of all layers. */
  cache: number;
  /** Numbers that the ops of the largest block make: its activations. */
  block: number;
  /** Parameters of all routed experts; how many a layer has, and a token uses. */
  routed: { parameters: number; experts: number; active: number };
}

/** The config must be one that `checkConfig` accepts. */
export function countModel(config: ModelConfig): ModelCounts {
  const { parameters: specs, mtp, cacheLayers } = modelOf(config);
  const trunk = countParameters(specs);
  const routed = routedParameters(config);
  const forward = overBlocks(config, countForward);
  const { layers, hiddenSize, vocabSize } = config;
  return {
    parameters: trunk + countParameters(mtp?.parameters ?? []),
    active: trunk - routed.parameters * (1 - routed.active / routed.experts),
    forward: forward.total,
    mtp: mtp === null ? null : countMtp(withBlocks(config, oneBlock(config))),
    details: {
      ...{ layers, hiddenSize, vocabSize, routed },
      decode: overBlocks(config, countDecode).total,
      cache: cacheLayers.reduce((sum, { heads, width }) => sum + heads * width, 0),
      block: Math.max(...forward.blocks.map(({ made }) => made)),
    },
  };
}

/** A model of which no more is known than its size: attention is not counted. */
export const modelOfSize = (parameters: number, active = parameters): ModelCounts => ({
  ...{ parameters, active, mtp: null, details: null },
  forward: { fixed: 2 * active, perKey: 0 },
});

function routedParameters(config: ModelConfig): ModelDetails["routed"] {
  if (!("experts" in config)) return { parameters: 0, experts: 1, active: 1 };
  const { experts, activeExperts: active, hiddenSize, moeIntermediateSize } = config;
  const expert = 3 * hiddenSize * moeIntermediateSize;
  return { parameters: blocksOf(config).routed * experts * expert, experts, active };
}

// ── blocks ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** How many dense blocks there are, and how many with experts. */
interface Blocks {
  dense: number;
  routed: number;
}

function blocksOf(config: ModelConfig): Blocks {
  const dense = "denseLayers" in config ? Math.min(config.denseLayers, config.layers) : config.layers;
  return { dense, routed: config.layers - dense };
}

/** The same model with other numbers of blocks. */
const withBlocks = (config: ModelConfig, { dense, routed }: Blocks): ModelConfig =>
  "denseLayers" in config
    ? { ...config, layers: dense + routed, denseLayers: dense }
    : { ...config, layers: dense };

const oneBlock = (config: ModelConfig): Blocks =>
  blocksOf(config).dense > 0 ? { dense: 1, routed: 0 } : { dense: 0, routed: 1 };

interface Counted extends TokenFlops {
  /** Numbers that ops make. */
  made: number;
}

const combine = (a: Counted, b: Counted, factor: number): Counted => ({
  fixed: a.fixed + factor * b.fixed,
  perKey: a.perKey + factor * b.perKey,
  made: a.made + factor * b.made,
});

/** Counts of the whole model and of one block of each kind, from models of one block and of two. */
function overBlocks(
  config: ModelConfig,
  count: (config: ModelConfig) => Counted,
): { total: Counted; blocks: Counted[] } {
  const all = blocksOf(config);
  const first = oneBlock(config);
  const base = count(withBlocks(config, first));
  const kinds = (["dense", "routed"] as const).filter((kind) => all[kind] > 0);
  const blocks = kinds.map((kind) =>
    combine(count(withBlocks(config, { ...first, [kind]: first[kind] + 1 })), base, -1),
  );
  const total = kinds.reduce((sum, kind, i) => combine(sum, blocks[i], all[kind] - first[kind]), base);
  return { total, blocks };
}

// ── graphs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Lengths at which a graph is counted. Its FLOPs a token are linear in the length, so any two will do. */
const [SHORT, LONG] = [1024, 2048];

/** A graph of `rows(length)` tokens, where `symbol` is the length. */
function counted(graph: Graph, symbol: string, rows: (length: number) => number): Counted {
  const at = (length: number): number =>
    (countFlops(graph, { [symbol]: length, batch: 1 }).byOp.get("matmul") ?? 0) / rows(length);
  const perKey = (at(LONG) - at(SHORT)) / (LONG - SHORT);
  const made = madeNumbers(graph, { [symbol]: SHORT, batch: 1 }) / rows(SHORT);
  return { fixed: at(SHORT) - perKey * SHORT, perKey, made };
}

function countForward(config: ModelConfig): Counted {
  const graph = new Graph();
  const { parameters, forward } = modelOf(config);
  const inputs = sequenceInputs(graph, { batch: 1, seq: "seq", mask: "shared" });
  graph.output("logits", forward(parameterInputs(graph, parameters), inputs).logits);
  return counted(graph, "seq", (length) => length);
}

const countDecode = (config: ModelConfig): Counted => counted(traceDecode(config), "past", () => 1);

function countMtp(config: ModelConfig): Counted | null {
  const { parameters, mtp } = modelOf(config);
  if (mtp === null) return null;
  const graph = new Graph();
  const inputs = sequenceInputs(graph, { batch: 1, seq: "seq", mask: "shared" });
  const hidden = input(graph, "hidden", "f32", [1, "seq", config.hiddenSize]);
  const weights = parameterInputs(graph, [...parameters, ...mtp.parameters]);
  graph.output("logits", mtp.forward(weights, { ...inputs, hidden }).logits);
  return counted(graph, "seq", (length) => length);
}

/**
 * Numbers that ops make, a composite as one: attention keeps its result alone, as FlashAttention does. Views do not count, and
 * neither does what is there before.
 */
function madeNumbers(graph: Graph, sizes: Record<string, number>): number {
  const seen = new Set<Node>();
  const made = ({ op, inputs, outputs }: Node): number => {
    const own = op.memory === "source" || op.memory === "view" ? [] : outputs;
    let sum = own.reduce((total, { shape }) => total + sizeOf(bindShape(shape, sizes)), 0);
    for (const { node } of inputs) {
      if (seen.has(node)) continue;
      seen.add(node);
      sum += made(node);
    }
    return sum;
  };
  return [...graph.outputs.values()].reduce((sum, { node }) => sum + made(node), 0);
}
