/** Log-probabilities of given sequences: of the reference policy, or of the sampler's tokens as the trainer sees them. */

import { input } from "../graph/ops/source.ts";
import { mul, tokenLogProbs } from "../graph/ops.ts";
import { RunFlops } from "../graph/run-flops.ts";
import { Graph, sizeOf } from "../graph/tensor.ts";
import { sumWork, type Work } from "../ledger/work.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import { sequenceInputs } from "../models/decoder.ts";
import { type ParameterMaker, parameterInputs } from "../models/layers.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Session } from "../runtime/session.ts";
import { read, scalar, type Value } from "../runtime/value.ts";

/** The graph that gives `logProbs` [batch, seq] of `targets`; `mask` is one for all rows or one each. */
export function traceScore(
  config: ModelConfig,
  mask: "shared" | "each" = "shared",
  weights: ParameterMaker = parameterInputs,
): Graph {
  const graph = new Graph();
  const model = modelOf(config);
  const parameters = weights(graph, model.parameters);
  const { logits } = model.forward(parameters, sequenceInputs(graph, { batch: "batch", seq: "seq", mask }));
  const tempered = mul(logits, input(graph, "inverseTemperature", "f32", []));
  const targets = input(graph, "targets", "i32", ["batch", "seq"]);
  graph.output("logProbs", tokenLogProbs(tempered, targets).logProbs);
  return graph;
}

export class Scorer {
  private readonly session: Session;
  private readonly flops: RunFlops;
  /** Work so far; padding does not count as scored. */
  work: Work = sumWork();

  private constructor(graph: Graph, session: Session) {
    this.flops = new RunFlops(graph);
    this.session = session;
  }

  static async create(
    config: ModelConfig,
    engine: Engine,
    { mask }: { mask?: "shared" | "each" } = {},
  ): Promise<Scorer> {
    const graph = traceScore(config, mask);
    return new Scorer(graph, await engine.session(graph, "score"));
  }

  /**
   * log p(target) at the temperature, [batch · seq].
   * @param rows feeds `ids`, `positions`, `mask` and `targets`
   * @param scored tokens that are not padding; all unless given
   */
  async score(
    parameters: ReadonlyMap<string, Value>,
    rows: Record<string, Value>,
    temperature: number,
    scored = sizeOf(rows.ids.shape),
  ): Promise<Float32Array> {
    const { ids, positions, mask, targets } = rows;
    const inverseTemperature = scalar(1 / temperature);
    const feeds = { ...Object.fromEntries(parameters), ids, positions, mask, targets, inverseTemperature };
    const { logProbs } = await this.session.run(feeds);
    this.work = sumWork(this.work, { flops: this.flops.of(feeds), scored });
    return read(logProbs, "f32");
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}
