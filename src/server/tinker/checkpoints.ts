/** Saved weights on this machine's disk, under the paths that Tinker's client hands around: `tinker://RUN/weights/NAME`. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readJson } from "../../checkpoint/json.ts";
import { makeFolder, replaceFile } from "../../lib/disk.ts";
import { refused, unknown } from "./refusal.ts";

/** Which folder of a run: state to train on from, or an adapter to sample from. */
export type CheckpointKind = "weights" | "sampler_weights";

const infoSchema = z.object({
  base_model: z.string(),
  lora_rank: z.int().positive(),
  train_unembed: z.boolean(),
  train_mlp: z.boolean(),
  train_attn: z.boolean(),
  created: z.string(),
  user_metadata: z.record(z.string(), z.string()).nullable(),
});
export type CheckpointInfo = z.output<typeof infoSchema>;

export interface Checkpoint {
  /** The run: a model's id. */
  run: string;
  kind: CheckpointKind;
  name: string;
  /** `tinker://...` */
  path: string;
  folder: string;
}

const INFO = "tinker.json";
const KINDS: readonly CheckpointKind[] = ["weights", "sampler_weights"];
/** Of runs and checkpoints: nothing that means something in a path. */
const RUN = /^[\w-]+(:[\w-]+)*$/;
const NAME = /^[\w-][\w.-]{0,199}$/;

export class Checkpoints {
  private readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Where a checkpoint is or will be. @throws Refusal for a name that is no file's name */
  at(run: string, kind: CheckpointKind, name: string): Checkpoint {
    if (!NAME.test(name) || !RUN.test(run))
      throw refused(
        "path",
        `"${name.slice(0, 100)}" cannot be the name of a checkpoint`,
        "Use letters, digits, dots, dashes and underscores.",
      );
    const folder = join(this.root, run.replaceAll(":", "-"), kind, name);
    return { run, kind, name, path: `tinker://${run}/${kind}/${name}`, folder };
  }

  /** The checkpoint of a path, with what is known of it. @throws Refusal (404) if there is none */
  find(path: string): Checkpoint & { info: CheckpointInfo } {
    const [, run, kind, name] = /^tinker:\/\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
    const known = KINDS.find((one) => one === kind);
    if (run === undefined || known === undefined)
      throw refused(
        "path",
        `"${path.slice(0, 200)}" is no path of saved weights`,
        "It looks like tinker://RUN/weights/NAME.",
      );
    const checkpoint = this.at(run, known, name);
    const file = join(checkpoint.folder, INFO);
    if (!existsSync(file))
      throw unknown("path", path, `Saved weights are in ${this.root}: is this the folder that they went to?`);
    return { ...checkpoint, info: infoSchema.parse(readJson(file)) };
  }

  exists({ folder }: Checkpoint): boolean {
    return existsSync(join(folder, INFO));
  }

  /** Says what was saved, once all of it has been: a folder without this is no checkpoint. */
  describe({ folder }: Checkpoint, info: CheckpointInfo): void {
    makeFolder(folder);
    replaceFile(join(folder, INFO), `${JSON.stringify(info, null, 2)}\n`);
  }

  /** All of a run, in the order of their names. */
  list(run: string): (Checkpoint & { info: CheckpointInfo; bytes: number })[] {
    return KINDS.flatMap((kind) => {
      const folder = join(this.root, run.replaceAll(":", "-"), kind);
      if (!RUN.test(run) || !existsSync(folder)) return [];
      return readdirSync(folder)
        .sort()
        .flatMap((name) => {
          const checkpoint = this.at(run, kind, name);
          if (!this.exists(checkpoint)) return [];
          return [{ ...this.find(checkpoint.path), bytes: sizeOf(checkpoint.folder) }];
        });
    });
  }
}

const sizeOf = (folder: string): number =>
  readdirSync(folder, { recursive: true, encoding: "utf8" }).reduce(
    (total, name) => total + statSync(join(folder, name)).size,
    0,
  );
