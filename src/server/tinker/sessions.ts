/** What clients have made here: sessions, models in training, and clients that sample. */
import { randomBytes } from "node:crypto";
import type { RecordedSequence } from "./data.ts";
import type { Weights } from "./orders.ts";
import { Refusal, unknown } from "./refusal.ts";
import { Turns } from "./turns.ts";

/** A client's program, from its start to its end. */
export interface Session {
  id: string;
  metadata: Record<string, unknown>;
  /** Ids. */
  models: string[];
  samplers: string[];
  /** Sequences that training requests may name, by id. */
  recorded: Map<string, RecordedSequence>;
  /** When its client was last heard of, in milliseconds. */
  heard: number;
  finished: boolean;
}

/** What a client chose when it made a model. */
export interface TrainingModel {
  id: string;
  session: Session;
  base: string;
  rank: number;
  trains: { train_unembed: boolean; train_mlp: boolean; train_attn: boolean };
  metadata: Record<string, unknown>;
  /** The future of the request that made it. */
  made: string;
  turns: Turns;
  /** Adapters that were kept without a name, the oldest first. */
  kept: string[];
}

export interface SamplingClient {
  id: string;
  session: Session;
  weights: Weights;
  /** Of saved weights. */
  path: string | null;
  /** Settles when the weights have been read. */
  ready: Promise<unknown>;
  /** Answers by the number of the request. */
  answers: Map<number, { request_id: string; sample_sequence_ids: string[] }>;
}

/** Milliseconds without a sign of life after which a session's models are unloaded; a client gives one every 10 s. */
const SILENCE_MS = 30 * 60_000;

export class Sessions {
  private readonly sessions = new Map<string, Session>();
  private readonly models = new Map<string, TrainingModel>();
  private readonly samplers = new Map<string, SamplingClient>();

  open(metadata: Record<string, unknown>): Session {
    const session: Session = {
      ...{ id: `session-${randomBytes(6).toString("hex")}`, metadata },
      ...{ models: [], samplers: [], recorded: new Map(), heard: Date.now(), finished: false },
    };
    this.sessions.set(session.id, session);
    return session;
  }

  /** The session, which has given a sign of life. @throws Refusal: 404 for one that is not known, 410 for a finished one */
  session(id: string): Session {
    const session = this.sessions.get(id);
    if (session === undefined)
      throw unknown("session_id", id, "This server has been started again: make another ServiceClient.");
    if (session.finished)
      throw new Refusal(410, {
        where: "session_id",
        what: `the session ${id} has ended`,
        remedy: "Make another ServiceClient.",
      });
    session.heard = Date.now();
    return session;
  }

  addModel(model: Omit<TrainingModel, "turns" | "kept">): TrainingModel {
    const added = { ...model, turns: new Turns(), kept: [] };
    this.models.set(model.id, added);
    model.session.models.push(model.id);
    return added;
  }

  findModel(id: string): TrainingModel | undefined {
    return this.models.get(id);
  }

  /** @throws Refusal (404) */
  model(id: string): TrainingModel {
    const model = this.models.get(id);
    if (model === undefined)
      throw unknown(
        "model_id",
        id,
        "Make another training client, from saved weights if there are some: this server has been started again, or the model was unloaded.",
      );
    this.session(model.session.id);
    return model;
  }

  removeModel(id: string): void {
    this.models.delete(id);
  }

  addSampler(sampler: Omit<SamplingClient, "answers">): SamplingClient {
    const added = { ...sampler, answers: new Map() };
    this.samplers.set(sampler.id, added);
    sampler.session.samplers.push(sampler.id);
    return added;
  }

  findSampler(id: string): SamplingClient | undefined {
    return this.samplers.get(id);
  }

  /** @throws Refusal (404) */
  sampler(id: string): SamplingClient {
    const sampler = this.samplers.get(id);
    if (sampler === undefined)
      throw unknown(
        "sampling_session_id",
        id,
        "Make another sampling client: this server has been started again.",
      );
    this.session(sampler.session.id);
    return sampler;
  }

  /** Ends a session. @returns the ids of its models, and its adapters that were kept */
  finish(session: Session): { models: string[]; adapters: string[] } {
    session.finished = true;
    session.recorded.clear();
    const adapters = session.samplers.flatMap((id) => this.samplers.get(id)?.weights.adapter ?? []);
    for (const id of session.samplers) this.samplers.delete(id);
    for (const id of session.models) this.models.delete(id);
    return { models: session.models, adapters: [...new Set(adapters)] };
  }

  /** Sessions whose clients have been silent for long. */
  silent(now = Date.now()): Session[] {
    return [...this.sessions.values()].filter(({ finished, heard }) => !finished && now - heard > SILENCE_MS);
  }
}
