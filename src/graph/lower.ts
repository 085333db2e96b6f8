/**
 * Lowering: from our graph to one ONNX model. A composite op takes its fused form where the execution provider
 * has one that applies, and is inlined otherwise; the result counts both, with the reasons.
 */
import type { FusedForm, Op } from "./op.ts";
import {
  type Attribute,
  encodeModel,
  type OnnxConstant,
  type OnnxModel,
  type OnnxNode,
  type WeightPart,
} from "./proto.ts";
import {
  DTYPE_BYTES,
  type DType,
  type Graph,
  GraphError,
  type Node,
  type Shape,
  type Tensor,
} from "./tensor.ts";

/** An execution provider by the name of its device in runtime's table, such as "cpu". */
export type Provider = string;

export interface LowerOptions {
  /** Whose fused forms are taken; without one all ops are composed, the slow twin, in standard ONNX. */
  provider?: Provider;
  name?: string;
}

export interface LoweredGraph {
  model: OnnxModel;
  /** The model encoded, each time it is asked for. */
  readonly bytes: Uint8Array;
  inputs: { name: string; dtype: DType; shape: Shape }[];
  outputs: { name: string; dtype: DType; shape: Shape }[];
  /** Per composite op: how often it was fused, and why it was not. */
  forms: Record<string, { fused: number; composed: Record<string, number> }>;
}

/** What an op's lowering rule may do: name its operands, emit nodes, and add constants. */
export class Lowering {
  readonly nodes: OnnxNode[] = [];
  readonly constants: OnnxConstant[] = [];
  private readonly names = new Map<Tensor, string>();
  private readonly constantNames = new Map<string, string>();
  private counter = 0;
  private path = "";

  /** The ONNX name of a tensor that was lowered before. */
  value(tensor: Tensor): string {
    const name = this.names.get(tensor);
    if (name === undefined)
      throw new GraphError(`${tensor.node.op.name} at "${tensor.node.path}" was used before it was lowered`);
    return name;
  }

  has(tensor: Tensor): boolean {
    return this.names.has(tensor);
  }

  bind(tensor: Tensor, name: string): void {
    this.names.set(tensor, name);
  }

  at(path: string): void {
    this.path = path;
  }

  /** Adds an ONNX node; returns its first output's name. */
  emit(opType: string, inputs: string[], attributes: Record<string, Attribute> = {}, domain = ""): string {
    return this.emitAll(opType, inputs, 1, attributes, domain)[0];
  }

  emitAll(
    opType: string,
    inputs: string[],
    outputs: number,
    attributes: Record<string, Attribute> = {},
    domain = "",
  ): string[] {
    const id = this.counter++;
    const label = this.path === "" ? opType : `${this.path}.${opType}`;
    const names = Array.from({ length: outputs }, (_, i) =>
      outputs === 1 ? `${label}#${id}` : `${label}#${id}:${i}`,
    );
    this.nodes.push({ opType, domain, name: `${label}#${id}`, inputs, outputs: names, attributes });
    return names;
  }

  /** A constant tensor; equal constants share one initializer. `values` are numbers in the dtype's domain. */
  constant(
    dtype: "f32" | "i32" | "i64" | "bool",
    shape: readonly number[],
    values: ArrayLike<number>,
  ): string {
    const bytes = constantBytes(dtype, values);
    const key = `${dtype}[${shape}]${bytes.length <= 256 ? Buffer.from(bytes).toString("base64") : `#${this.counter++}`}`;
    let name = this.constantNames.get(key);
    if (name === undefined) {
      name = `constant#${this.constants.length}`;
      this.constants.push({ name, dtype, shape, bytes });
      this.constantNames.set(key, name);
    }
    return name;
  }

  /** A weight that is part of the model; its bytes are asked for when the model is encoded or saved. */
  weight(dtype: DType, shape: readonly number[], part: WeightPart): string {
    const name = `${this.path}#${this.constants.length}`;
    const length = DTYPE_BYTES[dtype] * shape.reduce((total, dim) => total * dim, 1);
    const constant = {
      ...{ name, dtype, shape, part },
      get bytes() {
        const whole = new Uint8Array(part.whole.length);
        let end = 0;
        for (const piece of part.whole.pieces()) {
          whole.set(piece, end);
          end += piece.length;
        }
        return whole.subarray(part.start, part.start + length);
      },
    };
    this.constants.push(constant);
    return name;
  }

  /** A 1-D int64 constant, as ONNX wants its axes, shapes and slices. */
  ints(values: readonly number[]): string {
    return this.constant("i64", [values.length], values);
  }

  float(value: number): string {
    return this.constant("f32", [], [value]);
  }

  /** Says which names the graph's inputs have. */
  input(tensor: Tensor, name: string): void {
    this.names.set(tensor, name);
  }
}

