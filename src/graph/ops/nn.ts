/**
 * What a transformer is made of, as composite ops: the body defines the op, and a kernel of an execution provider that
 * computes the same is a fused form.
 */
import { type Apply, defineComposite } from "../op.ts";
import { integers, operands, type SampleInput } from "../samples.ts";
import { GraphError, type Tensor } from "../tensor.ts";
import { add, exp, mul, neg, reciprocal, sigmoid, sqrt, sub } from "./elementwise.ts";
import { gather, scatterAdd, takeAlongAxis } from "./lookup.ts";
import { matmul } from "./matmul.ts";
import { column, concat, reshape, slice, split } from "./movement.ts";
import { logSoftmax, mean, softmax, sum } from "./reduce.ts";

// ── silu ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const siluOp = defineComposite({
  name: "silu",
  body: ([x]) => {
    const s = sigmoid(x);
    return [mul(x, s), s];
  },
  // y = x s: y' = s + y - y s
  grad: (g, { outputs: [y, s] }) => [mul(g, add(s, sub(y, mul(y, s))))],
  fused: {
    cpu: {
      outputs: 1,
      lower: (ctx, [x]) => [ctx.emit("QuickGelu", [x], { alpha: { float: 1 } }, "com.microsoft")],
    },
  },
  samples: [[2, 3], [0, 2], []].map((shape) => ({ inputs: operands(shape), build: (x) => silu(x) })),
});

/** x · sigmoid(x) (Elfwing et al. 2017). */
export function silu(x: Tensor): Tensor {
  return siluOp([x], null);
}

/** silu(gate) ⊙ up (Shazeer 2020, eq. 6), both [..., intermediate size]. */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  return mul(silu(gate), up);
}

// ── RMSNorm ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const rmsNormOp = defineComposite<number>({
  name: "rmsNorm",
  body: ([x, weight], epsilon) => {
    const r = reciprocal(sqrt(add(mean(mul(x, x), [-1], true), epsilon)));
    return [mul(mul(x, r), weight), r];
  },
  // y = w ⊙ x r, r = 1/rms(x): dx = r (g w) - x r³ mean(g w x)
  grad: (g, { inputs: [x, weight], outputs: [, r] }) => {
    const normed = mul(x, r);
    const gw = mul(g, weight);
    const projection = mean(mul(gw, normed), [-1], true);
    return [mul(r, sub(gw, mul(normed, projection))), mul(g, normed)];
  },
  fused: {
    cpu: {
      lower: (ctx, names, epsilon) =>
        ctx.emitAll("SimplifiedLayerNormalization", names, 2, {
          ...{ axis: -1, epsilon: { float: epsilon }, stash_type: 1 },
        }),
    },
  },
  samples: [
    [2, 3, 4],
    [1, 5],
    [0, 4],
  ].map((shape) => ({
    inputs: operands(shape, shape.slice(-1)),
    build: (x, w) => rmsNorm(x, w, 1e-6),
  })),
});

/** w ⊙ x / sqrt(mean(x²) + epsilon) over the last axis (Zhang and Sennrich 2019, eq. 4); x [..., width], w [width]. */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
  return rmsNormOp([x, weight], epsilon);
}

// ── RoPE ────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface RopeAttrs {
  /** Rotate by the opposite angle: the backward pass. */
  inverse: boolean;
  /** Pairs are neighbours (2i, 2i + 1), as DeepSeek stores them; otherwise (i, i + headDim/2), as Hugging Face does. */
  interleaved: boolean;
}

