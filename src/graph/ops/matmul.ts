/** Products of matrices, where nearly all the time of a training step goes. */
import { apply, defineOp, type Op, size } from "../op.ts";
import { broadcastShapes, GraphError, product, type Tensor } from "../tensor.ts";
import { reshape } from "./movement.ts";

interface MatmulAttrs {
  transA: boolean;
  transB: boolean;
  /** The product is scaled by this number at no cost. */
  alpha: number;
}

const matmulOp = defineOp<MatmulAttrs>({
  name: "matmul",
  shape: ([a, b], { transA, transB }) => {
    if (a.rank < 2 || b.rank < 2)
      throw new GraphError(`operands [${a.shape}] and [${b.shape}] need two axes at least`);
    const [m, k] = transA
      ? [a.shape[a.rank - 1], a.shape[a.rank - 2]]
      : [a.shape[a.rank - 2], a.shape[a.rank - 1]];
    const [k2, n] = transB
      ? [b.shape[b.rank - 1], b.shape[b.rank - 2]]
      : [b.shape[b.rank - 2], b.shape[b.rank - 1]];
    if (k !== k2)
      throw new GraphError(
        `inner sizes of [${a.shape}]${transA ? "ᵀ" : ""} and [${b.shape}]${transB ? "ᵀ" : ""} differ: ${k} and ${k2}`,
      );
    return [
      { dtype: a.dtype, shape: [...broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n] },
    ];
  },
  lower: (ctx, node, { transA, transB, alpha }) => {
    const names = node.inputs.map((t) => ctx.value(t));
    if (!transA && !transB && alpha === 1) return [ctx.emit("MatMul", names)];
    const attributes = { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha: { float: alpha } };
    return [ctx.emit("FusedMatMul", names, attributes, "com.microsoft")];
  },
  // C = A B: dA = dC Bᵀ, dB = Aᵀ dC; with op(A) = Aᵀ the roles turn round.
  grad: (node, [g], { transA, transB, alpha }) => {
    if (g === null) return [null, null];
    const [a, b] = node.inputs;
    const dA = transA
      ? matmul(b, g, { transA: transB, transB: true, alpha })
      : matmul(g, b, { transB: !transB, alpha });
    // A matrix shared by a whole batch (a layer's weight): one product over all rows instead of a sum of small ones.
    if (b.rank === 2 && a.rank > 2 && !transA) {
      const rows = reshape(a, [product(a.shape.slice(0, -1)), a.shape[a.rank - 1]]);
      const gradientRows = reshape(g, [product(g.shape.slice(0, -1)), g.shape[g.rank - 1]]);
      const dB = transB
        ? matmul(gradientRows, rows, { transA: true, alpha })
        : matmul(rows, gradientRows, { transA: true, alpha });
      return [dA, dB];
    }
    const dB = transB
      ? matmul(g, a, { transA: true, transB: transA, alpha })
      : matmul(a, g, { transA: !transA, alpha });
    return [dA, dB];
  },
  flops: ([a], [out], { transA }) => 2 * size(out) * (transA ? a[a.length - 2] : a[a.length - 1]),
  samples: (
    [
      [[3, 4], [4, 2], false, false],
      [[4, 3], [4, 2], true, false],
      [[3, 4], [2, 4], false, true],
      [[4, 3], [2, 4], true, true],
      [[2, 3, 4], [4, 5], false, false],
      [[2, 3, 4], [5, 4], false, true],
      [[2, 2, 3, 4], [2, 1, 4, 1], false, false],
      [[1, 3, 2], [2, 4, 3], true, true],
      [[0, 4], [4, 2], false, false],
    ] as const
  ).map(([left, right, transA, transB]) => ({
    label: `[${left}]${transA ? "ᵀ" : ""} · [${right}]${transB ? "ᵀ" : ""}`,
    inputs: [{ shape: [...left] }, { shape: [...right] }],
    build: (a, b) => matmul(a, b, { transA, transB, alpha: 0.5 }),
  })),
});

/**
 * alpha · op(a) · op(b) over the last two axes, [..., m, k] · [..., k, n] -> [..., m, n]; op transposes where asked.
 * Leading axes broadcast.
 */
export function matmul(a: Tensor, b: Tensor, options: Partial<MatmulAttrs> = {}): Tensor {
  return apply(matmulOp, [a, b], { transA: false, transB: false, alpha: 1, ...options });
}

/** x · wᵀ, [..., in] with a weight [out, in] as Hugging Face stores it, or a formula that makes it -> [..., out]. */
export function linear(x: Tensor, weight: Tensor): Tensor {
  const op = weight.node.op as unknown as Op<unknown>;
  return op.applied?.(x, weight.node, weight.node.attrs) ?? matmul(x, weight, { transB: true });
}
