/**
 * Optimizers as graphs: from parameters, gradients and moments to the next parameters and moments. Learning rates and
 * bias corrections are scalar inputs, so a schedule never makes a new graph.
 */
import {
  add,
  concat,
  constant,
  div,
  greater,
  input,
  less,
  matmul,
  mean,
  minimum,
  mul,
  reshape,
  split,
  sqrt,
  sub,
  sum,
  transpose,
  where,
} from "./ops.ts";
import { type Graph, GraphError, type Tensor } from "./tensor.ts";

/**
 * AdamW's constants (Loshchilov and Hutter 2019): the moments' decay, ε, and the decoupled weight decay λ.
 */
export interface AdamWOptions {
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
}

/** Muon's constants (Jordan et al. 2024): the momentum μ and the decoupled weight decay λ. */
export interface MuonOptions {
  momentum: number;
  weightDecay: number;
}

/** The scalars that change each step, as inputs of the graph. */
export interface StepScalars {
  /** Learning rate of AdamW's parameters. */
  lr: Tensor;
  /** Learning rate of Muon's matrices. */
  muonLr: Tensor;
  /** 1 / (1 - beta1^step) and 1 / (1 - beta2^step): Adam's bias corrections (Kingma and Ba 2015, algorithm 1). */
  correction1: Tensor;
  correction2: Tensor;
}

/** Adds these inputs, scalars of f32, to the graph. */
export function stepScalars(graph: Graph): StepScalars {
  const scalar = (name: string) => input(graph, name, "f32", []);
  return {
    lr: scalar("lr"),
    muonLr: scalar("muonLr"),
    correction1: scalar("correction1"),
    correction2: scalar("correction2"),
  };
}

/** Their values at `step` (from 1). */
export function stepScalarValues(
  step: number,
  lr: number,
  muonLr: number,
  beta1: number,
  beta2: number,
): Record<string, number> {
  return { lr, muonLr, correction1: 1 / (1 - beta1 ** step), correction2: 1 / (1 - beta2 ** step) };
}

/** The Euclidean norm of all gradients together. */
export function globalNorm(gradients: readonly Tensor[]): Tensor {
  return sqrt(gradients.map((g) => sum(mul(g, g))).reduce((total, square) => add(total, square)));
}

/** min(1, limit / (norm + 1e-6)): the factor of global-norm clipping (Pascanu et al. 2013), as in torch's clip_grad_norm_. */
export function clipFactor(norm: Tensor, limit: number): Tensor {
  return minimum(div(limit, add(norm, 1e-6)), 1);
}

/**
 * AdamW (Loshchilov and Hutter 2019, algorithm 2): decoupled decay, bias correction.
 * m ← β₁m + (1-β₁)g; v ← β₂v + (1-β₂)g²; θ ← θ(1 - ηλ) - η m̂ / (sqrt(v̂) + ε), where g is `gradient` times `factor`.
 * Scalars are multiplied first, so that few operations pass over the tensors.
 */
export function adamW(
  parameter: Tensor,
  gradient: Tensor,
  factor: Tensor | null,
  m: Tensor,
  v: Tensor,
  scalars: StepScalars,
  { beta1, beta2, epsilon, weightDecay }: AdamWOptions,
): { parameter: Tensor; m: Tensor; v: Tensor } {
  const [weight1, weight2] =
    factor === null ? [1 - beta1, 1 - beta2] : [mul(factor, 1 - beta1), mul(mul(factor, factor), 1 - beta2)];
  const nextM = add(mul(m, beta1), mul(gradient, weight1));
  const nextV = add(mul(v, beta2), mul(mul(gradient, gradient), weight2));
  const denominator = add(mul(sqrt(nextV), sqrt(scalars.correction2)), epsilon);
  const update = mul(div(nextM, denominator), mul(scalars.lr, scalars.correction1));
  return { parameter: sub(decayed(parameter, scalars.lr, weightDecay), update), m: nextM, v: nextV };
}

/** θ(1 - ηλ) */
const decayed = (parameter: Tensor, lr: Tensor, weightDecay: number): Tensor =>
  weightDecay === 0 ? parameter : mul(parameter, sub(1, mul(lr, weightDecay)));

