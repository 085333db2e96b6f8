/**
 * Lowering: from our graph to one ONNX model. An op takes its fused form where the execution provider has one that
 * applies, and is lowered by its parts or in standard ONNX otherwise; the result counts both, with the reasons.
 */
import { Emitter } from "./emitter.ts";

import { encodeModel, type OnnxModel, type OnnxNode } from "./proto.ts";
import {
  type DType,
  type FusedForm,
  type Graph,
  GraphError,
  type Node,
  type Shape,
  type Tensor,
} from "./tensor.ts";

/** For which execution provider a graph is lowered, and the name of its model. */
export interface LowerOptions {
  /**
   * The execution provider whose fused forms are taken, by its device in runtime's table, such as "cpu". Without one the
   * model is standard ONNX, in which every op is composed: the slow twin, for any runtime.
   */
  provider?: string;
  name?: string;
}

/** An ONNX model with the dtypes and shapes of its inputs and outputs, in the graph's order. */
export interface LoweredGraph {
  model: OnnxModel;
  /** The model encoded, each time it is asked for. */
  readonly bytes: Uint8Array;
  inputs: { name: string; dtype: DType; shape: Shape }[];
  outputs: { name: string; dtype: DType; shape: Shape }[];
  /** Per op that has parts or a fused form: how often it was fused, and why it was not. */
  forms: Forms;
}

/** By op: in how many nodes a fused form was taken, and in how many not, by the reason. */
export type Forms = Record<string, { fused: number; composed: Record<string, number> }>;

/** Lowers what the graph's outputs need, and nothing else. */
export function lower(graph: Graph, { provider, name = "sputnik" }: LowerOptions = {}): LoweredGraph {
  const ctx = new Emitter();
  const { needed, fused, forms } = chooseForms(graph, provider);
  const names = new Map<Tensor, string>();
  for (const [input, tensor] of graph.inputs) names.set(tensor, input);
  const nameOf = (tensor: Tensor): string => {
    const found = names.get(tensor);
    if (found === undefined)
      throw new GraphError(`${tensor.node.op.name} at "${tensor.node.path}" was used before it was lowered`);
    return found;
  };

  for (const node of graph.nodes) {
    if (!needed.has(node) || node.outputs.every((output) => names.has(output))) continue;
    ctx.at(node.path);
    const rule = fused.get(node) ?? node.op;
    const results =
      "lower" in rule ? rule.lower(ctx, node.inputs.map(nameOf), node.attrs, node) : node.body?.map(nameOf);
    // A fused form may lack outputs that no one uses.
    results?.forEach((result, i) => {
      names.set(node.outputs[i], result);
    });
  }

  const nodes = nameOutputs(graph, ctx, nameOf);
  const describe = ([name, { dtype, shape }]: [string, Tensor]) => ({ name, dtype, shape });
  const inputs = [...graph.inputs].map(describe);
  const outputs = [...graph.outputs].map(describe);
  const model: OnnxModel = { name, nodes, constants: ctx.constants, inputs, outputs, opset: 21 };
  return {
    ...{ model, inputs, outputs, forms },
    get bytes() {
      return encodeModel(model);
    },
  };
}

/** A graph output needs a name of its own: a node is renamed where it makes the value; an input or a constant is copied. */
function nameOutputs(graph: Graph, ctx: Emitter, nameOf: (tensor: Tensor) => string): OnnxNode[] {
  const renamed = new Map<string, string>();
  const given = new Set([...graph.inputs.keys(), ...ctx.constants.map(({ name }) => name)]);
  const copies: OnnxNode[] = [];
  for (const [name, tensor] of graph.outputs) {
    const source = nameOf(tensor);
    if (given.has(source) || renamed.has(source))
      copies.push({
        ...{ opType: "Identity", domain: "", name: `${name}.copy` },
        ...{ inputs: [source], outputs: [name], attributes: {} },
      });
    else renamed.set(source, name);
  }
  const rename = (name: string) => renamed.get(name) ?? name;
  return [...ctx.nodes, ...copies].map((node) => ({
    ...node,
    inputs: node.inputs.map(rename),
    outputs: node.outputs.map(rename),
  }));
}

/** The nodes that a lowered graph computes: a composite op itself where it has a fused form, else its parts. */
export function kernels(graph: Graph, provider?: string): Node[] {
  const { needed, fused } = chooseForms(graph, provider);
  return graph.nodes.filter((node) => needed.has(node) && (node.body === null || fused.has(node)));
}

/** Walks back from the outputs: which nodes are needed, and which of them take a fused form. */
function chooseForms(graph: Graph, provider: string | undefined) {
  const needed = new Set<Node>();
  const fused = new Map<Node, FusedForm>();
  const forms: Forms = {};
  const used = new Set<Tensor>();
  const need = (tensors: Iterable<Tensor>): void => {
    for (const tensor of tensors) {
      needed.add(tensor.node);
      used.add(tensor);
    }
  };
  need(graph.outputs.values());
  for (const node of graph.nodes.toReversed()) {
    if (!needed.has(node)) continue;
    const { op, attrs, body, inputs, outputs } = node;
    const form = provider === undefined ? undefined : op.fused?.[provider];
    let reason: string | null = provider === undefined ? "asked for" : `no fused form on ${provider}`;
    if (form !== undefined)
      reason = outputs.slice(form.outputs ?? outputs.length).some((output) => used.has(output))
        ? "its intermediate results are used"
        : (form.reason?.(node, attrs) ?? null);
    if (form !== undefined && reason === null) fused.set(node, form);
    need(reason === null ? inputs : (body ?? inputs));
    if (body === null && op.fused === undefined) continue;
    forms[op.name] ??= { fused: 0, composed: {} };
    if (reason === null) forms[op.name].fused++;
    else forms[op.name].composed[reason] = (forms[op.name].composed[reason] ?? 0) + 1;
  }
  return { needed, fused, forms };
}
