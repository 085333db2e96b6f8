/** A model that several clients train adapters of and sample from. Its weights are in memory once. */

import { modelOf } from "../../models/architectures.ts";
import type { ParameterSpec } from "../../models/layers.ts";
import { adaptedWeights, type LoraOptions, traceMerge } from "../../models/lora.ts";
import { causalMask } from "../../models/masks.ts";
import { openModel } from "../../recipe/model.ts";
import type { Engine } from "../../runtime/engine.ts";
import { allocate, i32, type Session, type Value } from "../../runtime/session.ts";
import type { GenerationRequest } from "../../sample/requests.ts";
import { Sampler } from "../../sample/sampler.ts";
import { Scorer } from "../../sample/scorer.ts";
import { TextStream } from "../../tokenizer/stream.ts";
import type { Model, TrainedAdapter } from "../../train/stage.ts";
import type { AdapterOrder, OrderOf, PromptAnswer, Stop } from "./orders.ts";

/** Merges adapters of one shape into copies of the weights that they go beside. */
interface Merger {
  session: Session;
  names: readonly string[];
}

export class Base {
  readonly model: Model;
  private readonly engine: Engine;
  private readonly specs: readonly ParameterSpec[];
  private sampler: Sampler | null = null;
  private scorer: Scorer | null = null;
  private readonly mergers = new Map<string, Merger>();
  /** Arrays for adapted weights, which the next merge overwrites, and the adapter that they hold. */
  private readonly merged = new Map<string, Value>();
  private holds: TrainedAdapter | null = null;

  private constructor(model: Model, engine: Engine) {
    this.model = model;
    this.engine = engine;
    this.specs = modelOf(model.config).parameters;
  }

  /** @throws what `openModel` throws */
  static open(path: string, engine: Engine): Base {
    return new Base(openModel(path), engine);
  }

  /** The names of the linear layers that a client asks to adapt. */
  targets({ attention, mlp, head }: AdapterOrder): string[] {
    const blocks = adaptedWeights(this.specs, []).filter(({ name }) =>
      name.includes(".self_attn.") ? attention : mlp,
    );
    // A tied head is the embedding, which has no adapter.
    const heads = this.specs.filter(({ role }) => role === "head" && head);
    return [...blocks, ...heads].map(({ name }) => name.replace(/\.weight$/, ""));
  }

  /** Completions by the model's weights, with an adapter or without. @throws UserError for what it cannot answer */
  async sample(
    adapter: TrainedAdapter | null,
    { sampling, stop, prompts }: OrderOf<"sample">,
  ): Promise<PromptAnswer[]> {
    const parameters = await this.weights(adapter);
    this.sampler ??= await Sampler.create(this.model.config, this.engine);
    const requests = prompts.flatMap((order) =>
      Array.from({ length: order.count }, (_, i) => this.request(order, stop, i)),
    );
    const stopIds = new Set([...(stop.own ? this.model.tokenizer.stopIds : []), ...stop.ids]);
    const { generations } = await this.sampler.generate(requests, { sampling, stopIds, parameters });
    // The next order may be an update, which needs the memory.
    this.sampler.forget();
    const answers: PromptAnswer[] = [];
    for (const { count, prompt, scored } of prompts)
      answers.push({
        sequences: generations.splice(0, count),
        promptLogProbs: scored === 0 ? null : await this.score(prompt, scored, parameters),
      });
    return answers;
  }

  private request(
    { prompt, maxNewTokens, seed }: OrderOf<"sample">["prompts"][number],
    stop: Stop,
    index: number,
  ): GenerationRequest {
    const room = this.model.config.maxPositions - prompt.length;
    return {
      prompt,
      maxNewTokens: maxNewTokens ?? Math.max(room, 1),
      key: [seed, "tinker", index],
      ...(stop.texts.length > 0 && { ends: this.textEnd(prompt, stop.texts) }),
    };
  }

  /** Tells of each token whether a stop text ends with it. */
  private textEnd(prompt: readonly number[], texts: readonly string[]): (id: number) => boolean {
    const stream = new TextStream(this.model.tokenizer, prompt);
    const longest = Math.max(...texts.map((text) => text.length));
    let tail = "";
    return (id) => {
      const added = stream.push(id);
      const text = tail + added;
      tail = text.slice(-longest);
      return texts.some((one) => text.includes(one));
    };
  }

  /** log p of the prompt's last `scored` tokens, [tokens]; NaN for the others. */
  private async score(
    prompt: readonly number[],
    scored: number,
    parameters: ReadonlyMap<string, Value>,
  ): Promise<Float32Array> {
    this.scorer ??= await Scorer.create(this.model.config, this.engine);
    const logProbs = new Float32Array(prompt.length).fill(Number.NaN);
    const seq = prompt.length - 1;
    if (seq === 0) return logProbs;
    const rows = {
      ids: i32(Int32Array.from(prompt.slice(0, -1)), [1, seq]),
      targets: i32(Int32Array.from(prompt.slice(1)), [1, seq]),
      positions: i32(
        Int32Array.from({ length: seq }, (_, i) => i),
        [1, seq],
      ),
      mask: causalMask(seq),
    };
    const found = await this.scorer.score(parameters, rows, 1);
    for (let i = Math.max(1, prompt.length - scored); i < prompt.length; i++) logProbs[i] = found[i - 1];
    return logProbs;
  }

  /** The parameters with an adapter merged in; valid until the next call. */
  private async weights(adapter: TrainedAdapter | null): Promise<ReadonlyMap<string, Value>> {
    const { parameters } = this.model;
    if (adapter === null) return parameters;
    const { session, names } = await this.merger(adapter.lora);
    if (this.holds !== adapter) {
      this.holds = null;
      const feeds = Object.fromEntries([
        ...names.map((name) => [name, parameters.get(name) as Value] as const),
        ...adapter.tensors,
      ]);
      const fetches = names.map((name) => [`${name}.merged`, this.copyOf(name)] as const);
      await session.run(feeds, Object.fromEntries(fetches));
      this.holds = adapter;
    }
    return new Map([...parameters, ...names.map((name) => [name, this.copyOf(name)] as const)]);
  }

  private copyOf(name: string): Value {
    const known = this.merged.get(name);
    if (known !== undefined) return known;
    const fresh = allocate("f32", (this.model.parameters.get(name) as Value).shape);
    this.merged.set(name, fresh);
    return fresh;
  }

  private async merger(lora: LoraOptions): Promise<Merger> {
    const key = JSON.stringify(lora);
    const known = this.mergers.get(key);
    if (known !== undefined) return known;
    const session = await this.engine.session(traceMerge(this.specs, lora), "merge");
    const names = adaptedWeights(this.specs, lora.targets).map(({ name }) => name);
    const merger = { session, names };
    this.mergers.set(key, merger);
    return merger;
  }

  async release(): Promise<void> {
    await this.sampler?.release();
    await this.scorer?.release();
    for (const { session } of this.mergers.values()) await session.release();
  }
}
