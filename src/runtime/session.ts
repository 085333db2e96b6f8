/**
 * One ONNX Runtime session: a lowered graph that is ready to run on a device. An output is written into the caller's value
 * where one is given. (The binding, onnxruntime-node 1.30, still copies every output once, which is garbage after the run.)
 */
import type * as ort from "onnxruntime-common";
import type { LoweredGraph } from "../graph/lower.ts";
import { bindShape, type Shape } from "../graph/tensor.ts";
import { debug, debugs } from "../lib/debug.ts";
import type { Watch } from "./contention.ts";
import { type DeviceName, devices } from "./device.ts";
import { InferenceSession, Tensor } from "./onnxruntime.ts";
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

const ORT_TYPE = {
  f32: "float32",
  f16: "float16",
  bf16: "uint16",
  i32: "int32",
  i64: "int64",
  u8: "uint8",
  bool: "bool",
} as const;
/** The wrapper that ONNX Runtime needs around a typed array is kept, so that a step allocates nothing. */
const wrappers = new WeakMap<TypedArray, { key: string; tensor: ort.Tensor }>();

function wrap(value: HostValue): ort.Tensor {
  const key = `${value.dtype}[${value.shape}]`;
  const known = wrappers.get(value.data);
  if (known?.key === key) return known.tensor;
  const tensor = tensorOf(value);
  wrappers.set(value.data, { key, tensor });
  return tensor;
}

/**
 * From Node 23 on the library wants a Float16Array for f16, whose bytes its binding then ignores; it takes 16-bit words on
 * every Node, once the tensor says what they are.
 */
function tensorOf({ dtype, data, shape }: HostValue): ort.Tensor {
  const type = dtype === "f16" ? "uint16" : ORT_TYPE[dtype];
  const tensor = new Tensor(type as "float32", data as Float32Array, shape);
  return dtype === "f16" ? Object.defineProperty(tensor, "type", { value: "float16" }) : tensor;
}

/** What a session takes over from its settings. */
export interface SessionSettings {
  device: DeviceName;
  threads: number;
  /** Folder and name prefix of ONNX Runtime's profile. */
  profile: string | undefined;
  /** Tells whether threads may spin. */
  watch: Watch;
}

type Signature = Pick<LoweredGraph, "inputs" | "outputs" | "forms">;

/** Made by an `Engine`. */
export class Session {
  readonly name: string;
  readonly inputs: LoweredGraph["inputs"];
  readonly outputs: LoweredGraph["outputs"];
  readonly forms: LoweredGraph["forms"];
  /** Seconds that ONNX Runtime took to prepare the graph. */
  readonly creationSeconds: number;
  private readonly settings: SessionSettings;
  private inference: ort.InferenceSession;
  /** The graph, where it can be prepared again: see `adapt`. */
  private bytes: Uint8Array | null;
  /** Whether threads that wait for each other sleep, since another program takes a core. */
  yielding = false;
  private running = 0;
  /** Seconds of runs since the graph was prepared. */
  private busy = 0;
  private adapting: Promise<void> | null = null;

  private constructor(
    settings: SessionSettings,
    name: string,
    { inputs, outputs, forms }: Signature,
    prepared: { model: Uint8Array | string; inference: ort.InferenceSession; seconds: number },
  ) {
    this.settings = settings;
    this.name = name;
    this.inputs = inputs;
    this.outputs = outputs;
    this.forms = forms;
    const { model, inference, seconds } = prepared;
    this.bytes = settings.profile === undefined && typeof model !== "string" ? model : null;
    this.inference = inference;
    this.creationSeconds = seconds;
  }

  /** Prepares an ONNX model, given as its bytes or its path. @throws RuntimeError if the device runs no sessions */
  static async open(
    settings: SessionSettings,
    name: string,
    signature: Signature,
    model: Uint8Array | string,
  ): Promise<Session> {
    const start = performance.now();
    const inference = await prepare(settings, name, model, false);
    const seconds = (performance.now() - start) / 1000;
    debug(2, () => `session ${name}: ${seconds.toFixed(2)} s on ${settings.device}, ${formsText(signature)}`);
    return new Session(settings, name, signature, { model, inference, seconds });
  }

