/** Whether a text begins with BOS: models are trained either way, and each file says it in its own place. */
import type { Tokenizer } from "./tokenizer.ts";

/**
 * `add_bos_token` where it is given; else what the post-processor adds; else yes for a plain fast tokenizer, as ours
 * are, and no for the classes that add nothing (GPT-2's, Qwen2's).
 */
export function beginIds(tokenizer: Tokenizer, config: Record<string, unknown> = {}): number[] {
  const { bosId } = tokenizer;
  if (bosId === null) return [];
  const { add_bos_token: told, tokenizer_class: kind = "PreTrainedTokenizerFast" } = config;
  const { post_processor: after } = tokenizer.toJSON() as { post_processor?: unknown };
  const plain = (after ?? null) === null && kind === "PreTrainedTokenizerFast";
  const adds = JSON.stringify(after ?? null).includes('{"SpecialToken":{"id":');
  return (typeof told === "boolean" ? told : plain || adds) ? [bosId] : [];
}
