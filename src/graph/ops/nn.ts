/**
 * What a transformer is made of, kept whole: each composite op has a composed body, which is its definition,
 * and where a kernel of the execution provider computes the same, a fused form.
 */
import { applyComposite, defineOp, type Op } from "../op.ts";
import { GraphError, type Tensor } from "../tensor.ts";
import { add, exp, mul, neg, reciprocal, sigmoid, sqrt, sub } from "./elementwise.ts";
import { addAt, gather, pick } from "./lookup.ts";
import { matmul } from "./matmul.ts";
import { concat, reshape, slice, split } from "./movement.ts";
import { logSoftmax, mean, softmax, sum } from "./reduce.ts";

const sameAsFirst = ([x]: readonly Tensor[]) => [{ dtype: x.dtype, shape: x.shape }];

// ── silu ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const siluOp: Op<null> = defineOp<null>({
  name: "silu",
  shape: ([x]) => [x, x].map(({ dtype, shape }) => ({ dtype, shape })),
  lower: "body",
  // y = x s: y' = s + y - y s
  grad: (node, [g]) => {
    if (g === null) return [null];
    const [y, s] = node.outputs;
    return [mul(g, add(s, sub(y, mul(y, s))))];
  },
  flops: "body",
  samples: [[2, 3], [0, 2], []].map((shape) => ({
    label: `[${shape}]`,
    inputs: [{ shape }],
    build: (x) => silu(x),
  })),
  fused: {
    cpu: {
      reason: () => null,
      outputs: 1,
      lower: (ctx, node) => [
        ctx.emit("QuickGelu", [ctx.value(node.inputs[0])], { alpha: { float: 1 } }, "com.microsoft"),
      ],
    },
  },
});

/** x · sigmoid(x) (Elfwing et al. 2017). */
export function silu(x: Tensor): Tensor {
  return applyComposite(siluOp, [x], null, () => {
    const s = sigmoid(x);
    return [mul(x, s), s];
  })[0];
}

// ── RMSNorm ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const rmsNormOp: Op<number> = defineOp<number>({
  name: "rmsNorm",
  shape: ([x]) => [
    { dtype: x.dtype, shape: x.shape },
    { dtype: x.dtype, shape: [...x.shape.slice(0, -1), 1] },
  ],
  lower: "body",
  // y = w ⊙ x r, r = 1/rms(x): dx = r (g w) - x r³ mean(g w x)
  grad: (node, [g]) => {
    if (g === null) return [null, null];
    const [x, weight] = node.inputs;
    const r = node.outputs[1];
    const normed = mul(x, r);
    const gw = mul(g, weight);
    const projection = mean(mul(gw, normed), [-1], true);
    return [mul(r, sub(gw, mul(normed, projection))), mul(g, normed)];
  },
  flops: "body",
  samples: [
    [2, 3, 4],
    [1, 5],
    [0, 4],
  ].map((shape) => ({
    label: `[${shape}]`,
    inputs: [{ shape }, { shape: shape.slice(-1) }],
    build: (x, w) => rmsNorm(x, w, 1e-6),
  })),
  fused: {
    cpu: {
      reason: () => null,
      lower: (ctx, node, epsilon) => {
        const outputs = ctx.emitAll(
          "SimplifiedLayerNormalization",
          node.inputs.map((t) => ctx.value(t)),
          2,
          { axis: -1, epsilon: { float: epsilon }, stash_type: 1 },
        );
        return outputs;
      },
    },
  },
});

/** w ⊙ x / sqrt(mean(x²) + epsilon) over the last axis (Zhang and Sennrich 2019, eq. 4); x [..., width], w [width]. */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
  return applyComposite(rmsNormOp, [x, weight], epsilon, () => {
    const r = reciprocal(sqrt(add(mean(mul(x, x), [-1], true), epsilon)));
    return [mul(mul(x, r), weight), r];
  })[0];
}

// ── RoPE ────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface RopeAttrs {
  /** Rotate by the opposite angle: the backward pass. */
  inverse: boolean;
  /** Pairs are neighbours (2i, 2i + 1), DeepSeek's layout, and not (i, i + headDim/2), Hugging Face's. */
  interleaved: boolean;
}

const ropeOp: Op<RopeAttrs> = defineOp<RopeAttrs>({
  name: "rope",
  shape: sameAsFirst,
  lower: "body",
  // A rotation's gradient is the opposite rotation.
  grad: (node, [g], { inverse, interleaved }) => {
    const [, cos, sin, positions] = node.inputs;
    const back = { inverse: !inverse, interleaved };
    return [g && ropeApply(g, cos, sin, positions, back), null, null, null];
  },
  flops: "body",
  samples: [false, true].map((interleaved) => ({
    label: interleaved ? "neighbours" : "halves",
    inputs: [
      { shape: [2, 3, 4, 6] },
      { shape: [8, 3] },
      { shape: [8, 3] },
      { shape: [2, 4], dtype: "i32", values: (random) => Math.floor(random() * 8) },
    ],
    build: (x, cos, sin, positions) => rope(x, cos, sin, positions, interleaved),
    differentiable: [0],
  })),
  fused: {
    cpu: {
      reason: (node) => (node.inputs[0].rank === 4 ? null : "needs [batch, heads, seq, headDim]"),
      lower: (ctx, node, { inverse, interleaved }) => {
        const [x, cos, sin, positions] = node.inputs;
        const sine = inverse ? ctx.emit("Neg", [ctx.value(sin)]) : ctx.value(sin);
        const ids = ctx.emit("Cast", [ctx.value(positions)], { to: 7 });
        const operands = [ctx.value(x), ids, ctx.value(cos), sine];
        const attributes = { interleaved: interleaved ? 1 : 0 };
        return [ctx.emit("RotaryEmbedding", operands, attributes, "com.microsoft")];
      },
    },
  },
});

