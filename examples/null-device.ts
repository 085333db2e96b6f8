/** The null device: DeepSeek-V3 at its published 671 billion parameters, traced and counted on a laptop, nothing computed. */
import { countFlops, Engine, Graph } from "sputnik-r1/graph";
import {
  countParameters,
  fromHuggingFace,
  modelOf,
  parameterInputs,
  sequenceInputs,
} from "sputnik-r1/models";

const config = fromHuggingFace({ model_type: "deepseek_v3", architectures: ["DeepseekV3ForCausalLM"] });
const model = modelOf(config);
const tokens = 4096;
const graph = new Graph();
const inputs = sequenceInputs(graph, { batch: 1, seq: tokens, mask: "shared" });
const { logits } = model.forward(parameterInputs(graph, model.parameters), inputs);
graph.output("logits", logits);

const { total, byPath } = countFlops(graph);
console.log(`parameters: ${(countParameters(model.parameters) / 1e9).toFixed(1)} billion`);
console.log(`training: ${((3 * total) / tokens / 1e9).toFixed(0)} GFLOP a token at ${tokens} tokens`);
const experts = [...byPath].filter(([path]) => path.includes(".experts."));
const share = experts.reduce((sum, [, flops]) => sum + flops, 0) / total;
console.log(`of these in routed experts: ${(100 * share).toFixed(0)} %`);
const cache = model.cacheLayers.reduce((sum, { heads, width }) => sum + heads * width, 0);
console.log(`KV cache: ${cache} numbers a token`);

const lowered = new Engine({ device: "null" }).lower(graph, "v3");
console.log(`ONNX: ${lowered.model.nodes.length} nodes`);
