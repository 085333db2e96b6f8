/** Log-probabilities of given sequences under given parameters: the reference policy, or the trainer's view of the sampler. */
import { countFlops } from "../graph/analyse.ts";
import { input } from "../graph/ops/source.ts";
import { mul, tokenLogProbs } from "../graph/ops.ts";
import { Graph } from "../graph/tensor.ts";
import { sumWork, type Work } from "../ledger/work.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import { type ParameterMaker, parameterInputs } from "../models/layers.ts";
import type { Engine } from "../runtime/engine.ts";
import { type HostValue, host, type Session, scalar } from "../runtime/session.ts";

/** The graph that gives `logProbs` [batch, seq] of `targets`; `mask` is one for all rows or one each. */
export function traceScore(
  config: ModelConfig,
  mask: "shared" | "each" = "shared",
  weights: ParameterMaker = parameterInputs,
): Graph {
  const graph = new Graph();
  const model = modelOf(config);
  const parameters = weights(graph, model.parameters);
  const perToken = (name: string) => input(graph, name, "i32", ["batch", "seq"]);
  const inputs = {
    ids: perToken("ids"),
    positions: perToken("positions"),
    mask: input(graph, "mask", "f32", [mask === "shared" ? 1 : "batch", 1, "seq", "seq"]),
  };
  const { logits } = model.forward(parameters, inputs);
  const tempered = mul(logits, input(graph, "inverseTemperature", "f32", []));
  graph.output("logProbs", tokenLogProbs(tempered, perToken("targets")).logProbs);
  return graph;
}

export class Scorer {
  private readonly session: Session;
  private readonly graph: Graph;
  /** Counted so far; padding is not. */
  work: Work = sumWork();

  private constructor(graph: Graph, session: Session) {
    this.graph = graph;
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
   * log p(target) at the temperature, [batch · seq]; `rows` are the feeds ids, positions, mask and targets, of which `scored`
   * tokens are no padding.
   */
  async score(
    parameters: ReadonlyMap<string, HostValue>,
    rows: Record<string, HostValue>,
    temperature: number,
    scored = rows.ids.data.length,
  ): Promise<Float32Array> {
    const { ids, positions, mask, targets } = rows;
    const [batch, seq] = ids.shape;
    const feeds = {
      ...Object.fromEntries(parameters),
      ids,
      positions,
      mask,
      targets,
      inverseTemperature: scalar(1 / temperature),
    };
    const { logProbs } = await this.session.run(feeds);
    this.work = sumWork(this.work, { flops: countFlops(this.graph, { batch, seq }).total, scored });
    return host(logProbs).data as Float32Array;
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}
