/** Tinker's requests, followed: each method takes a request that has been read and returns the body of its answer. */
import { randomInt } from "node:crypto";
import { type Checkpoint, type CheckpointInfo, Checkpoints } from "./checkpoints.ts";
import { readPass } from "./data.ts";
import { Futures, type Outcome } from "./futures.ts";
import type { Compute } from "./orders.ts";
import { refused, unknown } from "./refusal.ts";
import type * as requests from "./requests.ts";
import { samplingOrder } from "./sampling.ts";
import { Sessions, type TrainingModel } from "./sessions.ts";
import { readPassHeader, readPassRequest, WireError, writePassResult, writeSampleResult } from "./wire.ts";

/** A model that clients may name. */
export interface ServedModel {
  name: string;
  maxPositions: number;
  /** What transformers loads the tokenizer from: a folder. */
  tokenizer: string;
}

export interface ServiceOptions {
  models: readonly ServedModel[];
  compute: Compute;
  /** Where weights are saved. */
  folder: string;
  /** Draws the seeds that clients do not give; for tests. */
  draw?: () => number;
}

/** Adapters without a name that are kept of each model. */
const KEPT = 8;

const body = (fields: object): Outcome => ({ kind: "json", body: fields });

export class Service {
  readonly sessions = new Sessions();
  readonly futures = new Futures();
  readonly checkpoints: Checkpoints;
  private readonly models: ReadonlyMap<string, ServedModel>;
  private readonly compute: Compute;
  private readonly draw: () => number;

  constructor({ models, compute, folder, draw = () => randomInt(2 ** 32) }: ServiceOptions) {
    this.models = new Map(models.map((model) => [model.name, model]));
    this.compute = compute;
    this.checkpoints = new Checkpoints(folder);
    this.draw = draw;
  }

  capabilities(): object {
    const supported = [...this.models.values()].map(({ name, maxPositions }) => ({
      ...{ model_name: name, max_context_length: maxPositions, trainable: true, sampleable: true },
    }));
    return { supported_models: supported };
  }

  openSession(metadata: Record<string, unknown>): object {
    this.endSilent();
    return { type: "create_session", session_id: this.sessions.open(metadata).id };
  }

  /** Ends a session: its models and kept adapters leave the memory, saved weights stay. */
  async finish(id: string): Promise<void> {
    const { models, adapters } = this.sessions.finish(this.sessions.session(id));
    for (const model of models) await this.compute.run({ type: "unload", model });
    for (const adapter of adapters) await this.compute.run({ type: "forget", adapter });
  }

  createModel(request: requests.CreateModel): object {
    const session = this.sessions.session(request.session_id);
    const id = `${session.id}:train:${request.model_seq_id}`;
    const known = this.sessions.findModel(id);
    if (known !== undefined) return { request_id: known.made, model_id: id };
    const { name: base } = this.served(request.base_model);
    const { lora_config: lora, user_metadata: metadata } = request;
    checkOptimizer("optimizer_config", request.optimizer_config);
    if (lora == null)
      throw refused(
        "lora_config",
        "it is missing: models are trained by adapters",
        "Give a rank, such as 32.",
      );
    const { rank, seed, train_unembed, train_mlp, train_attn } = lora;
    const adapter = { rank, attention: train_attn, mlp: train_mlp, head: train_unembed };
    const making = this.compute.run({
      ...{ type: "create", model: id, base, adapter, seed: seed ?? this.draw() },
    });
    const made = this.futures.add(making.then(() => body({ type: "create_model", model_id: id })));
    const trains = { train_unembed, train_mlp, train_attn };
    this.sessions.addModel({ id, session, base, rank, trains, metadata: metadata ?? {}, made });
    return { request_id: made, model_id: id };
  }