function ropeApply(
  x: Tensor,
  cosTable: Tensor,
  sinTable: Tensor,
  positions: Tensor,
  attrs: RopeAttrs,
): Tensor {
  return applyComposite(ropeOp, [x, cosTable, sinTable, positions], attrs, () => {
    const half = (x.shape[x.rank - 1] as number) / 2;
    // Neighbours stand in an axis of their own: [..., half, 2].
    const pairs = attrs.interleaved ? reshape(x, [...x.shape.slice(0, -1), half, 2]) : x;
    const part = attrs.interleaved ? 1 : half;
    const [left, right] = split(pairs, -1, [part, part]);
    const [batch, seq] = positions.shape;
    const angles = [batch, 1, seq, half, ...(attrs.interleaved ? [1] : [])];
    const rows = (table: Tensor) => reshape(gather(table, positions), angles);
    const cos = rows(cosTable);
    const sin = attrs.inverse ? neg(rows(sinTable)) : rows(sinTable);
    const turned = concat([sub(mul(left, cos), mul(right, sin)), add(mul(right, cos), mul(left, sin))], -1);
    return [reshape(turned, x.shape, x)];
  })[0];
}

/**
 * Rotary position embedding (Su et al. 2021, eq. 34) in Hugging Face's half-split layout, pairs (i, i + headDim/2), or
 * of neighbours. x [batch, heads, seq, headDim]; cos, sin [positions, headDim/2]; positions [batch, seq] i32.
 */
export function rope(x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor, interleaved = false): Tensor {
  return ropeApply(x, cos, sin, positions, { inverse: false, interleaved });
}

// ── attention ───────────────────────────────────────────────────────────────────────────────────────────────────────

const attentionOp: Op<null> = defineOp<null>({
  name: "attention",
  shape: ([q, , v]) => [{ dtype: q.dtype, shape: [...q.shape.slice(0, -1), v.shape[v.rank - 1]] }],
  lower: "body",
  grad: "body",
  flops: "body",
  samples: [
    {
      label: "grouped queries",
      inputs: [
        { shape: [2, 4, 3, 2] },
        { shape: [2, 2, 3, 2] },
        { shape: [2, 2, 3, 2] },
        { shape: [1, 1, 3, 3], values: causal(3) },
      ],
      build: (q, k, v, mask) => attention(q, k, v, mask),
      differentiable: [0, 1, 2],
    },
    {
      label: "one key",
      inputs: [
        { shape: [1, 1, 1, 2] },
        { shape: [1, 1, 1, 2] },
        { shape: [1, 1, 1, 4] },
        { shape: [1, 1, 1, 1], values: () => 0 },
      ],
      build: (q, k, v, mask) => attention(q, k, v, mask),
      differentiable: [0, 1, 2],
    },
  ],
});

function causal(length: number): (random: () => number, index: number) => number {
  return (_random, index) => (index % length <= Math.floor(index / length) ? 0 : MASKED);
}

/** What a masked score gets: finite, so that no row of a softmax is ever all -inf. */
export const MASKED = -1e9;

/**
 * softmax(q kᵀ / sqrt(headDim) + mask) v (Vaswani et al. 2017, eq. 1), with grouped queries (Ainslie et al. 2023).
 * q [batch, heads, seq, headDim]; k, v [batch, kvHeads, seq, headDim]; the mask broadcasts to [batch, heads, seq, seq]
 * and is causal: long rows of a fixed length are computed in blocks of queries, each with the keys up to its end only.
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor): Tensor {
  const [, heads, seq, headDim] = q.shape;
  const kvHeads = k.shape[1];
  if (
    typeof heads !== "number" ||
    typeof kvHeads !== "number" ||
    typeof headDim !== "number" ||
    heads % kvHeads !== 0
  )
    throw new GraphError(`attention: ${heads} query heads over ${kvHeads} key heads of size ${headDim}`);
  return applyComposite(attentionOp, [q, k, v, mask], null, () => {
    const [keys, values] =
      heads === kvHeads ? [k, v] : [repeatHeads(k, heads / kvHeads), repeatHeads(v, heads / kvHeads)];
    if (typeof seq !== "number" || seq < 2 * QUERY_BLOCK || seq % QUERY_BLOCK !== 0)
      return [attend(q, keys, values, mask)];
    const blocks = Array.from({ length: seq / QUERY_BLOCK }, (_, i) => {
      const end = (i + 1) * QUERY_BLOCK;
      const rows = (x: Tensor) => slice(x, 2, i * QUERY_BLOCK, end);
      const upTo = (x: Tensor, axis: number) => slice(x, axis, 0, end);
      return attend(rows(q), upTo(keys, 2), upTo(values, 2), upTo(rows(mask), 3));
    });
    return [concat(blocks, 2)];
  })[0];
}

/** Queries of one block. Three blocks of a row of 384 do two thirds of the whole square's work. */
const QUERY_BLOCK = 128;

