/** What every decoder is made of: named parameters and their initialisation, linear layers, heads, SwiGLU. */

import { input } from "../graph/ops/source.ts";
import { linear, mul, reshape, swiglu, transpose } from "../graph/ops.ts";
import { type Graph, GraphError, sizeOf, type Tensor } from "../graph/tensor.ts";
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

/** Standard deviation of the initial matrices. */
const INIT_STD = 0.02;
/** Standard deviation of the matrices that write into the residual stream. */
export const residualStd = (layers: number): number => INIT_STD / Math.sqrt(2 * layers);

/** The weight of a linear layer, [out, in]. */
export const matrix = (
  name: string,
  shape: readonly [number, number],
  { role = "projection", init = INIT_STD }: Partial<Pick<ParameterSpec, "role" | "init">> = {},
): ParameterSpec => ({ name: `${name}.weight`, role, shape, init });

export const normWeight = (name: string, size: number): ParameterSpec => ({
  name: `${name}.weight`,
  role: "norm",
  shape: [size],
  init: "ones",
});

/** The parameters of `swigluLayer`. */
export const swigluParameters = (
  name: string,
  { hiddenSize, layers }: { hiddenSize: number; layers: number },
  inner: number,
): ParameterSpec[] => [
  matrix(`${name}.gate_proj`, [inner, hiddenSize]),
  matrix(`${name}.up_proj`, [inner, hiddenSize]),
  matrix(`${name}.down_proj`, [hiddenSize, inner], { init: residualStd(layers) }),
];

export const isProjection = ({ role }: Pick<ParameterSpec, "role">): boolean =>
  role === "projection" || role === "kvProjection" || role === "kvUpProjection";

/** Parameters of a graph by name, each a tensor of its spec's shape. */
export type Parameters = ReadonlyMap<string, Tensor>;

/** Looks up a parameter of a block by its name inside the block, such as `self_attn.o_proj.weight`. */
export type Weights = (name: string) => Tensor;

/** How a graph gets its parameters: as inputs, or as part of it. */
export type ParameterMaker = (graph: Graph, specs: readonly ParameterSpec[]) => Parameters;

/** One graph input a parameter. */
export const parameterInputs: ParameterMaker = (graph, specs) =>
  new Map(specs.map(({ name, shape }) => [name, input(graph, name, "f32", shape)]));

/** The parameter of this name. @throws GraphError if there is none */
export function parameter(parameters: Parameters, name: string): Tensor {
  const tensor = parameters.get(name);
  if (tensor === undefined) throw new GraphError(`there is no parameter "${name}"`);
  return tensor;
}

/** Initial values. A parameter's name seeds its random numbers, so a new parameter changes no other. */
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

/** How many numbers these parameters hold together. */
export function countParameters(specs: readonly ParameterSpec[]): number {
  return specs.reduce((total, { shape }) => total + sizeOf(shape), 0);
}

/** x Wᵀ for the layer of this name, which gives the scope: `self_attn.q_proj` is "q", `self_attn.kv_a_proj_with_mqa` "kvA". */
export function project(x: Tensor, weights: Weights, name: string): Tensor {
  const [scope] = (name.split(".").at(-1) as string).split("_proj");
  const camel = scope.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return x.graph.scope(camel, () => linear(x, weights(`${name}.weight`)));
}

/** [batch, seq, heads · width] -> [batch, heads, seq, width]. */
export function splitHeads(x: Tensor, heads: number): Tensor {
  const [batch, seq, width] = x.shape;
  return transpose(reshape(x, [batch, seq, heads, (width as number) / heads]), [0, 2, 1, 3]);
}

/** The inverse of `splitHeads`: [batch, heads, seq, headDim] -> [batch, seq, heads · headDim]. */
export function mergeHeads(x: Tensor): Tensor {
  const [batch, heads, seq, headDim] = x.shape;
  const bySeq = seq === 1 ? x : transpose(x, [0, 2, 1, 3]);
  return reshape(bySeq, [batch, seq, (heads as number) * (headDim as number)]);
}

/** down(swiglu(gate(x), up(x))) (arXiv 2002.05202), times a weight a row, [rows, 1], where there is one. */
export function swigluLayer(x: Tensor, weights: Weights, name: string, rowWeights?: Tensor): Tensor {
  const [gate, up] = [project(x, weights, `${name}.gate_proj`), project(x, weights, `${name}.up_proj`)];
  const hidden = x.graph.scope("swiglu", () => {
    const plain = swiglu(gate, up);
    // The projection is linear, and its input is narrower than its output.
    return rowWeights === undefined ? plain : mul(plain, rowWeights);
  });
  return project(hidden, weights, `${name}.down_proj`);
}
