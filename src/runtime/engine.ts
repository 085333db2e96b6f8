/** What computes: a device, how many threads it may use, and whether it writes a profile. Made once, and handed down. */
import type { LoweredGraph } from "../graph/lower.ts";
import type { Graph } from "../graph/tensor.ts";
import { type DeviceName, threadCount } from "./device.ts";
import { Session } from "./session.ts";

export interface EngineOptions {
  device?: DeviceName;
  /** Threads that compute one session's nodes; as many as this process has cores unless given. */
  threads?: number;
  /** Folder and name prefix of ONNX Runtime's profiles, one event a node run. */
  profile?: string;
}

export class Engine {
  readonly device: DeviceName;
  readonly threads: number;
  readonly profile: string | undefined;

  constructor({ device = "cpu", threads = threadCount(), profile }: EngineOptions = {}) {
    this.device = device;
    this.threads = threads;
    this.profile = profile;
  }

  /** Lowers the graph and prepares it to run. @param options `composed`: without any fused form */
  session(graph: Graph, name: string, options: { composed?: boolean } = {}): Promise<Session> {
    return Session.create(graph, { ...options, ...this.settings(), name });
  }

  /** Prepares a graph that was lowered before. */
  prepare(lowered: LoweredGraph): Promise<Session> {
    return Session.fromLowered(lowered, this.settings());
  }

  /** Prepares a graph that `saveModelFile` wrote, whose weights are mapped from its files. */
  load(path: string): Promise<Session> {
    return Session.load(path, this.settings());
  }

  private settings(): { threads: number; profile?: string } {
    return { threads: this.threads, profile: this.profile };
  }
}