  /**
   * Runs the graph. `feeds` has a value for each input; `fetches` gives values that outputs are written into, and other
   * outputs are allocated. @throws RuntimeError naming a missing or mis-shaped input
   */
  async run(
    feeds: Readonly<Record<string, Value>>,
    fetches: Readonly<Record<string, Value>> = {},
  ): Promise<Record<string, Value>> {
    const wrappedFeeds: Record<string, ort.Tensor> = {};
    for (const { name, dtype, shape } of this.inputs) {
      const value = feeds[name];
      if (value === undefined) throw new RuntimeError(`input "${name}" (${dtype} [${shape}]) was not fed`);
      if (value.dtype !== dtype || !fits(value.shape, shape))
        throw new RuntimeError(
          `input "${name}" is ${value.dtype} [${value.shape}], expected ${dtype} [${shape}]`,
        );
      wrappedFeeds[name] = wrap(host(value));
    }
    const wanted: Record<string, ort.Tensor | null> = {};
    for (const { name } of this.outputs) wanted[name] = name in fetches ? wrap(host(fetches[name])) : null;
    const start = performance.now();
    const results = await this.compute(wrappedFeeds, wanted as ort.InferenceSession.OnnxValueMapType);
    if (debugs(3)) this.describeRun(feeds, performance.now() - start);
    const values: Record<string, Value> = {};
    for (const { name, dtype } of this.outputs) {
      const { dims, data } = results[name];
      values[name] = fetches[name] ?? hostValue(dtype, dims, data as TypedArray);
    }
    return values;
  }

  private async compute(
    feeds: Record<string, ort.Tensor>,
    wanted: ort.InferenceSession.OnnxValueMapType,
  ): Promise<ort.InferenceSession.OnnxValueMapType> {
    const { device, threads, watch } = this.settings;
    const spins = threads > 1 && devices[device].spins;
    if (spins && this.bytes !== null && this.running === 0 && this.yielding !== watch.contended)
      this.prepareAgain(this.bytes, watch.contended);
    // No other code runs between the end of this loop and the next line, so no change can begin uncounted.
    while (this.adapting !== null) await this.adapting;
    this.running++;
    const start = performance.now();
    try {
      const run = () => this.inference.run(feeds, wanted);
      return spins ? await watch.measure({ threads, switching: this.creationSeconds }, run) : await run();
    } finally {
      this.busy += (performance.now() - start) / 1000;
      this.running--;
    }
  }

  /**
   * Frees the memory that ONNX Runtime's arena has kept since the largest run (it never shrinks), so that another session
   * can use it meanwhile. Does nothing where preparing the graph again would take more than a tenth of the time of the
   * runs since the last time.
   */
  async rest(): Promise<void> {
    if (this.bytes === null || this.running > 0 || this.creationSeconds > this.busy / 10) return;
    this.prepareAgain(this.bytes, this.yielding);
    await this.adapting;
  }

  private prepareAgain(bytes: Uint8Array, yielding: boolean): void {
    this.adapting ??= this.adapt(bytes, yielding).finally(() => {
      this.adapting = null;
    });
  }

  /**
   * Replaces ONNX Runtime's session, in some tenths of a second. Where there is no memory for a second one, the session
   * stays as it is, which is slower, but no reason to end a run.
   */
  private async adapt(bytes: Uint8Array, yielding: boolean): Promise<void> {
    const before = this.inference;
    try {
      this.inference = await prepare(this.settings, this.name, bytes, yielding);
    } catch {
      this.bytes = null;
      return;
    }
    this.yielding = yielding;
    this.busy = 0;
    await before.release();
  }

  private describeRun(feeds: Readonly<Record<string, Value>>, milliseconds: number): void {
    const sizes = new Set<string>();
    for (const { name, shape } of this.inputs)
      shape.forEach((dim, axis) => {
        if (typeof dim !== "number") sizes.add(`${dim}=${feeds[name].shape[axis]}`);
      });
    debug(3, () => `run ${this.name}: ${[...sizes].join(" ")} ${milliseconds.toFixed(1)} ms`);
  }

  /** Values for outputs of the given sizes, to be passed as `fetches` at each run. */
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

const fits = (sizes: readonly number[], shape: Shape): boolean =>
  sizes.length === shape.length && shape.every((dim, i) => typeof dim !== "number" || dim === sizes[i]);

function prepare(
  { device, threads, profile }: SessionSettings,
  name: string,
  model: Uint8Array | string,
  yielding: boolean,
): Promise<ort.InferenceSession> {
  const { options } = devices[device];
  if (options === null)
    throw new RuntimeError(
      `the device "${device}" runs nothing; "${name}" needs one that computes, such as "cpu"`,
    );
  const profiling = profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile };
  // The overloads of the binding tell bytes and a path apart.
  return InferenceSession.create(model as string, { ...options(threads, yielding), ...profiling });
}

/** Such as "rmsNorm: 9 fused; attend: 4 composed (no fused form on cpu)". */
function formsText({ forms }: Signature): string {
  return Object.entries(forms)
    .map(([op, { fused, composed }]) => {
      const reasons = Object.entries(composed).map(([reason, count]) => `${count} composed (${reason})`);
      return `${op}: ${[...(fused > 0 ? [`${fused} fused`] : []), ...reasons].join(", ")}`;
    })
    .join("; ");
}
