/**
 * Weights of few bits: blocks of numbers that share a scale. The formula `dequantised` is the weight; a product with
 * it takes ONNX Runtime's MatMulNBits, which multiplies the packed numbers as they are.
 */
import { applyComposite, defineOp, type Op } from "../op.ts";
import { GraphError, sameShape, type Tensor } from "../tensor.ts";
import { add, cast, mul, sub } from "./elementwise.ts";
import { gather } from "./lookup.ts";
import { matmul } from "./matmul.ts";
import { concat, reshape } from "./movement.ts";
import { isWeight, weightRows } from "./source.ts";

export interface Quantised {
  bits: 4 | 8;
  /**
   * What a product with the weight multiplies: "f32", or "int8", which rounds the activations too, block by block
   * (|x| / 127 of the largest), and is several times faster.
   */
  activations: "f32" | "int8";
}

/** Numbers that share a scale: as many as the codes of one block, [..., blocks, bytes]. */
const blockOf = (packed: Tensor, bits: number): number =>
  ((packed.shape[packed.rank - 1] as number) * 8) / bits;

/** Code `2^(bits-1)` stands for 0. */
const zeroPoint = (bits: number): number => 2 ** (bits - 1);

const dequantisedOp: Op<Quantised> = defineOp<Quantised>({
  name: "dequantised",
  shape: ([packed, scales, offsets], { bits }) => {
    const blocks = scales.shape[scales.rank - 1];
    if (packed.dtype !== "u8" || !sameShape(packed.shape.slice(0, -1), scales.shape))
      throw new GraphError(`${packed.dtype} [${packed.shape}] with scales [${scales.shape}] of ${bits} bits`);
    if (offsets !== undefined && !sameShape(offsets.shape, scales.shape))
      throw new GraphError(`offsets [${offsets.shape}] with scales [${scales.shape}]`);
    if (typeof blocks !== "number") throw new GraphError(`the width of [${packed.shape}] must be fixed`);
    return [{ dtype: "f32", shape: [...scales.shape.slice(0, -1), blocks * blockOf(packed, bits)] }];
  },
  lower: "body",
  grad: "body",
  flops: "body",
  applied: (x, node) => quantisedLinear(x, node.outputs[0]),
  again: ([packed, scales, offsets], attrs) => dequantised(packed, scales, attrs, offsets),
  samples: ([4, 8] as const).flatMap((bits) =>
    [false, true].map((shifted) => ({
      label: `${bits} bits${shifted ? " and offsets" : ""}`,
      inputs: [
        { shape: [3, 2, 4 * bits], dtype: "u8" as const, values: (random) => Math.floor(random() * 256) },
        { shape: [3, 2] },
        ...(shifted ? [{ shape: [3, 2] }] : []),
      ],
      build: (packed, scales, offsets) => dequantised(packed, scales, { bits, activations: "f32" }, offsets),
    })),
  ),
});

/**
 * scale · (code - 2^(bits-1)), plus an offset where there are some: packed u8 [..., blocks, bytes], scales and offsets
 * [..., blocks] -> [..., width]. A byte of 4-bit codes holds the earlier of two neighbours in its low half.
 */
export function dequantised(packed: Tensor, scales: Tensor, attrs: Quantised, offsets?: Tensor): Tensor {
  const inputs = offsets === undefined ? [packed, scales] : [packed, scales, offsets];
  return applyComposite(dequantisedOp, inputs, attrs, () => {
    const column = (x: Tensor) => reshape(x, [...x.shape, 1]);
    const scaled = mul(sub(codes(packed, attrs.bits), zeroPoint(attrs.bits)), column(scales));
    const shifted = offsets === undefined ? scaled : add(scaled, column(offsets));
    const blocks = scales.shape[scales.rank - 1] as number;
    return [reshape(shifted, [...scales.shape.slice(0, -1), blocks * blockOf(packed, attrs.bits)])];
  })[0];
}

/** The codes as numbers, [..., blocks, block]. */
function codes(packed: Tensor, bits: number): Tensor {
  const bytes = cast(packed, "f32");
  if (bits === 8) return bytes;
  const high = cast(cast(mul(bytes, 1 / 16), "i32"), "f32");
  const low = sub(bytes, mul(high, 16));
  const pairs = concat(
    [low, high].map((half) => reshape(half, [...half.shape, 1])),
    -1,
  );
  return reshape(pairs, [...packed.shape.slice(0, -1), blockOf(packed, bits)]);
}