const ropeOp: Apply<RopeAttrs> = defineComposite<RopeAttrs>({
  name: "rope",
  body: ([x, cosTable, sinTable, positions], { inverse, interleaved }) => {
    const half = (x.shape[x.rank - 1] as number) / 2;
    // Neighbours get an axis of their own: [..., half, 2].
    const pairs = interleaved ? reshape(x, [...x.shape.slice(0, -1), half, 2]) : x;
    const part = interleaved ? 1 : half;
    const [left, right] = split(pairs, -1, [part, part]);
    const [batch, seq] = positions.shape;
    const angles = [batch, 1, seq, half, ...(interleaved ? [1] : [])];
    const rows = (table: Tensor) => reshape(gather(table, positions), angles);
    const cos = rows(cosTable);
    const sin = inverse ? neg(rows(sinTable)) : rows(sinTable);
    const turned = concat([sub(mul(left, cos), mul(right, sin)), add(mul(right, cos), mul(left, sin))], -1);
    return [reshape(turned, x.shape, x)];
  },
  // A rotation's gradient is the opposite rotation.
  grad: (g, { inputs: [, cos, sin, positions] }, { inverse, interleaved }) => [
    ropeOp([g, cos, sin, positions], { inverse: !inverse, interleaved }),
  ],
  fused: {
    cpu: {
      reason: ({ inputs: [x] }) => (x.rank === 4 ? null : "needs [batch, heads, seq, headDim]"),
      lower: (ctx, [x, cos, sin, positions], { inverse, interleaved }) => {
        const sine = inverse ? ctx.emit("Neg", [sin]) : sin;
        const ids = ctx.emit("Cast", [positions], { to: 7 });
        const attributes = { interleaved: interleaved ? 1 : 0 };
        return [ctx.emit("RotaryEmbedding", [x, ids, cos, sine], attributes, "com.microsoft")];
      },
    },
  },
  samples: [false, true].map((interleaved) => ({
    label: interleaved ? "neighbours" : "halves",
    inputs: operands([2, 3, 4, 6], [8, 3], [8, 3], integers([2, 4], 8)),
    build: (x, cos, sin, positions) => rope(x, cos, sin, positions, interleaved),
    differentiable: [0],
  })),
});

/**
 * Rotary position embedding (Su et al. 2021, eq. 34) of pairs (i, i + headDim/2) or, `interleaved`, of neighbours.
 * x [batch, heads, seq, headDim]; cos, sin [positions, headDim/2]; positions [batch, seq] i32.
 */
export function rope(x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor, interleaved = false): Tensor {
  return ropeOp([x, cos, sin, positions], { inverse: false, interleaved });
}

// ── attention ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a masked score gets: finite, so that no row of a softmax is ever all -inf. */
export const MASKED = -1e9;

/** A mask [1, 1, rows, keys] in a sample, whose last row sees all keys; the rows of several heads follow one another. */
export const causal = (rows: number, keys: number): SampleInput => ({
  shape: [1, 1, rows, keys],
  values: (_random, i) => {
    const [row, key] = [Math.floor(i / keys), i % keys];
    return key <= (row % keys) + Math.max(0, keys - rows) ? 0 : MASKED;
  },
});

/** Queries of one block. Three blocks of a row of 384 do two thirds of the square's work. */
const QUERY_BLOCK = 128;

const attentionOp = defineComposite({
  name: "attention",
  body: ([q, k, v, mask]) => {
    const [, heads, seq] = q.shape;
    const times = (heads as number) / (k.shape[1] as number);
    const [keys, values] = times === 1 ? [k, v] : [repeatHeads(k, times), repeatHeads(v, times)];
    if (typeof seq !== "number" || seq < 2 * QUERY_BLOCK || seq % QUERY_BLOCK !== 0)
      return [attend(q, keys, values, mask)];
    const blocks = Array.from({ length: seq / QUERY_BLOCK }, (_, i) => {
      const end = (i + 1) * QUERY_BLOCK;
      const rows = (x: Tensor) => slice(x, 2, i * QUERY_BLOCK, end);
      const upTo = (x: Tensor, axis: number) => slice(x, axis, 0, end);
      return attend(rows(q), upTo(keys, 2), upTo(values, 2), upTo(rows(mask), 3));
    });
    return [concat(blocks, 2)];
  },
  samples: [
    {
      label: "grouped queries",
      inputs: operands([2, 4, 3, 2], [2, 2, 3, 2], [2, 2, 3, 2], causal(3, 3)),
      build: attention,
      differentiable: [0, 1, 2],
    },
    {
      label: "one key",
      inputs: operands([1, 1, 1, 2], [1, 1, 1, 2], [1, 1, 1, 4], { shape: [1, 1, 1, 1], values: () => 0 }),
      build: attention,
      differentiable: [0, 1, 2],
    },
  ],
});

