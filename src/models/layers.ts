/** What every decoder shares: named parameters and their initialisation, projections into heads. */

import { input } from "../graph/ops/source.ts";
import { add, embedding, linear, reshape, transpose } from "../graph/ops.ts";
import { type Graph, GraphError, type Tensor } from "../graph/tensor.ts";
import { Random } from "../lib/random.ts";
import { allocate, type HostValue } from "../runtime/value.ts";

/** What a parameter does. The optimizer, adapters and quantisation choose by it, never by a name. */
export type ParameterRole =
  | "embedding"
  | "head"
  | "norm"
  | "bias"
  /** The matrix of a linear layer inside a block. */
  | "projection"
  /** A projection to keys and values (or to the latent of both), which several heads share. */
  | "kvProjection"
  /** The projection from a latent to keys and values, which is cut into parts before it is used. */
  | "kvUpProjection"
  /** Gives the affinity of a token to each expert. */
  | "router"
  /** Balances experts: their load moves it and no gradient (DeepSeek-V3, eq. 16). */
  | "routerBias"
  /** Half of a LoRA adapter. */
  | "adapter";

/** A parameter under its Hugging Face tensor name. */
export interface ParameterSpec {
  name: string;
  role: ParameterRole;
  shape: readonly number[];
  /** Standard deviation of its normal initialisation (0 for a bias), or "ones" for the weight of a norm. */
  init: number | "ones";
  /** Belongs to the MTP module. */
  mtp?: true;
}

export const isProjection = ({ role }: Pick<ParameterSpec, "role">): boolean =>
  role === "projection" || role === "kvProjection" || role === "kvUpProjection";

export type Parameters = ReadonlyMap<string, Tensor>;

/** How a graph gets its parameters: as inputs, or as part of it. */
export type ParameterMaker = (graph: Graph, specs: readonly ParameterSpec[]) => Parameters;

/** One graph input a parameter. */
export const parameterInputs: ParameterMaker = (graph, specs) =>
  new Map(specs.map(({ name, shape }) => [name, input(graph, name, "f32", shape)]));

export function parameter(parameters: Parameters, name: string): Tensor {
  const tensor = parameters.get(name);
  if (tensor === undefined) throw new GraphError(`there is no parameter "${name}"`);
  return tensor;
}

/** Fresh values: each parameter draws from a stream of its own name, so adding one changes no other. */
export function initialise(specs: readonly ParameterSpec[], seed: number): Map<string, HostValue> {
  return new Map(
    specs.map(({ name, shape, init }) => {
      const value = allocate("f32", shape);
      const data = value.data as Float32Array;
      if (init === "ones") data.fill(1);
      else if (init > 0) {
        const random = new Random(seed, "init", name);
        for (let i = 0; i < data.length; i++) data[i] = init * random.normal();
      }
      return [name, value];
    }),
  );
}

export function countParameters(specs: readonly ParameterSpec[]): number {
  return specs.reduce((total, { shape }) => total + shape.reduce((size, dim) => size * dim, 1), 0);
}

/** x Wᵀ, plus a bias where there is one, cut into heads: [batch, seq, width] -> [batch, heads, seq, headDim]. */
export function projectHeads(
  x: Tensor,
  weight: Tensor,
  heads: number,
  headDim: number,
  bias?: Tensor,
): Tensor {
  const [batch, seq] = x.shape;
  const product = linear(x, weight);
  const projected = bias === undefined ? product : add(product, bias);
  return transpose(reshape(projected, [batch, seq, heads, headDim]), [0, 2, 1, 3]);
}

/** The inverse of cutting into heads: [batch, heads, seq, headDim] -> [batch, seq, heads · headDim]. */
export function mergeHeads(x: Tensor): Tensor {
  const [batch, heads, seq, headDim] = x.shape;
  const bySeq = seq === 1 ? x : transpose(x, [0, 2, 1, 3]);
  return reshape(bySeq, [batch, seq, (heads as number) * (headDim as number)]);
}

/** Rows of the embedding table [vocab, width] at `ids` [...] -> [..., width]. */
export function embed(table: Tensor, ids: Tensor): Tensor {
  return embedding(table, ids);
}
