/**
 * Weights of few bits: blocks of numbers that share a scale. `dequantised` makes the weight; a product with it takes ONNX
 * Runtime's MatMulNBits, which multiplies the packed numbers without making it.
 */
import { defineComposite } from "../op.ts";
import { integers, operands, type SampleRule } from "../samples.ts";
import { GraphError, sameShape, type Tensor } from "../tensor.ts";
import { add, cast, mul, sub } from "./elementwise.ts";
import { gather } from "./lookup.ts";
import { matmul } from "./matmul.ts";
import { column, concat, reshape } from "./movement.ts";
import { weightRows } from "./source.ts";

export interface Quantised {
  bits: 4 | 8;
  /**
   * What a product with the weight multiplies: "f32", or "int8", which also rounds the activations, block by block
   * (|x| / 127 of the largest), and is several times faster.
   */
  activations: "f32" | "int8";
}

/** Numbers that share a scale: as many as one block has codes; packed [..., blocks, bytes]. */
const blockOf = (packed: Tensor, bits: number): number =>
  ((packed.shape[packed.rank - 1] as number) * 8) / bits;

/** The code of 0. */
const zeroPoint = (bits: number): number => 2 ** (bits - 1);

/** Weights [rows, 64] of 4 and of 8 bits, without offsets and with them, after the other operands. */
const eachKind = (
  others: readonly number[][],
  rows: number,
  build: (attrs: Quantised, inputs: readonly Tensor[]) => Tensor,
): SampleRule[] =>
  ([4, 8] as const).flatMap((bits) =>
    [[], [[rows, 2]]].map((offsets) => ({
      label: `${bits} bits${offsets.length > 0 ? " and offsets" : ""}`,
      inputs: operands(
        ...others,
        integers([rows, 2, 4 * bits], 256, "u8"),
        { shape: [rows, 2], values: (random) => random() / 2 ** bits },
        ...offsets,
      ),
      build: (...inputs) => build({ bits, activations: "f32" }, inputs),
    })),
  );

const dequantisedOp = defineComposite<Quantised>({
  name: "dequantised",
  body: ([packed, scales, offsets], { bits }) => {
    const blocks = scales.shape[scales.rank - 1];
    if (packed.dtype !== "u8" || !sameShape(packed.shape.slice(0, -1), scales.shape))
      throw new GraphError(`${packed.dtype} [${packed.shape}] with scales [${scales.shape}] of ${bits} bits`);
    if (offsets !== undefined && !sameShape(offsets.shape, scales.shape))
      throw new GraphError(`offsets [${offsets.shape}] with scales [${scales.shape}]`);
    if (typeof blocks !== "number") throw new GraphError(`the width of [${packed.shape}] must be fixed`);
    const scaled = mul(sub(codes(packed, bits), zeroPoint(bits)), column(scales));
    const shifted = offsets === undefined ? scaled : add(scaled, column(offsets));
    return [reshape(shifted, [...scales.shape.slice(0, -1), blocks * blockOf(packed, bits)])];
  },
  linear: (x, { outputs: [weight] }, attrs) => quantisedLinear(x, weight, attrs),
  remake: ([packed, scales, offsets], attrs) => dequantised(packed, scales, attrs, offsets),
  samples: eachKind([], 3, (attrs, [packed, scales, offsets]) => dequantised(packed, scales, attrs, offsets)),
});

/**
 * scale · (code - 2^(bits-1)), plus an offset where there are some: packed u8 [..., blocks, bytes], scales and offsets
 * [..., blocks] -> [..., width]. A byte of 4-bit codes holds the earlier of two neighbours in its low half.
 */
export function dequantised(packed: Tensor, scales: Tensor, attrs: Quantised, offsets?: Tensor): Tensor {
  return dequantisedOp(offsets === undefined ? [packed, scales] : [packed, scales, offsets], attrs);
}

