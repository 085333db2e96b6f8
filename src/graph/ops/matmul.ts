/** Products of matrices, where nearly all the time of a training step goes. */
import type { Emitter } from "../emitter.ts";
import { defineOp } from "../op.ts";
import { operands } from "../samples.ts";
import { broadcastShapes, GraphError, product, type Shape, sizeOf, type Tensor } from "../tensor.ts";
import { reshape } from "./movement.ts";

interface MatmulAttrs {
  transA: boolean;
  transB: boolean;
  /** The product is scaled by this number. */
  alpha: number;
}

/** Rows and columns of the last two axes, once transposed. */
function matrix({ shape }: Tensor, transposed: boolean): Shape {
  const [rows, columns] = shape.slice(-2);
  return transposed ? [columns, rows] : [rows, columns];
}

const matmulOp = defineOp<MatmulAttrs>({
  name: "matmul",
  shape: ([a, b], { transA, transB }) => {
    if (a.rank < 2 || b.rank < 2)
      throw new GraphError(`operands [${a.shape}] and [${b.shape}] need two axes at least`);
    const [[m, k], [k2, n]] = [matrix(a, transA), matrix(b, transB)];
    if (k !== k2)
      throw new GraphError(
        `inner sizes of [${a.shape}]${transA ? "ᵀ" : ""} and [${b.shape}]${transB ? "ᵀ" : ""} differ: ${k} and ${k2}`,
      );
    const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
    return [{ dtype: a.dtype, shape: [...batch, m, n] }];
  },
  lower: (ctx, [a, b], { transA, transB, alpha }, { inputs }) => {
    const left = transA ? transposed(ctx, a, inputs[0].rank) : a;
    const right = transB ? transposed(ctx, b, inputs[1].rank) : b;
    const result = ctx.emit("MatMul", [left, right]);
    return [alpha === 1 ? result : ctx.emit("Mul", [result, ctx.float(alpha)])];
  },
  fused: {
    cpu: {
      reason: (_node, { transA, transB, alpha }) =>
        transA || transB || alpha !== 1 ? null : "nothing to transpose or scale",
      lower: (ctx, names, { transA, transB, alpha }) => {
        const attributes = { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha: { float: alpha } };
        return [ctx.emit("FusedMatMul", names, attributes, "com.microsoft")];
      },
    },
  },
  // C = A B: dA = dC Bᵀ, dB = Aᵀ dC; where A is transposed, the two change places.
  grad: (g, { inputs: [a, b] }, { transA, transB, alpha }) => {
    const dA = transA
      ? matmul(b, g, { transA: transB, transB: true, alpha })
      : matmul(g, b, { transB: !transB, alpha });
    // A batch times one matrix, such as a layer's weight: one product over all rows, not a sum of small products.
    const shared = b.rank === 2 && a.rank > 2 && !transA;
    const rows = (x: Tensor) =>
      shared ? reshape(x, [product(x.shape.slice(0, -1)), x.shape[x.rank - 1]]) : x;
    const [left, right] = [rows(a), rows(g)];
    const dB = transB
      ? matmul(right, left, { transA: true, transB: transA, alpha })
      : matmul(left, right, { transA: !transA, alpha });
    return [dA, dB];
  },
  flops: ([a], [out], { transA }) => 2 * sizeOf(out) * (transA ? a[a.length - 2] : a[a.length - 1]),
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
    inputs: operands(left, right),
    build: (a, b) => matmul(a, b, { transA, transB, alpha: 0.5 }),
  })),
});

/** The last two axes change places. */
function transposed(ctx: Emitter, x: string, rank: number): string {
  const axes = Array.from({ length: rank }, (_, axis) => axis);
  return ctx.emit("Transpose", [x], { perm: [...axes.slice(0, -2), rank - 1, rank - 2] });
}

/**
 * alpha · op(a) · op(b) over the last two axes, [..., m, k] · [..., k, n] -> [..., m, n]; op transposes where asked.
 * Leading axes broadcast.
 */
export function matmul(a: Tensor, b: Tensor, options: Partial<MatmulAttrs> = {}): Tensor {
  return matmulOp([a, b], { transA: false, transB: false, alpha: 1, ...options });
}

/** x · wᵀ, [..., in] with a weight [out, in] as Hugging Face stores it, or an op that makes one -> [..., out]. */
export function linear(x: Tensor, weight: Tensor): Tensor {
  const { op, attrs } = weight.node;
  return op.linear?.(x, weight.node, attrs) ?? matmul(x, weight, { transB: true });
}
