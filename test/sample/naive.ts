/** The slow twin of the engine: one sequence at a time, no cache, the whole forward pass for each token. */
import { input } from "../../src/graph/ops/source.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { Random } from "../../src/lib/random.ts";
import { type ModelConfig, modelOf } from "../../src/models/architectures.ts";
import { parameterInputs } from "../../src/models/layers.ts";
import { causalMask } from "../../src/models/masks.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { type HostValue, host, i32 } from "../../src/runtime/session.ts";
import {
  checkRequests,
  type GenerateOptions,
  type Generation,
  type GenerationRequest,
} from "../../src/sample/requests.ts";
import { sampleToken } from "../../src/sample/sampling.ts";

/** What `Sampler.generate` computes, in the plainest way: the tests hold the two side by side. */
export async function generateNaively(
  config: ModelConfig,
  parameters: ReadonlyMap<string, HostValue>,
  requests: readonly GenerationRequest[],
  options: GenerateOptions,
): Promise<Generation[]> {
  checkRequests(config, requests, options);
  const graph = new Graph();
  const model = modelOf(config);
  const traced = parameterInputs(graph, model.parameters);
  const ids = input(graph, "ids", "i32", [1, "seq"]);
  const positions = input(graph, "positions", "i32", [1, "seq"]);
  const mask = input(graph, "mask", "f32", [1, 1, "seq", "seq"]);
  graph.output("logits", model.forward(traced, { ids, positions, mask }).logits);
  const session = await new Engine().session(graph, "naive", { composed: true });
  const generations: Generation[] = [];
  for (const request of requests) {
    const random = new Random(...(request.key as [string]));
    const generation: Generation = { ids: [], logProbs: [], finish: "length" };
    while (generation.ids.length < request.maxNewTokens && generation.finish === "length") {
      const sequence = [...request.prompt, ...generation.ids];
      const seq = sequence.length;
      const feeds = {
        ids: i32(sequence, [1, seq]),
        positions: i32(
          sequence.map((_, i) => i),
          [1, seq],
        ),
        mask: causalMask(seq),
      };
      const { logits } = await session.run({ ...Object.fromEntries(parameters), ...feeds });
      const { id, logProb } = sampleToken(
        host(logits).data as Float32Array,
        (seq - 1) * config.vocabSize,
        config.vocabSize,
        options.sampling,
        random,
      );
      generation.ids.push(id);
      generation.logProbs.push(logProb);
      if (options.stopIds.has(id)) generation.finish = "stop";
    }
    generations.push(generation);
  }
  await session.release();
  return generations;
}