/** Newton-Schulz coefficients and steps of Muon (Jordan et al. 2024). */
const NEWTON_SCHULZ = { a: 3.4445, b: -4.775, c: 2.0315, steps: 5 };

/**
 * The nearest semi-orthogonal matrices, roughly: five steps X ← aX + b(XXᵀ)X + c(XXᵀ)²X from X/‖X‖, for a stack
 * [count, rows, cols] with rows ≤ cols.
 */
export function orthogonalise(stack: Tensor): Tensor {
  const { a, b, c, steps } = NEWTON_SCHULZ;
  let x = div(stack, add(sqrt(sum(mul(stack, stack), [1, 2], true)), 1e-7));
  for (let i = 0; i < steps; i++) {
    const gram = matmul(x, x, { transB: true });
    const polynomial = add(mul(gram, b), matmul(gram, gram, { alpha: c }));
    x = add(mul(x, a), matmul(polynomial, x));
  }
  return x;
}

/** A matrix that Muon updates, with its gradient and its momentum, all [rows, cols]. */
export interface MuonGroupMember {
  name: string;
  parameter: Tensor;
  gradient: Tensor;
  momentum: Tensor;
}

/**
 * Muon with Nesterov momentum: M ← μM + G; O = orthogonalise(μM + G); W ← W(1 - ηλ) - η 0.2 sqrt(max(rows, cols)) O
 * (Jordan et al. 2024; the factor that matches AdamW's update size: Liu et al. 2025, arXiv 2502.16982, eq. 4).
 * Matrices of one shape are orthogonalised together, as one batch of products.
 */
export function muon(
  members: readonly MuonGroupMember[],
  rate: Tensor,
  { momentum: mu, weightDecay }: MuonOptions,
): Map<string, { parameter: Tensor; momentum: Tensor }> {
  const result = new Map<string, { parameter: Tensor; momentum: Tensor }>();
  const { graph } = rate;
  for (const group of groupByShape(members)) {
    const [short, long] = (group[0].parameter.shape as number[]).toSorted((x, y) => x - y);
    // The direction in which rows ≤ cols, and back.
    const turned = (x: Tensor, { parameter }: MuonGroupMember) =>
      parameter.shape[0] === short ? x : transpose(x, [1, 0]);
    const momenta: Tensor[] = [];
    const steps = group.map((member, i) =>
      graph.scope(member.name, () => {
        momenta[i] = add(mul(member.momentum, mu), member.gradient);
        const nesterov = add(mul(momenta[i], mu), member.gradient);
        return reshape(turned(nesterov, member), [1, short, long]);
      }),
    );
    const orthogonal = graph.scope(`muon.${short}x${long}`, () => orthogonalise(concat(steps, 0)));
    const parts = split(orthogonal, 0, new Array<number>(group.length).fill(1));
    group.forEach((member, i) => {
      const { name, parameter } = member;
      graph.scope(name, () => {
        const direction = turned(reshape(parts[i], [short, long]), member);
        const kept = decayed(parameter, rate, weightDecay);
        const update = mul(direction, mul(rate, 0.2 * Math.sqrt(long)));
        result.set(name, { parameter: sub(kept, update), momentum: momenta[i] });
      });
    });
  }
  return result;
}

/** Groups of matrices that can be stacked: those of the same two sizes, in either order. */
function groupByShape(members: readonly MuonGroupMember[]): MuonGroupMember[][] {
  const groups = new Map<string, MuonGroupMember[]>();
  for (const member of members) {
    const { shape } = member.parameter;
    if (shape.length !== 2) throw new GraphError(`Muon is for matrices; "${member.name}" is [${shape}]`);
    const key = [...(shape as number[])].sort((x, y) => x - y).join("x");
    groups.set(key, [...(groups.get(key) ?? []), member]);
  }
  return [...groups.values()];
}

/**
 * Balancing without a loss (DeepSeek-V3, section 2.1.2): the bias of an expert with more than the mean load moves down
 * by `rate`, that of one with less moves up. bias and load [experts].
 */
export function balanceBias(bias: Tensor, load: Tensor, rate: Tensor): Tensor {
  const gap = sub(mean(load), load);
  const direction = where(greater(gap, 0), 1, where(less(gap, 0), constant(bias.graph, -1), 0));
  return add(bias, mul(direction, rate));
}