function constantBytes(dtype: "f32" | "i32" | "i64" | "bool", values: ArrayLike<number>): Uint8Array {
  const typed =
    dtype === "f32"
      ? Float32Array.from(values)
      : dtype === "i32"
        ? Int32Array.from(values)
        : dtype === "bool"
          ? Uint8Array.from(values)
          : BigInt64Array.from(Array.from(values, (v) => BigInt(v)));
  return new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength);
}

/** Lowers what the graph's outputs need, and nothing else. */
export function lower(graph: Graph, options: LowerOptions = {}): LoweredGraph {
  const ctx = new Lowering();
  const forms: LoweredGraph["forms"] = {};
  for (const [name, tensor] of graph.inputs) ctx.input(tensor, name);
  const choice = chooseForms(graph, options.provider, forms);

  for (const node of graph.nodes) {
    if (!choice.needed.has(node) || node.outputs.every((output) => ctx.has(output))) continue;
    ctx.at(node.path);
    if (node.body !== null && !choice.fused.has(node)) {
      node.outputs.forEach((output, i) => {
        ctx.bind(output, ctx.value((node.body as readonly Tensor[])[i]));
      });
      continue;
    }
    const op = node.op as unknown as Op<unknown>;
    const rule = choice.fused.get(node)?.lower ?? op.lower;
    if (rule === undefined || rule === "body") throw new GraphError(`${op.name} has no lowering`);
    const names = rule(ctx, node, node.attrs);
    node.outputs.forEach((output, i) => {
      if (names[i] !== undefined) ctx.bind(output, names[i]);
    });
  }

  // A graph output needs a name of its own: rename where it is produced, copy where it is an input or shared.
  const taken = new Set<string>();
  const renamed = new Map<string, string>();
  const inputNames = new Set(graph.inputs.keys());
  const constantNames = new Set(ctx.constants.map((c) => c.name));
  const copies: OnnxNode[] = [];
  for (const [name, tensor] of graph.outputs) {
    const source = ctx.value(tensor);
    if (inputNames.has(source) || constantNames.has(source) || taken.has(source)) {
      copies.push({
        opType: "Identity",
        domain: "",
        name: `${name}.copy`,
        inputs: [source],
        outputs: [name],
        attributes: {},
      });
    } else {
      renamed.set(source, name);
      taken.add(source);
    }
  }
  const rename = (name: string) => renamed.get(name) ?? name;
  const nodes = [...ctx.nodes, ...copies].map((node) => ({
    ...node,
    inputs: node.inputs.map(rename),
    outputs: node.outputs.map(rename),
  }));
  const describe = ([name, tensor]: [string, Tensor]) => ({ name, dtype: tensor.dtype, shape: tensor.shape });
  const inputs = [...graph.inputs].map(describe);
  const outputs = [...graph.outputs].map(describe);
  const model: OnnxModel = {
    name: options.name ?? "sputnik",
    nodes,
    constants: ctx.constants,
    inputs,
    outputs,
    opset: 21,
  };
  const bytes = () => encodeModel(model);
  return {
    ...{ model, inputs, outputs, forms },
    get bytes() {
      return bytes();
    },
  };
}

/** The nodes that a lowered graph computes: a composite op whole where it has a fused form, else what it is made of. */
export function kernels(graph: Graph, provider: Provider): Node[] {
  const { needed, fused } = chooseForms(graph, provider, {});
  return graph.nodes.filter((node) => needed.has(node) && (node.body === null || fused.has(node)));
}

interface Choice {
  needed: Set<Node>;
  fused: Map<Node, FusedForm<unknown>>;
}

/** Walks back from the outputs: which nodes are needed, and which composites stay whole. */
function chooseForms(graph: Graph, provider: Provider | undefined, forms: LoweredGraph["forms"]): Choice {
  const needed = new Set<Node>();
  const fused = new Map<Node, FusedForm<unknown>>();
  const used = new Set<Tensor>();
  const need = (tensors: Iterable<Tensor>): void => {
    for (const tensor of tensors) {
      needed.add(tensor.node);
      used.add(tensor);
    }
  };
  need(graph.outputs.values());
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i];
    if (!needed.has(node)) continue;
    if (node.body === null) {
      need(node.inputs);
      continue;
    }
    const op = node.op as unknown as Op<unknown>;
    const form = provider === undefined ? undefined : op.fused?.[provider];
    const reason =
      provider === undefined
        ? "asked for"
        : form === undefined
          ? `no fused form on ${provider}`
          : node.outputs.slice(form.outputs ?? node.outputs.length).some((output) => used.has(output))
            ? "its intermediate results are used"
            : form.reason(node, node.attrs);
    forms[op.name] ??= { fused: 0, composed: {} };
    if (reason === null && form !== undefined) {
      fused.set(node, form);
      forms[op.name].fused++;
      need(node.inputs);
    } else if (reason !== null) {
      forms[op.name].composed[reason] = (forms[op.name].composed[reason] ?? 0) + 1;
      need(node.body);
    }
  }
  return { needed, fused };
}