const quantisedLinearOp: Op<Quantised> = defineOp<Quantised>({
  name: "quantisedLinear",
  shape: ([x, , scales]) => [{ dtype: x.dtype, shape: [...x.shape.slice(0, -1), scales.shape[0]] }],
  lower: "body",
  grad: "body",
  flops: "body",
  samples: ([4, 8] as const).flatMap((bits) =>
    [false, true].map((shifted) => ({
      label: `${bits} bits${shifted ? " and offsets" : ""}`,
      inputs: [
        { shape: [2, 3, 64] },
        { shape: [5, 2, 4 * bits], dtype: "u8" as const, values: (random) => Math.floor(random() * 256) },
        { shape: [5, 2], values: (random) => random() / 2 ** bits },
        ...(shifted ? [{ shape: [5, 2] }] : []),
      ],
      build: (x, packed, scales, offsets) =>
        quantisedLinear(x, dequantised(packed, scales, { bits, activations: "f32" }, offsets)),
    })),
  ),
  fused: {
    cpu: {
      reason: () => null,
      lower: (ctx, node, { bits, activations }) => {
        const [x, packed, scales, offsets] = node.inputs;
        const [out, blocks] = scales.shape as number[];
        const block = blockOf(packed, bits);
        const attributes = { K: blocks * block, N: out, bits, block_size: block };
        const product = ctx.emit(
          "MatMulNBits",
          [x, packed, scales].map((t) => ctx.value(t)),
          { ...attributes, accuracy_level: activations === "int8" ? 4 : 1 },
          "com.microsoft",
        );
        if (offsets === undefined) return [product];
        // x · offset, the same for all of a block: (the sum of the block's x) · offset.
        const lead = x.shape.slice(0, -1).map(() => 0);
        const cut = ctx.emit("Reshape", [ctx.value(x), ctx.ints([...lead, blocks, block])]);
        // Of no rows at all, such as an expert's that no token chose, a reduction that drops the axis loses the others.
        const kept = ctx.emit("ReduceSum", [cut, ctx.ints([-1])], { keepdims: 1 });
        const sums = ctx.emit("Reshape", [kept, ctx.ints([...lead, blocks])]);
        const shift = ctx.emit("FusedMatMul", [sums, ctx.value(offsets)], { transB: 1 }, "com.microsoft");
        return [ctx.emit("Add", [product, shift])];
      },
    },
  },
});

/**
 * Bytes of codes that one product takes, at most. The engine packs a product's codes into memory of its own and has both
 * until it is done: a head of 200 MB, its last product, would be there twice at the peak.
 */
export const PRODUCT_BYTES = 1 << 24;

/** x · wᵀ for a weight that `dequantised` made, by parts of its rows where it is large; x [..., in] -> [..., out]. */
function quantisedLinear(x: Tensor, weight: Tensor): Tensor {
  const attrs = weight.node.attrs as Quantised;
  const { inputs } = weight.node;
  const [rows, blocks, bytes] = inputs[0].shape as number[];
  const parts = inputs.every(isWeight) ? Math.ceil((rows * blocks * bytes) / PRODUCT_BYTES) : 1;
  if (parts === 1)
    return applyComposite(quantisedLinearOp, [x, ...inputs], attrs, () => [
      matmul(x, weight, { transB: true }),
    ])[0];
  const step = Math.ceil(rows / parts);
  const products = Array.from({ length: parts }, (_, i) => {
    const [packed, scales, offsets] = inputs.map((input) =>
      weightRows(input, i * step, Math.min(rows, (i + 1) * step)),
    );
    return quantisedLinear(x, dequantised(packed, scales, attrs, offsets));
  });
  return concat(products, -1);
}

/** Rows of a table [rows, width] at `ids` [...] -> [..., width]; of a quantised one these rows alone are decoded. */
export function tableRows(table: Tensor, ids: Tensor): Tensor {
  // As weights of their own, whose pages are read where the rows lie: a head of the same numbers packs its own and lets go.
  const rows = (x: Tensor) => gather(isWeight(x) ? weightRows(x) : x, ids);
  if (table.node.op.name !== dequantisedOp.name) return rows(table);
  const [packed, scales, offsets] = table.node.inputs.map(rows);
  return dequantised(packed, scales, table.node.attrs as Quantised, offsets);
}
