/**
 * DeepSeek-V3's module that predicts a further token (arXiv 2412.19437, section 2.2): in training a second loss, in
 * decoding the draft of tokens that the model then checks all at once (section 5.4.3).
 */
import { constant } from "../graph/ops/source.ts";
import {
  add,
  argmax,
  cast,
  concat,
  gather,
  linear,
  matmul,
  mul,
  reshape,
  rmsNorm,
  slice,
  softmax,
} from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { type CachedStep, cacheMasks, flatLogits, wantedTokens } from "./cache.ts";
import type { Parameters } from "./layers.ts";
import { type AttendLatent, absorbedAttention, overCache, rotarySettings } from "./mla.ts";
import { rotaryTables } from "./rope.ts";
import {
  type Attend,
  embedding,
  expanded,
  head,
  runBlock,
  trunk,
  type V3Options,
  type V3Result,
} from "./v3.ts";
import type { V3Config } from "./v3-config.ts";
import { layerWeights } from "./v3-parameters.ts";

type ModuleResult = Pick<V3Result, "hidden" | "cache" | "routing">;

/**
 * h' = M [RMSNorm(Emb(t_{i+1})) ; RMSNorm(h_i)] in the order of the published weights, then one block and its norm
 * (eq. 21, 22): `hidden` has h_i, after the trunk's final norm, and `next` the tokens t_{i+1}, i32 [batch, seq].
 */
function further(
  parameters: Parameters,
  config: V3Config,
  { hidden, next }: { hidden: Tensor; next: Tensor },
  attend: Attend,
  options: V3Options = {},
): ModuleResult {
  const { graph } = hidden;
  const layer = config.layers;
  const weights = layerWeights(parameters, layer);
  const norm = (x: Tensor, name: string) =>
    graph.scope(name, () => rmsNorm(x, weights(`${name}.weight`), config.normEps));
  const joined = graph.scope(`layers.${layer}`, () => {
    const both = concat([norm(embedding(parameters, next), "enorm"), norm(hidden, "hnorm")], -1);
    return graph.scope("join", () => linear(both, weights("eh_proj.weight")));
  });
  const { x, cache, routing } = runBlock(joined, parameters, config, layer, attend, options);
  return {
    hidden: graph.scope(`layers.${layer}`, () => norm(x, "shared_head.norm")),
    cache: [cache],
    routing: routing === null ? [] : [{ layer, ...routing }],
  };
}

/** Whole sequences, for training: logits [batch, seq, vocab] of t_{i+2} through the shared head (eq. 23). */
export function mtpModule(
  parameters: Parameters,
  { hidden, context }: Pick<V3Result, "hidden" | "context">,
  { next, mask }: { next: Tensor; mask: Tensor },
  options: V3Options = {},
): Pick<V3Result, "logits" | "routing"> {
  const result = further(parameters, context.config, { hidden, next }, expanded(mask, context), options);
  return { logits: head(parameters, context.config, result.hidden), routing: result.routing };
}

/** New tokens over the module's own cache: see `MtpModule.decode`. */
export function mtpDecode(
  parameters: Parameters,
  config: V3Config,
  step: CachedStep & { hidden: Tensor },
): { logits: Tensor; hidden: Tensor; fresh: Tensor[] } {
  const { positions, chunk } = step;
  const context = { config, tables: rotaryTables(positions.graph, rotarySettings(config)), positions };
  const attend = overCache(step.cache[0], cacheMasks(step, config.heads));
  const inputs = { hidden: step.hidden, next: step.ids };
  const { hidden, cache } = further(parameters, config, inputs, (x, weights) =>
    absorbedAttention(x, weights, attend, context),
  );
  const wanted = chunk === undefined ? hidden : wantedTokens(hidden, chunk.last);
  return { logits: flatLogits(head(parameters, config, wanted)), hidden, fresh: cache };
}

/**
 * Consecutive tokens of one sequence as rows of a batch: queries [rows, heads, width] over `keys` [length, width], the
 * cache and behind it the rows' own entries; the mask [rows, 1, length] says which of them each row sees. Keys are the
 * values as well. With one sequence the copy that joins the two is small beside what it saves in nodes.
 */
function consecutive(queries: Tensor, keys: Tensor, mask: Tensor, scale: number): Tensor {
  const [rows, heads, , width] = queries.shape;
  const each = reshape(queries, [rows, heads, width]);
  const shares = softmax(add(matmul(each, keys, { transB: true, alpha: scale }), mask));
  return reshape(matmul(shares, keys), [rows, 1, heads, width]);
}

/** What one sequence has cached, [past, width], and a mask over it and the new entries behind it. */
export interface SequenceCache {
  past: Tensor;
  mask: Tensor;
}

