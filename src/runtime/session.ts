/**
 * One ONNX Runtime session: a lowered graph that runs on a device. Values in and out are typed arrays with a shape; an
 * output is written into the caller's array where one is given. (The binding, onnxruntime-node 1.30, makes a copy of every
 * output besides, which nobody holds: garbage of that size at each run.)
 */

import { type LoweredGraph, type LowerOptions, lower } from "../graph/lower.ts";
import { bindShape, type DType, type Graph } from "../graph/tensor.ts";
import { coreWatch, type Watch } from "./core-watch.ts";
import { devices, threadCount } from "./device.ts";
import { readModelSignature } from "./model-file.ts";
import {
  allocate,
  type HostValue,
  host,
  hostValue,
  RuntimeError,
  type TypedArray,
  type Value,
} from "./value.ts";

export * from "./value.ts";

import * as ort from "./onnxruntime.ts";

const ORT_TYPE = {
  f32: "float32",
  f16: "float16",
  bf16: "uint16",
  i32: "int32",
  i64: "int64",
  u8: "uint8",
  bool: "bool",
} as const;
const FROM_ORT: Record<string, DType> = {
  float32: "f32",
  float16: "f16",
  int32: "i32",
  int64: "i64",
  uint8: "u8",
  bool: "bool",
};

export interface SessionOptions extends LowerOptions {
  threads?: number;
  /** Folder and name prefix of ONNX Runtime's profile (one event a node run). */
  profile?: string;
  /** What knows whether threads may spin; the one of this thread unless said. */
  watch?: Watch;
}

/** The wrapper ONNX Runtime needs around a typed array is kept, so that a step allocates nothing. */
const wrappers = new WeakMap<TypedArray, { key: string; tensor: ort.Tensor }>();

function wrap(value: HostValue): ort.Tensor {
  const key = `${value.dtype}[${value.shape}]`;
  const known = wrappers.get(value.data);
  if (known?.key === key) return known.tensor;
  const tensor = value.dtype === "f16" ? halfTensor(value) : plainTensor(value);
  wrappers.set(value.data, { key, tensor });
  return tensor;
}

const plainTensor = ({ dtype, data, shape }: HostValue): ort.Tensor =>
  new ort.Tensor(ORT_TYPE[dtype] as "float32", data as Float32Array, shape);

/**
 * An f16 tensor over its 16-bit words. From Node 23 on the library wants a Float16Array, whose bytes its binding then
 * takes for none; the words themselves it takes on every Node, once the tensor says what they are.
 */
function halfTensor({ data, shape }: HostValue): ort.Tensor {
  const words = new ort.Tensor("uint16", data as Uint16Array, shape);
  return Object.defineProperty(words, "type", { value: "float16" });
}

export class Session {
  readonly inputs: LoweredGraph["inputs"];
  readonly outputs: LoweredGraph["outputs"];
  readonly forms: LoweredGraph["forms"];
  /** Seconds that ONNX Runtime took to prepare the graph. */
  readonly creationSeconds: number;
  private inference: ort.InferenceSession;
  private readonly options: SettledOptions;
  /** The graph, where it is small enough to be prepared again while it runs: see `adapt`. */
  private bytes: Uint8Array | null;
  /** Whether threads that wait for each other sleep, since another program takes a core. */
  yielding = false;
  private running = 0;
  /** Seconds of runs since the graph was prepared. */
  private busy = 0;
  private adapting: Promise<void> | null = null;

  private constructor(
    lowered: Pick<LoweredGraph, "inputs" | "outputs" | "forms"> & { bytes: Uint8Array | null },
    options: SettledOptions,
    inference: ort.InferenceSession,
    seconds: number,
  ) {
    this.inputs = lowered.inputs;
    this.outputs = lowered.outputs;
    this.forms = lowered.forms;
    this.bytes = options.profile === undefined ? lowered.bytes : null;
    this.options = options;
    this.inference = inference;
    this.creationSeconds = seconds;
  }

  /** Lowers the graph and prepares it to run. */
  static async create(graph: Graph, options: SessionOptions = {}): Promise<Session> {
    return Session.fromLowered(lower(graph, options), options);
  }

  static async fromLowered(lowered: LoweredGraph, given: SessionOptions = {}): Promise<Session> {
    const start = performance.now();
    const options = settled(given);
    const inference = await ort.InferenceSession.create(lowered.bytes, sessionOptions(options));
    return new Session(lowered, options, inference, (performance.now() - start) / 1000);
  }

  /** Prepares a graph that `saveModelFile` wrote. @throws ModelFileError if it is not whole */
  static async load(path: string, given: SessionOptions = {}): Promise<Session> {
    const start = performance.now();
    const options = settled(given);
    const signature = readModelSignature(path);
    const inference = await ort.InferenceSession.create(path, sessionOptions(options));
    return new Session({ ...signature, bytes: null }, options, inference, (performance.now() - start) / 1000);
  }

