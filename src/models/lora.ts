/**
 * LoRA (arXiv 2106.09685): each chosen matrix W is frozen, and two small ones are trained: W + α/r · B A. Names are
 * those of PEFT's files. For every design alike: a `Parameters` map goes in, and one whose weights are adapted comes out.
 */
import { lowRank } from "../graph/ops.ts";
import { Graph } from "../graph/tensor.ts";
import { configError } from "./checks.ts";
import { isProjection, type ParameterSpec, type Parameters, parameter, parameterInputs } from "./layers.ts";

/** An adapter's size, its scale and where it goes (arXiv 2106.09685, section 4.1). */
export interface LoraOptions {
  /** r: rows of A and columns of B. */
  rank: number;
  /** α: the product B A is multiplied by α / r. */
  alpha: number;
  /** Names of linear layers, or their endings (`q_proj`); none: all projections of the blocks, as "all-linear". */
  targets: readonly string[];
}

const module = (weight: string): string => weight.replace(/\.weight$/, "");

/** PEFT's name of A [rank, in] or B [out, rank] beside the weight. */
const adapterName = (weight: string, half: "A" | "B"): string =>
  `base_model.model.${module(weight)}.lora_${half}.weight`;

/** The inverse of `adapterName`: the weight and which half of its adapter; `null` for other names. */
export function weightOf(name: string): { weight: string; which: "A" | "B" } | null {
  const match = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(name);
  return match === null ? null : { weight: `${match[1]}.weight`, which: match[2] as "A" | "B" };
}

/** The router chooses and does not project: it is adapted only where it is named. */
const isLinear = (spec: ParameterSpec): boolean =>
  isProjection(spec) || spec.role === "router" || spec.role === "head";

/** The weights beside which an adapter goes. @throws UserError for a target that names none of them */
export function adaptedWeights(specs: readonly ParameterSpec[], targets: readonly string[]): ParameterSpec[] {
  const linear = specs.filter(isLinear);
  if (targets.length === 0) return linear.filter(isProjection);
  const chosen = new Set<ParameterSpec>();
  for (const target of targets) {
    const found = linear.filter(({ name }) => `.${module(name)}`.endsWith(`.${target}`));
    if (found.length === 0) {
      const known = [...new Set(linear.map(({ name }) => module(name).split(".").at(-1)))].join(", ");
      throw configError("lora.targets", "linear layers of this model", `"${target}"`, `It has ${known}.`);
    }
    for (const spec of found) chosen.add(spec);
  }
  return linear.filter((spec) => chosen.has(spec));
}

/**
 * A and B of each adapted weight. A begins with the variance of PEFT's (uniform within ±1/√in), B as 0: the adapted model
 * is the model at first.
 */
export function adapterSpecs(
  specs: readonly ParameterSpec[],
  { rank, targets }: Pick<LoraOptions, "rank" | "targets">,
): ParameterSpec[] {
  return adaptedWeights(specs, targets).flatMap(({ name, shape: [out, width] }) => [
    { name: adapterName(name, "A"), role: "adapter", shape: [rank, width], init: 1 / Math.sqrt(3 * width) },
    { name: adapterName(name, "B"), role: "adapter", shape: [out, rank], init: 0 },
  ]);
}

/** The model's parameters with each adapted one as `lowRank`; `parameters` has both halves under their names. */
export function adapted(
  specs: readonly ParameterSpec[],
  parameters: Parameters,
  { rank, alpha, targets }: LoraOptions,
): Parameters {
  const result = new Map(parameters);
  for (const { name } of adaptedWeights(specs, targets)) {
    const half = (which: "A" | "B") => parameter(parameters, adapterName(name, which));
    result.set(name, lowRank(parameter(parameters, name), half("A"), half("B"), alpha / rank));
  }
  return result;
}

/** The graph that merges: weights and both halves in, `<weight>.merged` out. */
export function traceMerge(specs: readonly ParameterSpec[], options: LoraOptions): Graph {
  const graph = new Graph();
  const weights = adaptedWeights(specs, options.targets);
  const parameters = parameterInputs(graph, [...weights, ...adapterSpecs(specs, options)]);
  const merged = adapted(specs, parameters, options);
  for (const { name } of weights) graph.output(`${name}.merged`, parameter(merged, name));
  return graph;
}
