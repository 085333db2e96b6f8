/** From a request to sample to the order that the thread follows. */
import type { OrderOf, Stop, Weights } from "./orders.ts";
import { refused } from "./refusal.ts";
import type { Sample } from "./requests.ts";

/** @param draw a seed, where the client gives none. @throws Refusal for what this server does not compute */
export function samplingOrder(
  request: Sample,
  weights: Weights,
  maxPositions: number,
  draw: () => number,
): OrderOf<"sample"> {
  refuseExtras(request);
  const { sampling_params: params, num_samples: count } = request;
  const prompt = tokensOf(request);
  const maxNewTokens = params.max_tokens ?? null;
  const total = prompt.length + (maxNewTokens ?? 1);
  if (total > maxPositions)
    throw refused(
      "prompt",
      `${prompt.length} tokens and ${maxNewTokens ?? 1} new ones exceed the model's ${maxPositions} positions`,
      "Shorten the prompt, or set a smaller max_tokens.",
    );
  const scored = request.prompt_logprobs === true ? (request.prompt_logprobs_last_n ?? prompt.length) : 0;
  const { temperature, top_p: topP, top_k: topK } = params;
  return {
    type: "sample",
    weights,
    sampling: { temperature, ...(topP < 1 && { topP }), ...(topK > 0 && { topK }) },
    stop: stopOf(params.stop),
    prompts: [{ prompt, count, maxNewTokens, seed: params.seed ?? draw(), scored }],
  };
}

const EXTRAS = [
  "topk_prompt_logprobs",
  "topk_sample_logprobs",
  "prompt_alt_tokens_k",
  "target_prompt_logprobs",
] as const;

function refuseExtras(request: Sample): void {
  for (const name of EXTRAS)
    if (request[name] != null && request[name] !== 0)
      throw refused(name, "this server does not compute it", "Leave it out, or use prompt_logprobs.");
}

function tokensOf({ prompt }: Sample): number[] {
  const tokens = prompt.chunks.flatMap(({ type, tokens: ids }, i) => {
    if (type === "encoded_text" && ids !== undefined) return ids;
    throw refused(
      `prompt.chunks[${i}]`,
      `it is of type "${type.slice(0, 100)}"`,
      "The models here read text.",
    );
  });
  if (tokens.length > 0) return tokens;
  throw refused("prompt", "it is empty", "Begin it with at least one token.");
}

/** An empty list turns the model's own stop tokens off; others add to them. */
function stopOf(stop: Sample["sampling_params"]["stop"]): Stop {
  const list: readonly (string | number)[] = typeof stop === "string" ? [stop] : (stop ?? []);
  return {
    own: stop == null || list.length > 0,
    ids: list.filter((one) => typeof one === "number"),
    texts: list.filter((one) => typeof one === "string" && one !== "") as string[],
  };
}
