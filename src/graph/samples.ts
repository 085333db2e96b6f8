/** Cases on which the tests check every op. */
import type { DType } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

/** An operand: f32 unless `dtype` says otherwise; `values` draws each element (default: uniform in [-1, 1)). */
export interface SampleInput {
  shape: readonly number[];
  dtype?: DType;
  /** Draws the element at `index`; `random` is uniform in [0, 1). */
  values?: (random: () => number, index: number) => number;
}

/** The operands of an op, and how to call it. */
export interface SampleRule {
  /** Default: the shapes of the operands. */
  label?: string;
  inputs: SampleInput[];
  /** Applies the op to the operands. */
  build: (...inputs: Tensor[]) => Tensor;
  /** Which inputs have a gradient to check; default: every f32 input. */
  differentiable?: number[];
}

export interface Sample extends SampleRule {
  label: string;
}

/** A shape stands for an operand of f32. */
export const operands = (...list: readonly (SampleInput | readonly number[])[]): SampleInput[] =>
  list.map((one) => ("shape" in one ? one : { shape: one }));

/** Random integers from 0 to `limit`, which is excluded. */
export const integers = (shape: readonly number[], limit: number, dtype: DType = "i32"): SampleInput => ({
  ...{ shape, dtype },
  values: (random) => Math.floor(random() * limit),
});

/** These integers, again and again. */
export const listed = (shape: readonly number[], list: readonly number[]): SampleInput => ({
  ...{ shape, dtype: "i32" },
  values: (_random, i) => list[i % list.length],
});
