/** The tokenizer of a GGUF file, from and to the content of Hugging Face's `tokenizer.json` and its config. */
import { isDeepStrictEqual } from "node:util";
import { addedToken, bpeJson } from "../../tokenizer/bpe-json.ts";
import { namedTemplates, TOOL_USE } from "../../tokenizer/chat-template.ts";
import { COMPACT_VOCABULARIES, compactTokenizerJson, compactWordsOf } from "../../tokenizer/compact.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { mismatch } from "../errors.ts";
import { templateField } from "../folder.ts";
import { ruleName, SAME_RULE, SPLIT_RULES, type SplitRule } from "./splits.ts";
import { flag, i32s, type Metadata, type MetadataValue, text, texts, u32 } from "./values.ts";

type Json = Record<string, unknown>;

/** Kinds of tokens in `tokenizer.ggml.token_type`. */
const KIND = { normal: 1, control: 3, added: 4, unused: 5 };
const KEY = "tokenizer.ggml";
const TEMPLATE = "tokenizer.chat_template";
const TOOL_TEMPLATE = `${TEMPLATE}.${TOOL_USE}`;

/** What a Hugging Face folder has beside the weights, as far as a GGUF file has it too. */
export interface TokenizerContent {
  tokenizer: Json;
  tokenizerConfig: Json;
  /** bos, eos and pad ids, for `config.json` and `generation_config.json`. */
  ids: Json;
}

/** @throws UserError for a tokenizer of another kind */
export function checkKind(metadata: Metadata): void {
  if (metadata.text(`${KEY}.model`) !== "gpt2")
    throw metadata.wrong(`${KEY}.model`, '"gpt2", a byte-level BPE', "Other tokenizers are not read.");
}

/** @throws UserError for an unknown split rule */
export function knownSplit(metadata: Metadata): SplitRule {
  const given = metadata.text(`${KEY}.pre`);
  const name = SAME_RULE[given] ?? given;
  if (Object.hasOwn(SPLIT_RULES, name)) return SPLIT_RULES[name]!;
  throw metadata.wrong(
    `${KEY}.pre`,
    `a split rule out of ${Object.keys(SPLIT_RULES).join(", ")}`,
    "Guessing it would give wrong ids without an error. Use the model's Hugging Face folder, with its tokenizer.json.",
  );
}

/** @throws UserError for an unknown tokenizer or split rule: guessing would give other ids without an error */
export function toTokenizerContent(metadata: Metadata): TokenizerContent {
  checkKind(metadata);
  const words = metadata.texts(`${KEY}.tokens`);
  const id = (name: string): number | null => {
    const found = metadata.count(`${KEY}.${name}_token_id`, null);
    if (found === null || found < words.length) return found;
    // Some converters wrote -1 for none; llama.cpp ignores ids beyond the vocabulary.
    if (name !== "eos" || found === 2 ** 32 - 1) return null;
    throw metadata.wrong(`${KEY}.${name}_token_id`, `an id below ${words.length}`);
  };
  const [bos, eos, pad] = [id("bos"), id("eos"), id("padding")];
  const stops = endIds(words, Object.fromEntries(END_KEYS.map((key) => [key, id(key)])));
  const word = (at: number | null): string | null => (at === null ? null : words[at]!);
  return {
    tokenizer: compact(metadata, words) ?? bpe(metadata, words, new Set(stops)),
    tokenizerConfig: {
      tokenizer_class: "PreTrainedTokenizerFast",
      ...{ bos_token: word(bos), eos_token: word(eos), pad_token: word(pad) },
      add_bos_token: metadata.flag(
        `${KEY}.add_bos_token`,
        SAME_RULE[metadata.text(`${KEY}.pre`, "")] === "llama-bpe",
      ),
      add_eos_token: metadata.flag(`${KEY}.add_eos_token`, false),
      clean_up_tokenization_spaces: false,
      ...(metadata.has(TEMPLATE) && {
        chat_template: templateField(metadata.text(TEMPLATE), metadata.text(TOOL_TEMPLATE, null)),
      }),
    },
    ids: {
      bos_token_id: bos,
      eos_token_id: stops.length > 1 ? stops : (stops[0] ?? null),
      pad_token_id: pad,
    },
  };
}