  info(id: string): object {
    const { base, rank } = this.sessions.model(id);
    const { tokenizer } = this.served(base);
    return {
      type: "get_info",
      model_id: id,
      model_data: { model_name: base, tokenizer_id: tokenizer },
      optimizer_config: { type: "adamw" },
      is_lora: true,
      lora_rank: rank,
      model_name: base,
    };
  }

  async forwardBackward(bytes: Uint8Array): Promise<object> {
    const header = readable(() => readPassHeader(bytes));
    const model = this.sessions.model(header.model);
    return this.inTurn(model, header.sequence, "forward_backward", () => {
      const request = readable(() => readPassRequest(bytes));
      const pass = readPass(request, (id) => model.session.recorded.get(id));
      return this.compute
        .run({ ...pass, type: "pass", model: model.id, backward: !request.forwardOnly })
        .then(({ loss, logProbs, tokenLosses }) => ({
          kind: "proto",
          bytes: writePassResult({
            metrics: { "loss:sum": loss },
            outputs: { logprobs: logProbs, elementwise_loss: tokenLosses },
            data: logProbs.length,
          }),
        }));
    });
  }

  async optimStep(request: requests.OptimStep): Promise<object> {
    const model = this.sessions.model(request.model_id);
    return this.inTurn(model, request.seq_id, "optim_step", () => {
      checkOptimizer("optimizer_params", request.optimizer_params);
      const { adam_params: adam } = request;
      if (adam === undefined)
        throw refused("adam_params", "it is missing", "Give AdamParams, at least a learning rate.");
      const { learning_rate: lr, beta1, beta2, eps: epsilon, weight_decay: weightDecay } = adam;
      const clip = adam.grad_clip_norm > 0 ? adam.grad_clip_norm : null;
      const step = { lr, betas: [beta1, beta2] as [number, number], epsilon, weightDecay, clip };
      return this.compute
        .run({ type: "update", model: model.id, step })
        .then(({ norm }) => body({ metrics: { "optim/grad_norm": norm } }));
    });
  }

  async saveWeights(request: requests.SaveWeights): Promise<object> {
    const model = this.sessions.model(request.model_id);
    return this.inTurn(model, request.seq_id, "save_weights", () => {
      const checkpoint = this.place(model, "weights", request);
      return this.save(model, checkpoint, request).then(() =>
        body({ type: "save_weights", path: checkpoint.path }),
      );
    });
  }

  /** Under a name on the disk, or without one in memory for a client that samples from it. */
  async saveForSampler(request: requests.SaveForSampler): Promise<object> {
    const model = this.sessions.model(request.model_id);
    return this.inTurn(model, request.seq_id, "save_weights_for_sampler", () => {
      const type = "save_weights_for_sampler";
      if (request.path != null) {
        const checkpoint = this.place(model, "sampler_weights", request);
        return this.save(model, checkpoint, request).then(() => body({ type, path: checkpoint.path }));
      }
      if (request.sampling_session_seq_id == null)
        throw refused(
          "path",
          "it is missing",
          "Give the weights a name, or the number of a sampling client.",
        );
      const id = `${model.session.id}:sample:${request.sampling_session_seq_id}`;
      const adapter = request.kind === "inflight" ? `${model.id}:inflight` : id;
      this.sessions.addSampler({
        ...{ id, session: model.session, path: null, weights: { base: model.base, adapter } },
        ready: Promise.resolve(),
      });
      if (request.kind === "snapshot") this.forgetOldest(model, adapter);
      return this.compute
        .run({ type: "keep", model: model.id, adapter })
        .then(() => body({ type, sampling_session_id: id }));
    });
  }

