/** A graph as text, one typed line a node, for snapshots and for people. */
import { neededNodes } from "./analyse.ts";
import { constantValues } from "./ops/source.ts";
import type { Graph, Tensor } from "./tensor.ts";

/**
 * Lines such as `%3 f32[batch,4] = matmul(%1, weight) {transB} @ layers.0.attn.q`. Only what the outputs need is printed;
 * numbers count from 0 in each print, so equal graphs print alike.
 */
export function printGraph(graph: Graph): string {
  const names = new Map<Tensor, string>();
  for (const [name, tensor] of graph.inputs) names.set(tensor, name);
  const lines: string[] = [];
  for (const [name, tensor] of graph.inputs) lines.push(`input ${name}: ${typed(tensor)}`);
  let counter = 0;
  for (const node of neededNodes(graph)) {
    if (node.body !== null) {
      node.body.forEach((part, i) => {
        names.set(node.outputs[i], names.get(part) ?? "?");
      });
      continue;
    }
    if (node.op.memory === "source") {
      const [value] = node.outputs;
      names.set(value, names.get(value) ?? constantText(value));
      continue;
    }
    for (const output of node.outputs) names.set(output, `%${counter++}`);
    const left = node.outputs.map((t) => `${names.get(t)} ${typed(t)}`).join(", ");
    const right = `${node.op.name}(${node.inputs.map((t) => names.get(t)).join(", ")})`;
    const attrs = attributeText(node.attrs);
    lines.push(`${left} = ${right}${attrs}${node.path === "" ? "" : ` @ ${node.path}`}`);
  }
  for (const [name, tensor] of graph.outputs) lines.push(`output ${name} = ${names.get(tensor)}`);
  return lines.join("\n");
}

const typed = (tensor: Tensor): string => `${tensor.dtype}[${tensor.shape.join(",")}]`;

function constantText(tensor: Tensor): string {
  const values = constantValues(tensor);
  return values?.length === 1 ? String(values[0]) : `${tensor.node.op.name}[${tensor.shape.join(",")}]`;
}

function attributeText(attrs: unknown): string {
  if (attrs === null || attrs === undefined) return "";
  if (Array.isArray(attrs) || typeof attrs !== "object") return ` {${attrs}}`;
  const parts = Object.entries(attrs)
    .filter(([key, value]) => value !== false && !(key === "alpha" && value === 1))
    .map(([key, value]) => (value === true ? key : `${key}: ${value}`));
  return parts.length === 0 ? "" : ` {${parts.join(", ")}}`;
}
