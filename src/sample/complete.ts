/** Continues a text or fills in its middle: what an editor asks of a model for code. */
import { beginIds } from "../tokenizer/around.ts";
import { fimIds } from "../tokenizer/infill.ts";
import { TextStream } from "../tokenizer/stream.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { InferenceModel } from "./inference.ts";
import type { GenerateOptions } from "./requests.ts";
import type { Sampling } from "./sampling.ts";

export interface CompleteOptions {
  sampling: Sampling;
  prefix: string;
  /** The text after the hole; without it, the prefix is continued. */
  suffix?: string;
  /** At most half of the model's positions are used for new tokens; the rest is for the text. */
  maxNewTokens: number;
  seed?: number;
  /** Called with each piece of text as it is sampled. */
  onText?: (text: string) => void;
  signal?: GenerateOptions["signal"];
}

export interface Completion {
  text: string;
  tokens: number;
  /** "stop": the model ended it; "length": it was cut off. */
  finish: "stop" | "length";
  /** Tokens far from the hole that did not fit the model's positions. */
  dropped: { prefix: number; suffix: number };
}

/** @throws UserError where there is a suffix and the vocabulary has no tokens to mark a hole */
export async function complete(
  model: InferenceModel,
  { prefix, suffix, maxNewTokens, seed = 0, onText, signal, sampling }: CompleteOptions,
): Promise<Completion> {
  const { tokenizer, config } = model;
  const begin = beginIds(tokenizer);
  const fim = suffix === undefined ? null : fimIds(tokenizer);
  const limit = Math.max(1, Math.min(maxNewTokens, config.maxPositions >> 1));
  const space = config.maxPositions - limit - begin.length - (fim === null ? 0 : 3);
  const before = tokenizer.encode(prefix, { after: fim === null ? undefined : "control" });
  const after = tokenizer.encode(suffix ?? "", { after: "control" });
  // The suffix gets a quarter of the space, and what the prefix leaves.
  const keptAfter = Math.min(after.length, Math.max(space >> 2, space - before.length));
  const keptBefore = Math.min(before.length, space - keptAfter);
  const near = { before: before.slice(before.length - keptBefore), after: after.slice(0, keptAfter) };
  const prompt =
    fim === null
      ? [...begin, ...near.before]
      : [...begin, fim.begin, ...near.before, fim.hole, ...near.after, fim.end];

  // Only text fills a hole, and an instruct model may end it with another control token than its turns.
  const stopIds = new Set([...tokenizer.stopIds, ...(fim === null ? [] : controlIds(tokenizer))]);
  const stream = new TextStream(tokenizer, prompt);
  let text = "";
  const tell = (piece: string): void => {
    text += piece;
    if (piece !== "") onText?.(piece);
  };
  const { generations } = await model.generate([{ prompt, maxNewTokens: limit, key: [seed, "complete"] }], {
    sampling,
    stopIds,
    signal,
    onToken: (_, id) => tell(stopIds.has(id) ? "" : stream.push(id)),
  });
  tell(stream.end());
  const { ids, finish } = generations[0];
  const dropped = { prefix: before.length - keptBefore, suffix: after.length - keptAfter };
  return { text, tokens: ids.length, finish, dropped };
}

function controlIds(tokenizer: Tokenizer): number[] {
  return tokenizer.controls.flatMap(({ content }) => tokenizer.encode(content, { specials: true }));
}