  async loadWeights(request: requests.LoadWeights): Promise<object> {
    const { path, optimizer } = request;
    if (request.session_id == null) {
      const model = this.sessions.model(request.model_id ?? "");
      return this.inTurn(model, request.seq_id ?? 0, "load_weights", () =>
        this.load(model, this.checkpoints.find(path).folder, path, optimizer),
      );
    }
    const session = this.sessions.session(request.session_id);
    const id = `${session.id}:train:${request.model_seq_id ?? 0}`;
    const known = this.sessions.findModel(id);
    if (known !== undefined) return { request_id: known.made, model_id: id };
    checkOptimizer("optimizer_config", request.optimizer_config);
    const { info, folder } = this.checkpoints.find(path);
    const { name: base } = this.served(request.base_model ?? info.base_model);
    const { lora_rank: rank, train_unembed, train_mlp, train_attn } = info;
    const model = this.sessions.addModel({
      ...{
        id,
        session,
        base,
        rank,
        trains: { train_unembed, train_mlp, train_attn },
        metadata: {},
        made: "",
      },
    });
    model.made = this.futures.add(this.load(model, folder, path, optimizer));
    return { request_id: model.made, model_id: id };
  }

  createSampler(request: requests.CreateSampler): object {
    const session = this.sessions.session(request.session_id);
    const id = `${session.id}:sample:${request.sampling_session_seq_id}`;
    const answer = { type: "create_sampling_session", sampling_session_id: id };
    if (this.sessions.findSampler(id) !== undefined) return answer;
    const { model_path: path, base_model: named } = request;
    const add = (base: string, adapter: string | null, ready: Promise<unknown>): void => {
      this.sessions.addSampler({ id, session, path: path ?? null, weights: { base, adapter }, ready });
    };
    if (path == null) add(this.served(named ?? "").name, null, Promise.resolve());
    else {
      const { info, folder } = this.checkpoints.find(path);
      const { name: base } = this.served(info.base_model);
      const opening = this.compute.run({ type: "open", base, adapter: id, folder });
      // Each request to sample from it reports the fault.
      opening.catch(() => {});
      add(base, id, opening);
    }
    return answer;
  }

  describeSampler(id: string): object {
    const { weights, path } = this.sessions.sampler(id);
    return { sampler_id: id, base_model: weights.base, model_path: path };
  }

  sample(request: requests.Sample): object {
    const sampler = this.sessions.sampler(request.sampling_session_id);
    const known = sampler.answers.get(request.seq_id);
    if (known !== undefined) return known;
    const { weights, session, ready } = sampler;
    const order = samplingOrder(request, weights, this.served(weights.base).maxPositions, this.draw);
    const [{ prompt, count }] = order.prompts;
    const ids = Array.from({ length: count }, (_, i) => `${sampler.id}:${request.seq_id}:${i}`);
    const sampling = ready.then(async (): Promise<Outcome> => {
      const [answer] = await this.compute.run(order);
      if (request.record_stability_info === true)
        answer.sequences.forEach(({ ids: tokens, logProbs }, i) => {
          session.recorded.set(ids[i], { prompt, ids: tokens, logProbs });
        });
      return { kind: "proto", bytes: writeSampleResult(answer) };
    });
    const answer = { request_id: this.futures.add(sampling), sample_sequence_ids: ids };
    sampler.answers.set(request.seq_id, answer);
    return answer;
  }

  async unload(id: string): Promise<object> {
    const model = this.sessions.model(id);
    this.sessions.removeModel(model.id);
    const unloading = this.compute.run({ type: "unload", model: id });
    return {
      request_id: this.futures.add(unloading.then(() => body({ type: "unload_model", model_id: id }))),
    };
  }

  weightsInfo(path: string): object {
    const { info } = this.checkpoints.find(path);
    const { created, user_metadata, ...shape } = info;
    return { ...shape, is_lora: true, optimizer_config: { type: "adamw" } };
  }