/** A compact tokenizer, recognised by its words; `undefined` for others. */
function compact(metadata: Metadata, words: readonly string[]): Json | undefined {
  const kinds = metadata.integers(`${KEY}.token_type`);
  const used = words.filter((_, id) => kinds?.[id] !== KIND.unused);
  return COMPACT_VOCABULARIES.map((name) => compactTokenizerJson(name)).find(({ model }) => {
    const { vocab } = model as { vocab: Record<string, number> };
    return isDeepStrictEqual(
      used,
      Object.keys(vocab).sort((a, b) => vocab[a]! - vocab[b]!),
    );
  });
}

/** @param ends ids that end a completion: as in llama.cpp they are control tokens, whatever their kind says */
function bpe(metadata: Metadata, words: readonly string[], ends: ReadonlySet<number>): Json {
  const rule = knownSplit(metadata);
  const kinds = metadata.integers(`${KEY}.token_type`) ?? new Int32Array(words.length).fill(KIND.normal);
  if (kinds.length !== words.length) throw metadata.wrong(`${KEY}.token_type`, `${words.length} numbers`);
  const lastId = new Map(words.map((word, id) => [word, id]));
  const twice = words.find((word, id) => kinds[id] !== KIND.unused && lastId.get(word) !== id);
  if (twice !== undefined)
    throw metadata.wrong(`${KEY}.tokens`, `each token once, ${JSON.stringify(twice)} too`);
  const vocab: [string, number][] = [];
  const added: Json[] = [];
  for (const [id, content] of words.entries()) {
    const kind = ends.has(id) ? KIND.control : kinds[id];
    if (kind === KIND.normal) vocab.push([content, id]);
    else if (kind !== KIND.unused) added.push(addedToken(id, content, kind !== KIND.added));
  }
  const { pre_tokenizer: preTokenizer, normalizer, ignoreMerges } = rule;
  const merges = metadata.texts(`${KEY}.merges`);
  return bpeJson({ added, vocab, merges, preTokenizer, normalizer, ignoreMerges });
}

interface TokenizerJson {
  added_tokens?: { id: number; content: string; special?: boolean }[];
  model: { type?: string; vocab: Record<string, number>; merges?: (string | [string, string])[] };
  pre_tokenizer?: Json | null;
  normalizer?: Json | null;
  post_processor?: unknown;
}

/**
 * The metadata of a tokenizer, padded with unused tokens to the rows of the embedding.
 * @param config content of `tokenizer_config.json`: the chat template, and whether a text begins with bos
 * @throws UserError if llama.cpp has no name for its split rule
 */
export function tokenizerMetadata(
  file: string,
  tokenizer: Tokenizer,
  config: Json,
  rows: number,
): [string, MetadataValue][] {
  const json = tokenizer.toJSON() as TokenizerJson;
  const words = Array.from({ length: rows }, (_, id) => `[PAD${id}]`);
  const kinds = new Int32Array(rows).fill(KIND.unused);
  const put = (id: number, word: string, kind: number): void => {
    words[id] = word;
    kinds[id] = kind;
  };
  const isCompact = compactWordsOf(json.model) !== null;
  // The compact vocabulary has no merges: like added tokens, its words are searched in the text.
  for (const [word, id] of Object.entries(json.model.vocab))
    put(id, word, isCompact ? KIND.added : KIND.normal);
  for (const { id, content, special } of json.added_tokens ?? [])
    put(id, content, special ? KIND.control : KIND.added);
  const merges = (json.model.merges ?? []).map((merge) =>
    typeof merge === "string" ? merge : merge.join(" "),
  );
  const [eot = null, eom = null] = furtherEnds(tokenizer, words);
  const ids = { bos: tokenizer.bosId, eos: tokenizer.eosId, padding: tokenizer.padId, eot, eom };
  const templates = namedTemplates(config.chat_template);
  const [template, forTools] = [templates.get("default"), templates.get(TOOL_USE)];
  return [
    [`${KEY}.model`, text("gpt2")],
    [`${KEY}.pre`, text(isCompact ? "gpt-2" : splitRule(file, json))],
    [`${KEY}.tokens`, texts(words)],
    [`${KEY}.token_type`, i32s(kinds)],
    [`${KEY}.merges`, texts(merges)],
    ...Object.entries(ids)
      .filter((entry): entry is [string, number] => entry[1] !== null)
      .map(([name, id]): [string, MetadataValue] => [`${KEY}.${name}_token_id`, u32(id)]),
    [`${KEY}.add_bos_token`, flag(adds(tokenizer.bosId, config.add_bos_token, tokenizer.around.before))],
    [`${KEY}.add_eos_token`, flag(adds(tokenizer.eosId, config.add_eos_token, tokenizer.around.after))],
    [`${KEY}.add_space_prefix`, flag(false)],
    ...(template === undefined ? [] : [[TEMPLATE, text(template)] as [string, MetadataValue]]),
    ...(forTools === undefined ? [] : [[TOOL_TEMPLATE, text(forTools)] as [string, MetadataValue]]),
  ];
}

