/** Follows orders: trains adapters of models side by side, keeps copies of them, and samples. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readAdapterConfig } from "../../checkpoint/adapter-config.ts";
import { readJson } from "../../checkpoint/json.ts";
import { saveAdapter } from "../../checkpoint/peft.ts";
import { withSafetensors } from "../../checkpoint/safetensors.ts";
import { readParameters } from "../../checkpoint/values.ts";
import { replaceFile } from "../../lib/disk.ts";
import { UserError } from "../../lib/errors.ts";
import type { LoraOptions } from "../../models/lora.ts";
import type { Engine } from "../../runtime/engine.ts";
import { f32 } from "../../runtime/session.ts";
import type { TrainedAdapter } from "../../train/stage.ts";
import { Trainer } from "../../train/trainer.ts";
import { Base } from "./base.ts";
import type { Answers, Order, OrderOf } from "./orders.ts";

/** Parts of a saved model's folder. */
const ADAPTER = "adapter";
const STATE = "state";
const LORA = "lora.json";

/** α of every adapter, whatever its rank, as in Tinker: the best learning rate is then the same for all ranks. */
const ALPHA = 32;

const loraSchema = z.object({
  rank: z.int().positive(),
  alpha: z.number().positive(),
  targets: z.array(z.string()),
});

interface Training {
  base: string;
  trainer: Trainer;
  lora: LoraOptions;
}

export class Studio {
  private readonly paths: ReadonlyMap<string, string>;
  private readonly engine: Engine;
  private readonly bases = new Map<string, Base>();
  private readonly trainings = new Map<string, Training>();
  private readonly adapters = new Map<string, TrainedAdapter>();

  /** @param paths of the models, by name */
  constructor(paths: ReadonlyMap<string, string>, engine: Engine) {
    this.paths = paths;
    this.engine = engine;
  }

  /** @throws UserError for what the order asks in vain */
  follow(order: Order): Promise<unknown> {
    const { type } = order;
    return (this[type] as (order: Order) => Promise<Answers[typeof type]>).call(this, order);
  }

  async create({ model, base, adapter, seed }: OrderOf<"create">): Promise<LoraOptions> {
    const targets = this.base(base).targets(adapter);
    if (targets.length === 0)
      throw new UserError({
        kind: "input",
        where: "lora_config",
        what: "no layer of this model is to be trained",
        remedy: "Turn on train_attn or train_mlp; this model's head is its embedding, which has no adapter.",
      });
    return this.begin(model, base, { rank: adapter.rank, alpha: ALPHA, targets }, seed);
  }

  private async begin(model: string, base: string, lora: LoraOptions, seed: number): Promise<LoraOptions> {
    const trainer = await Trainer.create(this.base(base).model, { lora, seed, engine: this.engine });
    this.trainings.set(model, { base, trainer, lora });
    return lora;
  }

  async pass({ model, data, loss, settings, backward }: OrderOf<"pass">): Promise<Answers["pass"]> {
    const { trainer } = this.training(model);
    return backward ? trainer.forwardBackward(data, loss, settings) : trainer.forward(data, loss, settings);
  }

  async update({ model, step }: OrderOf<"update">): Promise<Answers["update"]> {
    return this.training(model).trainer.optimStep(step);
  }

  async save({ model, folder, state }: OrderOf<"save">): Promise<null> {
    const { trainer, lora, base } = this.training(model);
    const adapter = (await trainer.adapter()) as TrainedAdapter;
    const tensors = await readParameters(adapter.tensors);
    saveAdapter(join(folder, ADAPTER), { lora, tensors, base });
    if (state) await trainer.saveState(join(folder, STATE));
    // The last file: a folder without it is no whole one.
    replaceFile(join(folder, LORA), `${JSON.stringify(lora)}\n`);
    return null;
  }

  async load({ model, base, folder, optimizer }: OrderOf<"load">): Promise<LoraOptions> {
    const states = join(folder, STATE);
    const [state] = existsSync(states) ? readdirSync(states) : [];
    if (state === undefined)
      throw new UserError({
        kind: "checkpoint",
        where: folder,
        what: "it was saved to sample from and holds no training state",
        remedy: "Load what save_state saved.",
      });
    if (!this.trainings.has(model)) await this.begin(model, base, readLora(folder), 0);
    const { trainer, lora } = this.training(model);
    await trainer.loadState(join(states, state), { optimizer });
    return lora;
  }

  async keep({ model, adapter }: OrderOf<"keep">): Promise<null> {
    this.adapters.set(adapter, (await this.training(model).trainer.adapter()) as TrainedAdapter);
    return null;
  }

  async open({ base, adapter, folder }: OrderOf<"open">): Promise<null> {
    this.base(base);
    const lora = readLora(folder);
    readAdapterConfig(join(folder, ADAPTER, "adapter_config.json"));
    const tensors = withSafetensors(join(folder, ADAPTER, "adapter_model.safetensors"), (file) => {
      const names = [...file.header.tensors.keys()];
      return new Map(
        names.map((name) => {
          const { shape, data } = file.readFloat32(name);
          return [name, f32(data, shape)];
        }),
      );
    });
    this.adapters.set(adapter, { lora, tensors });
    return null;
  }

  async forget({ adapter }: OrderOf<"forget">): Promise<null> {
    this.adapters.delete(adapter);
    return null;
  }

  async unload({ model }: OrderOf<"unload">): Promise<null> {
    const training = this.trainings.get(model);
    this.trainings.delete(model);
    await training?.trainer.release();
    return null;
  }

  async sample(order: OrderOf<"sample">): Promise<Answers["sample"]> {
    const { base, adapter } = order.weights;
    const kept = adapter === null ? null : this.adapters.get(adapter);
    if (kept === undefined)
      throw new UserError({
        kind: "input",
        what: "The weights of this sampling client are not kept any more",
        remedy:
          "Save weights under a name (save_weights_for_sampler), and make the client from their path: only the newest of those without a name are kept.",
      });
    return this.base(base).sample(kept, order);
  }

  async release(): Promise<void> {
    for (const { trainer } of this.trainings.values()) await trainer.release();
    for (const base of this.bases.values()) await base.release();
  }

  /** Opens a model when it is first needed. */
  private base(name: string): Base {
    const known = this.bases.get(name);
    if (known !== undefined) return known;
    const base = Base.open(this.paths.get(name) as string, this.engine);
    this.bases.set(name, base);
    return base;
  }

  private training(model: string): Training {
    const training = this.trainings.get(model);
    if (training !== undefined) return training;
    throw new UserError({
      kind: "input",
      where: model,
      what: "this model could not be made, or it has been unloaded",
      remedy: "Make another training client.",
    });
  }
}

const readLora = (folder: string): LoraOptions => loraSchema.parse(readJson(join(folder, LORA)));