  /**
   * Runs the graph. `feeds` has a value for each input; `fetches` gives arrays that outputs are written into
   * (others are allocated). Throws `RuntimeError` naming a missing or mis-shaped input.
   */
  async run(
    feeds: Readonly<Record<string, Value>>,
    fetches: Readonly<Record<string, Value>> = {},
  ): Promise<Record<string, Value>> {
    const wrappedFeeds: Record<string, ort.Tensor> = {};
    for (const { name, dtype, shape } of this.inputs) {
      const value = feeds[name];
      if (value === undefined) throw new RuntimeError(`input "${name}" (${dtype} [${shape}]) was not fed`);
      if (
        value.dtype !== dtype ||
        value.shape.length !== shape.length ||
        shape.some((d, i) => typeof d === "number" && d !== value.shape[i])
      )
        throw new RuntimeError(
          `input "${name}" is ${value.dtype} [${value.shape}], expected ${dtype} [${shape}]`,
        );
      wrappedFeeds[name] = wrap(host(value));
    }
    const wanted: Record<string, ort.Tensor | null> = {};
    for (const { name } of this.outputs) wanted[name] = name in fetches ? wrap(host(fetches[name])) : null;
    const results = await this.compute(wrappedFeeds, wanted as ort.InferenceSession.OnnxValueMapType);
    const values: Record<string, Value> = {};
    for (const { name } of this.outputs) {
      if (name in fetches) values[name] = fetches[name];
      else {
        const tensor = results[name];
        values[name] = hostValue(FROM_ORT[tensor.type], tensor.dims, tensor.data as TypedArray);
      }
    }
    return values;
  }

  private async compute(
    feeds: Record<string, ort.Tensor>,
    wanted: ort.InferenceSession.OnnxValueMapType,
  ): Promise<ort.InferenceSession.OnnxValueMapType> {
    const { threads, watch = coreWatch } = this.options;
    if (threads > 1 && this.bytes !== null && this.running === 0 && this.yielding !== watch.contended)
      this.adapting ??= this.adapt(this.bytes, watch.contended).finally(() => {
        this.adapting = null;
      });
    // Nothing comes between this and the next line: who finds no change under way is counted before one can begin.
    while (this.adapting !== null) await this.adapting;
    this.running++;
    const start = performance.now();
    try {
      const run = () => this.inference.run(feeds, wanted);
      return threads > 1
        ? await watch.measure({ threads, switching: this.creationSeconds }, run)
        : await run();
    } finally {
      this.busy += (performance.now() - start) / 1000;
      this.running--;
    }
  }

  /**
   * Gives back what the largest of its runs left in ONNX Runtime's arena, which only ever grows, so that another session may
   * use that memory meanwhile. Where preparing the graph anew would cost more than a tenth of what its runs took since, it
   * does nothing.
   */
  async rest(): Promise<void> {
    if (this.bytes === null || this.running > 0 || this.creationSeconds > this.busy / 10) return;
    this.adapting ??= this.adapt(this.bytes, this.yielding).finally(() => {
      this.adapting = null;
    });
    await this.adapting;
  }

  /**
   * Prepared anew, in some tenths of a second, where spinning has become wrong or right: one holds memory at a time. Where
   * that fails, for want of memory, it stays as it is: slower, and no reason to end a run.
   */
  private async adapt(bytes: Uint8Array, contended: boolean): Promise<void> {
    const before = this.inference;
    try {
      this.inference = await ort.InferenceSession.create(bytes, sessionOptions(this.options, contended));
    } catch {
      this.bytes = null;
      return;
    }
    this.yielding = contended;
    this.busy = 0;
    await before.release();
  }

  /** Arrays for outputs of the given sizes, to be passed as `fetches` at each run. */
  allocateOutputs(names: readonly string[], sizes: Record<string, number> = {}): Record<string, Value> {
    const values: Record<string, Value> = {};
    for (const { name, dtype, shape } of this.outputs)
      if (names.includes(name)) values[name] = allocate(dtype, bindShape(shape, sizes));
    return values;
  }

  /** Writes the profile (where one was asked for) and frees the native memory. */
  async release(): Promise<void> {
    try {
      this.inference.endProfiling();
    } catch {
      // No profile was being taken.
    }
    await this.inference.release();
  }
}

/**
 * Threads are counted once: that reads files, and a session keeps its number when another quota comes to hold, since it
 * decides how sums are cut.
 */
type SettledOptions = SessionOptions & { threads: number };

const settled = (options: SessionOptions): SettledOptions => ({
  ...options,
  threads: options.threads ?? threadCount(),
});

/** @param yielding threads that wait for each other sleep: no other number changes, see `contention.ts` */
function sessionOptions(options: SettledOptions, yielding = false): ort.InferenceSession.SessionOptions {
  return {
    executionProviders: devices.cpu.providers,
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    executionMode: "sequential",
    // A plan of all intermediate values would be a second block of memory beside those of the shapes before; it gains no time.
    enableMemPattern: false,
    logSeverityLevel: 3,
    ...(yielding ? { extra: { session: { intra_op: { allow_spinning: "0" } } } } : {}),
    ...(options.profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: options.profile }),
  };
}
