/**
 * On-policy distillation: the student is drawn to its teachers at the tokens of its own rollouts (MiniLLM, arXiv 2306.08543;
 * GKD, arXiv 2306.13649), over the full vocabulary as in DeepSeek-V4's last stage, or by one sample.
 */
import { input } from "../graph/ops/source.ts";
import {
  entropy,
  exp,
  greater,
  logSoftmax,
  mul,
  reshape,
  sub,
  sum,
  tokenLogProbs,
  where,
} from "../graph/ops.ts";
import { Graph, type Tensor } from "../graph/tensor.ts";
import { registry } from "../lib/schema.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import type { LossGraph } from "../models/design.ts";
import { parameterInputs } from "../models/layers.ts";
import { type CompletionLogits, type CompletionOptions, completionLogits } from "./completion-logits.ts";
import { losses } from "./losses.ts";
import type { BuildLoss } from "./trace-step.ts";

/** The sum of weights x KL of the step, and the sum of each judge's KL where the graph has it. */
type Estimate = (graph: Graph, completions: CompletionLogits) => LossGraph;

/**
 * KL(student || teacher) = sum_v p(v) (log p(v) - log q(v)) of log-probabilities, student [tokens, vocab] and teachers
 * [judges, tokens, vocab] -> [judges, tokens]. Gradients flow through p and log p.
 */
export function klToTeachers(student: Tensor, teachers: Tensor): Tensor {
  return sum(mul(exp(student), sub(student, teachers)), [-1]);
}

/** The two estimates of the same divergence. */
export const estimates = registry<Estimate>()({
  /**
   * sum_i w_i KL(student || teacher_i) over the full vocabulary. Inputs: the teachers' log-probabilities `judgements`
   * [judges, completionTokens, vocab] and their weights `judgeWeights` [judges, 1].
   */
  full: (graph, { logits, weights, placed }) => {
    const student = logSoftmax(logits);
    const vocab = logits.shape[1];
    const judgements = input(graph, "judgements", "f32", ["judges", "completionTokens", vocab]);
    const kl = klToTeachers(student, judgements);
    const weighted = sum(mul(kl, input(graph, "judgeWeights", "f32", ["judges", 1])), [0]);
    return {
      loss: sum(mul(weights, placed(weighted))),
      measurements: { judgeKl: sum(kl, [1]), entropy: sum(entropy(student)) },
    };
  },
  /**
   * Its gradient by one sample: each token's advantage is sum_i w_i (log q_i - log p) of the token that was sampled (Lu et
   * al. 2025, Thinking Machines Lab, "On-Policy Distillation"), in the policy gradient.
   */
  sample: (_, { logits, targets, weights, placed, perToken }) => {
    const { logProbs, distribution } = tokenLogProbs(logits, targets);
    const present = greater(weights, 0);
    const inputs = { sampled: perToken("old"), advantages: perToken("advantage") };
    const { perToken: gradient } = losses.importance_sampling;
    const one = gradient({ logProbs: placed(logProbs), present, inputs }, {});
    return {
      loss: sum(mul(weights, where(present, one, 0))),
      measurements: { entropy: sum(entropy(distribution)) },
    };
  },
});

/** Traces the student's loss on the inputs of `microBatchFeeds`. */
export function distillLoss(
  config: ModelConfig,
  { estimate, ...options }: CompletionOptions & { estimate: keyof typeof estimates },
): BuildLoss {
  return (graph, parameters) => {
    const completions = completionLogits(graph, config, parameters, options);
    const loads = completions.loads();
    const { loss, measurements } = graph.scope("loss", () => estimates[estimate](graph, completions));
    return { loss, measurements: { ...measurements, ...loads } };
  };
}

/**
 * The graph of a teacher over the student's completions: its `logProbs`, of all tokens at each position [1, completionTokens,
 * vocab], or with `sample` of the student's own tokens alone [batch, seq].
 */
export function traceTeacher(config: ModelConfig, estimate: keyof typeof estimates): Graph {
  const graph = new Graph();
  const parameters = parameterInputs(graph, modelOf(config).parameters);
  const { logits, targets, placed } = completionLogits(graph, config, parameters);
  graph.output(
    "logProbs",
    estimate === "full"
      ? reshape(logSoftmax(logits), [1, "completionTokens", logits.shape[1]])
      : placed(tokenLogProbs(logits, targets).logProbs),
  );
  return graph;
}