/**
 * softmax(q kᵀ / sqrt(headDim) + mask) v (Vaswani et al. 2017, eq. 1), with grouped queries (Ainslie et al. 2023).
 * q [batch, heads, seq, headDim]; k, v [batch, kvHeads, seq, headDim]; the mask broadcasts to [batch, heads, seq, seq]
 * and is causal: long rows of a fixed length are computed in blocks of queries, each with the keys up to its end only.
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor): Tensor {
  const [heads, kvHeads, headDim] = [q.shape[1], k.shape[1], q.shape[3]];
  if (
    [heads, kvHeads, headDim].some((dim) => typeof dim !== "number") ||
    (heads as number) % (kvHeads as number) !== 0
  )
    throw new GraphError(`attention: ${heads} query heads over ${kvHeads} key heads of size ${headDim}`);
  return attentionOp([q, k, v, mask], null);
}

const attendOp = defineComposite<number>({
  name: "attend",
  body: ([q, k, v, mask], scale) => {
    const scores = q.graph.scope("scores", () => matmul(q, k, { transB: true, alpha: scale }));
    const p = softmax(add(scores, mask));
    return [matmul(p, v), p];
  },
  // FlashAttention's backward pass (Dao et al. 2022, appendix B.2): dS = P ⊙ (dO Vᵀ - rowsum(dO ⊙ O)).
  grad: (g, { inputs: [q, k, v], outputs: [out, p] }, scale) => {
    const rows = sum(mul(g, out), [-1], true);
    const ds = mul(p, sub(matmul(g, v, { transB: true }), rows));
    return [
      matmul(ds, k, { alpha: scale }),
      matmul(ds, q, { transA: true, alpha: scale }),
      matmul(p, g, { transA: true }),
    ];
  },
  samples: [
    {
      label: "queries of a block",
      inputs: operands([2, 3, 2, 4], [2, 3, 5, 4], [2, 3, 5, 3], causal(2, 5)),
      build: attend,
      differentiable: [0, 1, 2],
    },
  ],
});

/** softmax(q kᵀ / sqrt(headDim) + mask) v for queries [..., rows, headDim] and keys [..., time, headDim]. */
function attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor): Tensor {
  return attendOp([q, k, v, mask], (q.shape[q.rank - 1] as number) ** -0.5);
}

/** [batch, kvHeads, seq, headDim] -> [batch, kvHeads · times, seq, headDim], each head `times` in a row. */
function repeatHeads(x: Tensor, times: number): Tensor {
  const [batch, kvHeads, seq, headDim] = x.shape;
  const grouped = reshape(x, [batch, kvHeads, 1, seq, headDim]);
  const copies = concat(new Array<Tensor>(times).fill(grouped), 2);
  return reshape(copies, [batch, (kvHeads as number) * times, seq, headDim]);
}

// ── log-probabilities of tokens ─────────────────────────────────────────────────────────────────────────────────────

const tokenLogProbsOp = defineComposite({
  name: "tokenLogProbs",
  body: ([logits, ids]) => {
    const all = logSoftmax(logits);
    return [reshape(takeAlongAxis(all, column(ids)), ids.shape), all];
  },
  // d log p(id) / d logits = onehot(id) - p
  grad: (g, { inputs: [, ids], outputs: [, distribution] }) => {
    const p = exp(distribution);
    return [scatterAdd(mul(p, neg(column(g))), column(ids), column(g))];
  },
  samples: [
    {
      inputs: operands([2, 3, 5], integers([2, 3], 5)),
      build: (logits, ids) => tokenLogProbs(logits, ids).logProbs,
    },
  ],
});

/**
 * log p(id) under softmax(logits): logits [..., vocab], ids [...] i32 -> logProbs [...], and all of them
 * (`distribution` [..., vocab], a measurement through which no gradient flows).
 */
export function tokenLogProbs(logits: Tensor, ids: Tensor): { logProbs: Tensor; distribution: Tensor } {
  const [logProbs, distribution] = tokenLogProbsOp.all([logits, ids], null);
  return { logProbs, distribution };
}

/** -sum p log p along the last axis, from log-probabilities [..., vocab]. */
export function entropy(logProbs: Tensor): Tensor {
  return neg(sum(mul(exp(logProbs), logProbs), [-1]));
}
