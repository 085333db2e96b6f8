/** What computes: a device, its threads, and whether it writes a profile. Made once, and handed down. */
import { type LoweredGraph, lower } from "../graph/lower.ts";
import type { Graph } from "../graph/tensor.ts";
import { coreWatch, type Watch } from "./contention.ts";
import { type DeviceName, threadCount } from "./device.ts";
import { readModelSignature } from "./model-file.ts";
import { Session } from "./session.ts";

/** What computes, and with how many threads. */
export interface EngineOptions {
  /** "cpu" unless given. On the device "null" graphs are traced and counted, and no session can be made. */
  device?: DeviceName;
  /** Threads that compute one session's nodes; as many as this process has cores unless given. */
  threads?: number;
  /** Folder and name prefix of ONNX Runtime's profiles, with one event for each run of a node. */
  profile?: string;
  /** Tells whether threads may spin; one that all engines of a thread use unless given. */
  watch?: Watch;
}

/** Lowers graphs for a device and prepares sessions that run them there. */
export class Engine {
  readonly device: DeviceName;
  /** Counted once: the number decides how sums are cut, so a session keeps it when the quota changes. */
  readonly threads: number;
  readonly profile: string | undefined;
  readonly watch: Watch;

  constructor({ device = "cpu", threads = threadCount(), profile, watch = coreWatch }: EngineOptions = {}) {
    this.device = device;
    this.threads = threads;
    this.profile = profile;
    this.watch = watch;
  }

  /** Lowers a graph with the device's fused forms, or without any (`composed`), as standard ONNX. */
  lower(graph: Graph, name: string, { composed = false }: { composed?: boolean } = {}): LoweredGraph {
    return lower(graph, { provider: composed ? undefined : this.device, name });
  }

  /** Lowers the graph and prepares it to run. @throws RuntimeError on the device "null" */
  async session(graph: Graph, name: string, options: { composed?: boolean } = {}): Promise<Session> {
    return this.prepare(this.lower(graph, name, options));
  }

  /** Prepares a graph that was lowered before. */
  async prepare(lowered: LoweredGraph): Promise<Session> {
    return Session.open(this, lowered.model.name, lowered, lowered.bytes);
  }

  /**
   * Prepares a graph that `saveModelFile` wrote; its weights are mapped from the files.
   * @throws UserError if a file is missing or has another size than was written
   */
  async load(path: string): Promise<Session> {
    return Session.open(this, path, readModelSignature(path), path);
  }
}