  /** A model's run, which stays when the model is gone, as long as it has saved weights. */
  trainingRun(id: string): object {
    const model = this.sessions.findModel(id);
    const saved = this.checkpoints.list(id);
    const [first] = saved;
    if (model === undefined && first === undefined)
      throw unknown("training_run_id", id, "It was never here, or it has no saved weights.");
    const metadata = Object.entries({ ...model?.session.metadata, ...model?.metadata });
    return {
      training_run_id: id,
      base_model: model?.base ?? first.info.base_model,
      model_owner: "local",
      is_lora: true,
      lora_rank: model?.rank ?? first.info.lora_rank,
      last_request_time: new Date(model?.session.heard ?? first.info.created).toISOString(),
      user_metadata: Object.fromEntries(metadata.map(([key, value]) => [key, String(value)])),
    };
  }

  savedWeights(id: string): object {
    const checkpoints = this.checkpoints.list(id).map(({ kind, name, path, info, bytes }) => ({
      checkpoint_id: `${kind}/${name}`,
      checkpoint_type: kind === "weights" ? "training" : "sampler",
      time: info.created,
      tinker_path: path,
      size_bytes: bytes,
      user_metadata: info.user_metadata,
    }));
    return { checkpoints };
  }

  /** @throws Refusal (404) for a model that this server was not told to serve */
  private served(name: string): ServedModel {
    const model = this.models.get(name);
    if (model !== undefined) return model;
    const names = [...this.models.keys()].join(", ");
    throw unknown(
      "base_model",
      name,
      `This server has ${names}: use one, or start it with --model ${name}=PATH.`,
    );
  }

  private async inTurn(
    model: TrainingModel,
    number: number,
    what: string,
    begin: () => Promise<Outcome>,
  ): Promise<object> {
    const id = await model.turns.take(number, what, () => this.futures.add(begin()));
    return { request_id: id, model_id: model.id };
  }

  /** @throws Refusal for a name that is taken */
  private place(
    model: TrainingModel,
    kind: "weights" | "sampler_weights",
    { path: name, overwrite, seq_id }: requests.SaveWeights,
  ): Checkpoint {
    const checkpoint = this.checkpoints.at(model.id, kind, name ?? `step-${seq_id}`);
    if (!overwrite && this.checkpoints.exists(checkpoint))
      throw refused("path", `${checkpoint.path} is there already`, "Choose another name, or set overwrite.");
    return checkpoint;
  }

  private async save(
    { id, base, rank, trains }: TrainingModel,
    checkpoint: Checkpoint,
    request: requests.SaveWeights,
  ): Promise<void> {
    const state = checkpoint.kind === "weights";
    await this.compute.run({ type: "save", model: id, folder: checkpoint.folder, state });
    const info: CheckpointInfo = {
      ...{ base_model: base, lora_rank: rank, ...trains, created: new Date().toISOString() },
      user_metadata: request.user_metadata ?? null,
    };
    this.checkpoints.describe(checkpoint, info);
  }

  private async load(
    { id, base }: TrainingModel,
    folder: string,
    path: string,
    optimizer: boolean,
  ): Promise<Outcome> {
    await this.compute.run({ type: "load", model: id, base, folder, optimizer });
    return body({ type: "load_weights", path, model_id: id });
  }

  /** Keeps a model's newest adapters alone: each takes memory, and a loop makes one a step. */
  private forgetOldest(model: TrainingModel, newest: string): void {
    model.kept.push(newest);
    for (const adapter of model.kept.splice(0, Math.max(0, model.kept.length - KEPT)))
      this.compute.run({ type: "forget", adapter }).catch(() => {});
  }

  private endSilent(): void {
    for (const { id } of this.sessions.silent()) void this.finish(id).catch(() => {});
  }
}

function checkOptimizer(where: string, config: { type: string } | null | undefined): void {
  if (config == null || config.type === "adamw") return;
  throw refused(where, `there is no optimizer "${config.type.slice(0, 100)}" here`, "Use AdamW.");
}

/** Reads a message, whose faults are the client's. */
function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof WireError) && !(error instanceof RangeError) && (error as Error).name !== "Error")
      throw error;
    throw refused("body", (error as Error).message, "Use the Python package tinker, 0.38 or one like it.");
  }
}