/** Entries [rows, 1, 1, width] behind `past`. */
const behind = (past: Tensor, entries: Tensor): Tensor =>
  concat([past, reshape(entries, [entries.shape[0], past.shape[1]])], 0);

const overSequence =
  ({ past, mask }: SequenceCache): AttendLatent =>
  (queries, own, scale) =>
    consecutive(queries, behind(past, own), mask, scale);

export interface DraftInputs {
  /** What the trunk made of tokens i that the module has not read, [pairs, 1, width], with the tokens i + 1 and i. */
  hidden: Tensor;
  next: Tensor;
  positions: Tensor;
  /** The module's own cache; its mask is [pairs, 1, past + pairs]. */
  cache: SequenceCache;
  /** The last pair, [1] i32: pairs - 1. */
  last: Tensor;
  /** Positions of the newest token and of all drafts but the last, [drafts, 1] i32. */
  later: Tensor;
  /** The logits' factor, and what is added to them before the largest is chosen, [drafts, vocab]. */
  scale: Tensor;
  noise: Tensor;
}

export interface Drafts {
  /** [drafts, 1] i32, and the logits · scale that each was drawn from, [drafts, vocab]. */
  ids: Tensor;
  logits: Tensor;
  /** What the module's cache gets, [pairs, 1, 1, width]. */
  fresh: Tensor;
}

/**
 * Drafts the tokens behind the newest one. A draft is the largest of logits · scale + noise: with Gumbel noise a sample
 * of their softmax (Gumbel 1954), with none the likeliest token. For drafts after the first, the module takes its own
 * output in place of the trunk's.
 */
export function draftTokens(parameters: Parameters, config: V3Config, inputs: DraftInputs): Drafts {
  const { graph } = inputs.hidden;
  const tables = rotaryTables(graph, rotarySettings(config));
  const module = (
    { hidden, next, positions }: Pick<DraftInputs, "hidden" | "next" | "positions">,
    attend: AttendLatent,
  ) =>
    further(parameters, config, { hidden, next }, (x, weights) =>
      absorbedAttention(x, weights, attend, { config, tables, positions }),
    );
  const { past } = inputs.cache;
  const pairs = module(inputs, overSequence(inputs.cache));
  let hidden = gather(pairs.hidden, inputs.last);
  let seen = behind(past, pairs.cache[0]);
  let mask = gather(inputs.cache.mask, inputs.last);
  const ids: Tensor[] = [];
  const logits: Tensor[] = [];
  for (let i = 0; i < (inputs.noise.shape[0] as number); i++) {
    if (i > 0) {
      const positions = slice(inputs.later, 0, i - 1, i);
      const draft = module({ hidden, next: ids[i - 1], positions }, (queries, own, scale) => {
        seen = behind(seen, own);
        mask = concat([mask, constant(graph, 0, [1, 1, 1])], 2);
        return consecutive(queries, seen, mask, scale);
      });
      hidden = draft.hidden;
    }
    graph.scope(`draft.${i}`, () => {
      const row = reshape(head(parameters, config, hidden), [1, config.vocabSize]);
      logits.push(mul(row, inputs.scale));
      const id = argmax(add(logits[i], slice(inputs.noise, 0, i, i + 1)));
      ids.push(reshape(cast(id, "i32"), [1, 1]));
    });
  }
  return { ids: concat(ids, 0), logits: concat(logits, 0), fresh: pairs.cache[0] };
}

export interface SequenceInputs {
  /** Consecutive tokens and their positions, [rows, 1] i32. */
  ids: Tensor;
  positions: Tensor;
  /** Of each layer, [past, width]. */
  cache: readonly Tensor[];
  /** [rows, 1, past + rows]. */
  mask: Tensor;
  /** The rows whose logits are wanted: hidden [rows, 1, width] -> [wanted, 1, width]. */
  wanted: (hidden: Tensor) => Tensor;
}

/** The trunk over consecutive tokens of one sequence: logits [wanted, vocab], hidden [rows, 1, width], and what is stored. */
export function continueSequence(
  parameters: Parameters,
  config: V3Config,
  { ids, positions, cache, mask, wanted }: SequenceInputs,
): { logits: Tensor; hidden: Tensor; fresh: Tensor[] } {
  const result = trunk(
    parameters,
    config,
    { ids, positions },
    (layer, context) => (x, weights) =>
      absorbedAttention(x, weights, overSequence({ past: cache[layer], mask }), context),
    { wanted },
  );
  const logits = reshape(result.logits, [result.logits.shape[0], config.vocabSize]);
  return { logits, hidden: result.hidden, fresh: result.cache };
}
