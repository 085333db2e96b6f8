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
import { product, type Tensor } from "../graph/tensor.ts";
import type { Parameters } from "./layers.ts";
import { type AttendLatent, absorbedAttention, rotarySettings } from "./mla.ts";
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

/**
 * Consecutive tokens of one sequence as rows of a batch: queries [rows, 1, heads, width] over `keys` [length, width],
 * the cache and behind it the rows' own entries; the mask [rows, 1, length] says which of them each row sees. Keys are
 * the values as well. With one sequence the copy that joins the two is small beside what it saves in nodes.
 */
function consecutive(queries: Tensor, keys: Tensor, mask: Tensor, scale: number): Tensor {
  const [rows, , heads, width] = queries.shape;
  const each = reshape(queries, [rows, heads, width]);
  const shares = softmax(add(matmul(each, keys, { transB: true, alpha: scale }), mask));
  return reshape(matmul(shares, keys), queries.shape);
}

/** What one sequence has cached, [1, 1, past, width], and a mask over it and the new entries behind it. */
export interface SequenceCache {
  past: Tensor;
  mask: Tensor;
}

/** Entries as a matrix, [length, width]. */
const flat = (entries: Tensor): Tensor =>
  reshape(entries, [product(entries.shape.slice(0, -1)), entries.shape[entries.rank - 1]]);

const overSequence =
  ({ past, mask }: SequenceCache): AttendLatent =>
  (queries, own, scale) =>
    consecutive(queries, concat([flat(past), flat(own)], 0), mask, scale);

export interface DraftInputs {
  /** What the trunk made of tokens i that the module has not read, [pairs, 1, width], with the tokens i + 1 and i. */
  hidden: Tensor;
  next: Tensor;
  positions: Tensor;
  /** The module's cache; mask [pairs, 1, past + pairs]. */
  cache: SequenceCache;
  /** The last pair, [1] i32: pairs - 1. */
  last: Tensor;
  /** The logits' factor, and what is added to them before the largest is chosen, [drafts, vocab]. */
  scale: Tensor;
  noise: Tensor;
}

export interface VerifyInputs {
  /** The newest token, [1, 1] i32, and the positions of it and the drafts behind it, [1 + drafts, 1]. */
  id: Tensor;
  positions: Tensor;
  /** Of each layer, [1, 1, past, width]. */
  cache: readonly Tensor[];
  /** [1 + drafts, 1, past + 1 + drafts]. */
  mask: Tensor;
}

export interface SpeculativeStep {
  /** The drafted tokens, [drafts] i32, and the logits · scale that each was drawn from, [drafts, vocab]. */
  drafts: Tensor;
  draftLogits: Tensor;
  /** Of the newest token and each draft: logits [1 + drafts, vocab] and hidden [1 + drafts, 1, width]. */
  logits: Tensor;
  hidden: Tensor;
  /** What the layers' caches get, [1 + drafts, 1, 1, width], and the module's, [pairs, 1, 1, width]. */
  fresh: Tensor[];
  freshDraft: Tensor;
}

/**
 * Drafts tokens of one sequence and runs the trunk over them. A draft is the largest of logits · scale + noise: with
 * Gumbel noise a sample of their softmax (Gumbel 1954), with none the likeliest token. Drafts after the first come from
 * the module itself in place of the trunk.
 */
export function speculativeStep(
  parameters: Parameters,
  config: V3Config,
  draft: DraftInputs,
  verify: VerifyInputs,
): SpeculativeStep {
  const { graph } = draft.hidden;
  const count = draft.noise.shape[0] as number;
  const tables = rotaryTables(graph, rotarySettings(config));
  const module = (inputs: { hidden: Tensor; next: Tensor }, positions: Tensor, attend: AttendLatent) =>
    further(parameters, config, inputs, (x, weights) =>
      absorbedAttention(x, weights, attend, { config, tables, positions }),
    );
  const choose = (hidden: Tensor, i: number) =>
    graph.scope(`draft.${i}`, () => {
      const logits = mul(reshape(head(parameters, config, hidden), [1, config.vocabSize]), draft.scale);
      const id = cast(argmax(add(logits, slice(draft.noise, 0, i, i + 1))), "i32");
      return { logits, id: reshape(id, [1, 1]) };
    });

  const pairs = module(draft, draft.positions, overSequence(draft.cache));
  let state = gather(pairs.hidden, draft.last);
  const chosen = [choose(state, 0)];
  let seen = concat([flat(draft.cache.past), flat(pairs.cache[0])], 0);
  let mask = gather(draft.cache.mask, draft.last);
  for (let i = 1; i < count; i++) {
    const attend: AttendLatent = (queries, own, scale) => {
      seen = concat([seen, flat(own)], 0);
      mask = concat([mask, constant(graph, 0, [1, 1, 1])], 2);
      return consecutive(queries, seen, mask, scale);
    };
    const positions = slice(verify.positions, 0, i - 1, i);
    state = module({ hidden: state, next: chosen[i - 1].id }, positions, attend).hidden;
    chosen.push(choose(state, i));
  }

  const ids = concat([verify.id, ...chosen.map(({ id }) => id)], 0);
  const result = trunk(
    parameters,
    config,
    { ids, positions: verify.positions },
    (layer, context) => (x, weights) =>
      absorbedAttention(x, weights, overSequence({ past: verify.cache[layer], mask: verify.mask }), context),
    {},
  );
  return {
    drafts: reshape(
      concat(
        chosen.map(({ id }) => id),
        0,
      ),
      [count],
    ),
    draftLogits: concat(
      chosen.map(({ logits }) => logits),
      0,
    ),
    logits: reshape(result.logits, [1 + count, config.vocabSize]),
    hidden: result.hidden,
    fresh: result.cache,
    freshDraft: pairs.cache[0],
  };
}
