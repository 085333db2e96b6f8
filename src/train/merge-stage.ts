/**
 * A weighted average of several models' weights (model soups, Wortsman et al. 2022, arXiv 2203.05482), the cheap way to join
 * specialists that began from one base.
 */
import type { ModelShape } from "../checkpoint/folder.ts";
import { countFlops } from "../graph/analyse.ts";
import { input } from "../graph/ops/source.ts";
import { add, mul, sub } from "../graph/ops.ts";
import { Graph } from "../graph/tensor.ts";
import { sumWork, type Work } from "../ledger/work.ts";
import { UserError } from "../lib/errors.ts";
import { allParameters, type ModelConfig } from "../models/architectures.ts";
import { parameterInputs } from "../models/layers.ts";
import { DoubleBuffer } from "../runtime/buffers.ts";
import type { Engine } from "../runtime/engine.ts";
import { type Session, scalar, type Value } from "../runtime/session.ts";
import type { Model, Stage, StageSnapshot, StepReport, TrainedAdapter } from "./stage.ts";
import { vocabularyDifference } from "./teachers.ts";

/** A model of the average. */
export interface Part {
  /** The stage that made it. */
  name: string;
  weight: number;
  /** Reads it, when its turn comes. */
  open(): ModelShape & Pick<Model, "parameters">;
}

/**
 * The next mean of a running average: `NAME.next` = m + share (x - m) of the mean `NAME` and the model `NAME.other`, where
 * `share` is the model's part of all weights so far.
 */
export function traceMean(config: ModelConfig): Graph {
  const graph = new Graph();
  const specs = allParameters(config);
  const means = parameterInputs(graph, specs);
  const share = input(graph, "share", "f32", []);
  for (const { name, shape } of specs) {
    const mean = means.get(name)!;
    const other = input(graph, `${name}.other`, "f32", shape);
    graph.output(`${name}.next`, add(mean, mul(sub(other, mean), share)));
  }
  return graph;
}

/**
 * Why two models cannot be averaged, in words that name the field or the tensor; `null` where they can: their tensors have
 * equal names and shapes, and mean the same.
 */
export function mergeDifference(first: ModelShape, other: ModelShape): string | null {
  const [mine, theirs] = [first, other].map(
    ({ config }) => new Map(allParameters(config).map(({ name, shape }) => [name, `[${shape}]`])),
  );
  for (const name of new Set([...mine!.keys(), ...theirs!.keys()]))
    if (mine!.get(name) !== theirs!.get(name))
      return `its tensor ${name} is ${theirs!.get(name) ?? "absent"}, and the first model's is ${mine!.get(name) ?? "absent"}`;
  const [own, others] = [first.config, other.config].map((config) => new Map(Object.entries(config)));
  for (const field of new Set([...own!.keys(), ...others!.keys()])) {
    const [here, there] = [own, others].map((fields) => JSON.stringify(fields!.get(field)) ?? "absent");
    if (here !== there) return `its ${field} is ${there}, and the first model's is ${here}`;
  }
  return vocabularyDifference(first, other)?.replace("the student's", "the first model's") ?? null;
}

/** Each step takes one more model into the average, so that two are in memory at a time. */
export class MergeStage implements Stage {
  readonly totalSteps: number;
  done: number;
  private readonly parts: readonly Part[];
  private readonly model: Model;
  private readonly mean: DoubleBuffer;
  private readonly session: Session;
  /** Of one step. */
  private readonly flops: number;
  private steps = 0;

  private constructor(
    parts: readonly Part[],
    model: Model,
    { session, flops }: { session: Session; flops: number },
    done: number,
  ) {
    this.parts = parts;
    this.totalSteps = parts.length - 1;
    this.model = model;
    this.mean = new DoubleBuffer(model.parameters);
    this.session = session;
    this.flops = flops;
    this.done = done;
  }

  /**
   * @param model the first model, or the average that a snapshot's stage had come to, whose parameters are taken over
   * @param parts the models, at least two
   */
  static async create(
    model: Model,
    parts: readonly Part[],
    { engine }: { engine: Engine },
    resume?: StageSnapshot,
  ): Promise<MergeStage> {
    const graph = traceMean(model.config);
    const session = await engine.session(graph, "mean");
    const { done } = (resume?.state as { done: number } | undefined) ?? { done: 0 };
    return new MergeStage(parts, model, { session, flops: countFlops(graph).total }, done);
  }

  async advance(): Promise<StepReport> {
    const { name, weight, open } = this.parts[this.done + 1]!;
    const other = open();
    const difference = mergeDifference(this.model, other);
    if (difference !== null) throw notMergeable(name, difference);
    const before = this.parts.slice(0, this.done + 1).reduce((total, part) => total + part.weight, 0);
    const renamed = [...other.parameters].map(([tensor, value]) => [`${tensor}.other`, value]);
    const feeds = { ...this.mean.feeds(), ...Object.fromEntries(renamed) };
    await this.session.run({ ...feeds, share: scalar(weight / (before + weight)) }, this.mean.fetches());
    this.mean.swap();
    this.done++;
    this.steps++;
    return { metrics: { models: this.done + 1 }, groups: [], notices: [], ...sumWork({ flops: this.flops }) };
  }

  parameters(): ReadonlyMap<string, Value> {
    return this.mean.values();
  }

  work(): Work {
    return sumWork({ flops: this.steps * this.flops });
  }

  snapshot(): StageSnapshot {
    return { tensors: new Map(this.parameters()), state: { done: this.done } };
  }

  adapter(): TrainedAdapter | null {
    return null;
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}

/** The error for a model that does not fit the first one. */
export const notMergeable = (name: string, difference: string): UserError =>
  new UserError({
    kind: "stage",
    what: `the model of stage ${name} cannot be averaged with the first one: ${difference}`,
    remedy: "Average models that began from the same base.",
    data: { path: ["models"] },
  });