/**
 * The ids beside EOS that end a completion. The format has keys for two of them, and llama.cpp finds others by their texts:
 * those that it would not find come first.
 */
export function furtherEnds({ stopIds, eosId }: Tokenizer, words: readonly string[]): number[] {
  const found = endIds(words, { eos: eosId });
  const others = [...stopIds].filter((id) => id !== eosId);
  if (others.length <= 2) return others;
  const missed = others.filter((id) => !found.includes(id));
  return missed.length > 2 ? missed : [...missed, ...others.filter((id) => found.includes(id))].slice(0, 2);
}

function splitRule(file: string, json: TokenizerJson): string {
  const name = json.model.type === undefined || json.model.type === "BPE" ? ruleName(json) : undefined;
  if (name !== undefined) return name;
  throw mismatch(
    `${file}, tokenizer.json pre_tokenizer`,
    `a byte-level BPE with a split rule that llama.cpp has a name for: ${Object.keys(SPLIT_RULES).join(", ")}`,
    JSON.stringify(json.pre_tokenizer ?? null).slice(0, 200),
    "Under another name llama.cpp would give other ids. Train the tokenizer with such a rule (in a recipe: tokenizer.split, say smollm), or use the model's folder.",
  );
}

/** Whether the token is added around a text, by the config or else by the tokenizer. */
function adds(id: number | null, configured: unknown, around: readonly number[]): boolean {
  if (id === null) return false;
  return typeof configured === "boolean" ? configured : around.includes(id);
}

/** Texts of tokens that end a completion. */
const END_TEXTS = new Set(
  [
    "<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <eos> </s> <|endoftext|> <|eom_id|> <EOT>",
    "_<EOT> [EOT] [EOS] <|end_of_text|> <end_of_turn> <end_of_utterance> <turn|> <|tool_response> [e~[",
    "<｜end▁of▁sentence｜>",
  ].flatMap((line) => line.split(" ")),
);

/** Texts of fill-in-the-middle tokens without a key; each of them ends a completion too. */
const FIM_TEXTS = {
  fim_pad: ["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"],
  fim_rep: ["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"],
  fim_sep: ["<|file_sep|>"],
};

/** Keys of single tokens that end a completion: `tokenizer.ggml.NAME_token_id`. */
const END_KEYS = ["eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep"] as const;
type EndKey = (typeof END_KEYS)[number];

/**
 * The ids that end a completion, `eos` first, as llama.cpp finds them (`llama_vocab::impl::load` in llama-vocab.cpp): those
 * that the metadata name, and those with a known text, since many files name only one of several.
 * @param named ids by the metadata's keys
 */
export function endIds(
  words: readonly string[],
  named: Readonly<Partial<Record<EndKey, number | null>>>,
): number[] {
  const byText = (key: EndKey): number =>
    key in FIM_TEXTS
      ? words.findIndex((word) => FIM_TEXTS[key as keyof typeof FIM_TEXTS].includes(word))
      : -1;
  const ends = new Set(END_KEYS.map((key) => named[key] ?? byText(key)).filter((id) => id >= 0));
  for (const [id, word] of words.entries()) if (END_TEXTS.has(word)) ends.add(id);
  const has = (text: string): boolean => [...ends].some((id) => words[id] === text);
  // OpenAI's harmony ends parts with <|end|>, and Gemma 4's vocabulary has an </s> that it does not use.
  const dropped = [
    has("<|return|>") && has("<|call|>") && "<|end|>",
    has("<|flush|>") && (has("<|call|>") || has("<|calls|>")) && "<|end|>",
    has("<|tool_response>") && "</s>",
  ];
  return [...ends].filter((id) => !dropped.includes(words[id]!));
}
