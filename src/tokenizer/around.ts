/**
 * What a model's tokenizer puts before and after a text, read from `tokenizer.json` and `tokenizer_config.json` alone:
 * some models are trained with a BOS and some without, and one that never saw a BOS answers wrongly after it.
 */
import { UserError } from "../lib/errors.ts";
import { type Around, NOTHING_AROUND, type Tokenizer } from "./tokenizer.ts";

/**
 * The ids that every text begins with: a prompt, a document, a prompt with a hole. A prompt gets none of the ids that the
 * tokenizer puts after a text, since they would end it.
 */
export const beginIds = (tokenizer: Tokenizer): readonly number[] => tokenizer.around.before;

/** The ids that end a training document: those of the tokenizer, and one EOS, so that a model learns to stop. */
export function endIds({ around: { after }, eosId }: Tokenizer): readonly number[] {
  return eosId === null || after.at(-1) === eosId ? after : [...after, eosId];
}

type Json = Record<string, unknown>;

export interface AroundSources {
  /** `post_processor` of `tokenizer.json`. */
  processor: unknown;
  /** `tokenizer_config.json`. */
  config: Json;
  bos: number | null;
  eos: number | null;
  /** BOS of a tokenizer that we trained: its models begin texts with it, though no file of older runs says so. */
  ours: number | null;
  idOf: (token: string) => number | undefined;
}

/**
 * The post-processor decides, as in transformers 5. `add_bos_token` and `add_eos_token`, where they are given, override it
 * for their token, as in transformers 4 and llama.cpp's converter; they add no token that the config does not name
 * (`bos_token: null`).
 * @throws UserError for a template that names a token which the vocabulary lacks
 */
export function aroundText({ processor, config, bos, eos, ours, idOf }: AroundSources): Around {
  const nothing = (processor ?? null) === null;
  const { before, after } = nothing ? NOTHING_AROUND : processed(processor as Json, idOf);
  return {
    before: configured(config.add_bos_token, bos, nothing && ours !== null ? [ours] : before, true),
    after: configured(config.add_eos_token, eos, after, false),
  };
}

/** The ids on one side, with or without `id` as the config says; a new one is the outermost. */
function configured(
  flag: unknown,
  id: number | null,
  ids: readonly number[],
  first: boolean,
): readonly number[] {
  if (id === null || typeof flag !== "boolean" || flag === ids.includes(id)) return ids;
  if (!flag) return ids.filter((one) => one !== id);
  return first ? [id, ...ids] : [...ids, id];
}

function processed(processor: Json, idOf: AroundSources["idOf"]): Around {
  switch (processor.type) {
    case "Sequence":
      // Each one wraps what those before it made.
      return ((processor.processors ?? []) as Json[])
        .map((one) => processed(one, idOf))
        .reduce(
          (inner, outer) => ({
            before: [...outer.before, ...inner.before],
            after: [...inner.after, ...outer.after],
          }),
          NOTHING_AROUND,
        );
    case "TemplateProcessing":
      return template(processor, idOf);
    case "BertProcessing":
    case "RobertaProcessing": {
      const id = (name: "cls" | "sep") => [(processor[name] as [string, number])[1]];
      return { before: id("cls"), after: id("sep") };
    }
    case "ByteLevel":
      return NOTHING_AROUND;
    default:
      throw new UserError({
        kind: "tokenizer",
        where: "tokenizer tokenizer.json post_processor",
        expected: "one of Hugging Face's",
        found: JSON.stringify(processor.type),
        remedy: "Export it with a current version of Hugging Face's tokenizers.",
      });
  }
}

interface Piece {
  Sequence?: unknown;
  SpecialToken?: { id: string };
}

function template({ single, special_tokens: known = {} }: Json, idOf: AroundSources["idOf"]): Around {
  const pieces = (single ?? []) as Piece[];
  const text = pieces.findIndex((piece) => piece.Sequence !== undefined);
  const ids = (part: Piece[]): number[] =>
    part.flatMap(({ SpecialToken: token }) => {
      if (token === undefined) return [];
      const ids = (known as Record<string, { ids?: number[] } | undefined>)[token.id]?.ids ?? [
        idOf(token.id),
      ];
      if (ids.every((id) => id !== undefined)) return ids;
      throw new UserError({
        kind: "tokenizer",
        where: "tokenizer tokenizer.json post_processor",
        expected: "tokens of its vocabulary",
        found: JSON.stringify(token.id),
        remedy: "Is the file complete, and of this model?",
      });
    });
  return text < 0
    ? NOTHING_AROUND
    : { before: ids(pieces.slice(0, text)), after: ids(pieces.slice(text + 1)) };
}