const attendOp: Op<number> = defineOp<number>({
  name: "attend",
  shape: ([q, k, v]) => [
    { dtype: q.dtype, shape: [...q.shape.slice(0, -1), v.shape[v.rank - 1]] },
    { dtype: q.dtype, shape: [...q.shape.slice(0, -1), k.shape[k.rank - 2]] },
  ],
  lower: "body",
  // FlashAttention's backward pass (Dao et al. 2022, appendix B.2): dS = P ⊙ (dO Vᵀ - rowsum(dO ⊙ O)).
  grad: (node, [g], scale) => {
    if (g === null) return [null, null, null, null];
    const [q, k, v] = node.inputs;
    const [out, p] = node.outputs;
    const rows = sum(mul(g, out), [-1], true);
    const ds = mul(p, sub(matmul(g, v, { transB: true }), rows));
    return [
      matmul(ds, k, { alpha: scale }),
      matmul(ds, q, { transA: true, alpha: scale }),
      matmul(p, g, { transA: true }),
      null,
    ];
  },
  flops: "body",
  samples: [
    {
      label: "queries of a block",
      inputs: [
        { shape: [2, 3, 2, 4] },
        { shape: [2, 3, 5, 4] },
        { shape: [2, 3, 5, 3] },
        {
          shape: [1, 1, 2, 5],
          values: (_random, index) => (index % 5 <= 2 + Math.floor(index / 5) ? 0 : MASKED),
        },
      ],
      build: (q, k, v, mask) => attend(q, k, v, mask),
      differentiable: [0, 1, 2],
    },
  ],
});

/** softmax(q kᵀ / sqrt(headDim) + mask) v for queries [..., rows, headDim] and keys [..., time, headDim]. */
function attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor): Tensor {
  const scale = (q.shape[q.rank - 1] as number) ** -0.5;
  return applyComposite(attendOp, [q, k, v, mask], scale, () => {
    const scores = q.graph.scope("scores", () => matmul(q, k, { transB: true, alpha: scale }));
    const p = softmax(add(scores, mask));
    return [matmul(p, v), p];
  })[0];
}

/** [batch, kvHeads, seq, headDim] -> [batch, kvHeads · times, seq, headDim], each head `times` in a row. */
function repeatHeads(x: Tensor, times: number): Tensor {
  const [batch, kvHeads, seq, headDim] = x.shape;
  const grouped = reshape(x, [batch, kvHeads, 1, seq, headDim]);
  const copies = concat(
    Array.from({ length: times }, () => grouped),
    2,
  );
  return reshape(copies, [batch, (kvHeads as number) * times, seq, headDim]);
}

// ── SwiGLU ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** silu(gate) ⊙ up (Shazeer 2020, eq. 6), both [..., ffn]. */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  return mul(silu(gate), up);
}

// ── log-probabilities of tokens ─────────────────────────────────────────────────────────────────────────────────────

const tokenLogProbsOp: Op<null> = defineOp<null>({
  name: "tokenLogProbs",
  shape: ([logits, ids]) => [
    { dtype: logits.dtype, shape: ids.shape },
    { dtype: logits.dtype, shape: logits.shape },
  ],
  lower: "body",
  // d log p(id) / d logits = onehot(id) - p
  grad: (node, [g]) => {
    if (g === null) return [null, null];
    const [, ids] = node.inputs;
    const p = exp(node.outputs[1]);
    return [addAt(mul(p, neg(reshape(g, [...g.shape, 1]))), ids, g), null];
  },
  flops: "body",
  samples: [
    {
      label: "batch",
      inputs: [
        { shape: [2, 3, 5] },
        { shape: [2, 3], dtype: "i32", values: (random) => Math.floor(random() * 5) },
      ],
      build: (logits, ids) => tokenLogProbs(logits, ids).logProbs,
      differentiable: [0],
    },
  ],
});

/**
 * log p(id) under softmax(logits): logits [..., vocab], ids [...] i32 -> logProbs [...], and all of them
 * (`distribution` [..., vocab], a measurement through which no gradient flows).
 */
export function tokenLogProbs(logits: Tensor, ids: Tensor): { logProbs: Tensor; distribution: Tensor } {
  const [logProbs, distribution] = applyComposite(tokenLogProbsOp, [logits, ids], null, () => {
    const all = logSoftmax(logits);
    return [pick(all, ids), all];
  });
  return { logProbs, distribution };
}

/** -sum p log p along the last axis, from log-probabilities [..., vocab]. */
export function entropy(logProbs: Tensor): Tensor {
  return neg(sum(mul(exp(logProbs), logProbs), [-1]));
}