/** The codes as numbers, [..., blocks, block]. */
function codes(packed: Tensor, bits: number): Tensor {
  const bytes = cast(packed, "f32");
  if (bits === 8) return bytes;
  const high = cast(cast(mul(bytes, 1 / 16), "i32"), "f32");
  const low = sub(bytes, mul(high, 16));
  const pairs = concat([low, high].map(column), -1);
  return reshape(pairs, [...packed.shape.slice(0, -1), blockOf(packed, bits)]);
}

interface Product extends Quantised {
  /** The weight, which `dequantised` made of the other inputs. */
  weight: Tensor;
}

const quantisedLinearOp = defineComposite<Product>({
  name: "quantisedLinear",
  body: ([x], { weight }) => [matmul(x, weight, { transB: true })],
  fused: {
    cpu: {
      lower: (ctx, [x, packed, scales, offsets], { bits, activations }, { inputs }) => {
        const [out, blocks] = inputs[2].shape as number[];
        const block = blockOf(inputs[1], bits);
        const attributes = { K: blocks * block, N: out, bits, block_size: block };
        const product = ctx.emit(
          "MatMulNBits",
          [x, packed, scales],
          { ...attributes, accuracy_level: activations === "int8" ? 4 : 1 },
          "com.microsoft",
        );
        if (offsets === undefined) return [product];
        // x · offset, the same for all numbers of a block: (the sum of the block's x) · offset.
        const lead = inputs[0].shape.slice(0, -1).map(() => 0);
        const cut = ctx.emit("Reshape", [x, ctx.ints([...lead, blocks, block])]);
        // Without any row, as for an expert that no token chose, a reduction that drops its axis drops the others too.
        const kept = ctx.emit("ReduceSum", [cut, ctx.ints([-1])], { keepdims: 1 });
        const sums = ctx.emit("Reshape", [kept, ctx.ints([...lead, blocks])]);
        const shift = ctx.emit("FusedMatMul", [sums, offsets], { transB: 1 }, "com.microsoft");
        return [ctx.emit("Add", [product, shift])];
      },
    },
  },
  samples: eachKind([[2, 3, 64]], 5, (attrs, [x, packed, scales, offsets]) =>
    quantisedLinear(x, dequantised(packed, scales, attrs, offsets), attrs),
  ),
});

/**
 * Bytes of codes that one product takes, at most. ONNX Runtime packs a product's codes into other memory and holds both
 * until it is done: a head of 200 MB, whose product comes last, would be in memory twice at the peak.
 */
export const PRODUCT_BYTES = 1 << 24;

/** x · wᵀ for a weight that `dequantised` made, by parts of its rows where it is large; x [..., in] -> [..., out]. */
function quantisedLinear(x: Tensor, weight: Tensor, attrs: Quantised): Tensor {
  const { inputs } = weight.node;
  const [rows, blocks, bytes] = inputs[0].shape as number[];
  const parts = Math.ceil((rows * blocks * bytes) / PRODUCT_BYTES);
  const step = Math.ceil(rows / parts);
  const pieces = Array.from({ length: parts }, (_, i) => {
    const to = Math.min(rows, (i + 1) * step);
    return parts === 1 ? [] : inputs.flatMap((input) => weightRows(input, i * step, to) ?? []);
  });
  // Only weights that are part of the model can be cut into rows.
  if (pieces.some((piece) => piece.length < inputs.length))
    return quantisedLinearOp([x, ...inputs], { weight, ...attrs });
  const products = pieces.map(([packed, scales, offsets]) =>
    quantisedLinear(x, dequantised(packed, scales, attrs, offsets), attrs),
  );
  return concat(products, -1);
}

/** Rows of a weight [rows, width] at `ids` [...] -> [..., width]; of a quantised one only these rows are decoded. */
export function embedding(weight: Tensor, ids: Tensor): Tensor {
  // A weight of the model is read by its own copy of the node, so that a head of the same bytes can be freed once packed.
  const rows = (x: Tensor) => gather(weightRows(x) ?? x, ids);
  const attrs = dequantisedOp.attrs(weight);
  if (attrs === undefined) return rows(weight);
  const [packed, scales, offsets] = weight.node.inputs.map(rows);
  return dequantised(packed, scales, attrs, offsets);
}
