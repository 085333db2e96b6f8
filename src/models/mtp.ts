/**
 * Multi-token prediction (DeepSeek-V3, arXiv 2412.19437, section 2.2): a module of one block after the trunk. In
 * training it gives a second loss, in decoding the draft of tokens that the model then checks all at once (section 5.4.3).
 */
import { concat } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import {
  blockParameters,
  cachedRun,
  cacheLayersOf,
  decoded,
  embedTokens,
  head,
  prefixOf,
  type Run,
  rmsNormed,
  runBlocks,
} from "./decoder.ts";
import type { Design, ForwardResult, MtpModule } from "./design.ts";
import { matrix, normWeight, type ParameterSpec, parameter, project } from "./layers.ts";

/** The module of a model, whose embedding and head are the trunk's own; `null` where the config has none. */
export function mtpModule(design: Design): MtpModule | null {
  const { config } = design;
  const { layers: layer, hiddenSize, mtpLayers = 0 } = config;
  if (mtpLayers === 0) return null;

  /**
   * h' = M [RMSNorm(Emb(t_{i+1})) ; RMSNorm(h_i)] in the order of the published weights, then one block, its norm and the
   * head (eq. 21 to 23).
   */
  function run(
    { parameters, options, over }: Pick<Run, "parameters" | "options" | "over">,
    { ids, hidden, positions }: { ids: Tensor; hidden: Tensor; positions: Tensor },
  ): ForwardResult {
    const { graph } = ids;
    const weights = (name: string) => parameter(parameters, prefixOf(layer) + name);
    const norm = (x: Tensor, name: string) => rmsNormed(x, weights(`${name}.weight`), config, name);
    const joined = graph.scope(`layers.${layer}`, () => {
      const both = concat([norm(embedTokens(parameters, ids), "enorm"), norm(hidden, "hnorm")], -1);
      return project(both, weights, "eh_proj");
    });
    const blocks = runBlocks(joined, { design, parameters, layers: [layer], positions, over, options });
    const out = graph.scope(`layers.${layer}`, () => norm(blocks.hidden, "shared_head.norm"));
    return { ...blocks, hidden: out, logits: head(parameters, config, options.wanted?.(out) ?? out) };
  }

  const named = (spec: ParameterSpec) => ({ ...spec, name: prefixOf(layer) + spec.name });
  const joining = [
    normWeight("enorm", hiddenSize),
    normWeight("hnorm", hiddenSize),
    matrix("eh_proj", [hiddenSize, 2 * hiddenSize]),
  ];
  const specs = [
    ...joining.map(named),
    ...blockParameters(design, layer),
    named(normWeight("shared_head.norm", hiddenSize)),
  ];
  return {
    parameters: specs.map((spec) => ({ ...spec, mtp: true })),
    cacheLayers: cacheLayersOf(design, [layer]),
    forward: (parameters, inputs, options = {}) => run({ parameters, options, over: () => inputs }, inputs),
    decode: (parameters, step) => decoded(run({ parameters, ...cachedRun(design, step) }, step)),
  };
}
