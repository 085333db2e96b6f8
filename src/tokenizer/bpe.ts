/**
 * A Hugging Face `tokenizer.json` as our `Tokenizer`, through Hugging Face's JavaScript implementation.
 */
import { Tokenizer as HubImplementation } from "@huggingface/tokenizers";
import { z } from "zod";
import { UserError } from "../lib/errors.ts";
import { aroundText } from "./around.ts";
import { BYTE_CHARACTERS, wellFormed } from "./byte-level.ts";
import { startDecoder } from "./decoder.ts";
import { checkGrowth, GPT2_SPLIT, inTime, isHarmless } from "./hostile.ts";
import { decodeAll } from "./stream.ts";
import type { Around, ControlToken, EncodeOptions, Tokenizer, TokenStream } from "./tokenizer.ts";
import { BPE_SPECIALS, type TrainingRule } from "./train.ts";

/** The parsed files beside `tokenizer.json`, as far as they exist. */
export interface TokenizerFiles {
  tokenizerConfig?: unknown;
  generationConfig?: unknown;
  /** `config.json` of the model: its `eos_token_id` counts too. */
  modelConfig?: unknown;
}

const AddedToken = z.looseObject({
  id: z.int().nonnegative(),
  content: z.string().min(1),
  special: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
});

const TokenizerJson = z.looseObject({
  added_tokens: z.array(AddedToken).default([]),
  model: z.looseObject({
    type: z.string().optional(),
    // Not z.record, which drops the key "__proto__": a vocabulary of code may contain that word.
    vocab: z.custom<Record<string, number> | unknown[]>(isVocab, "an object of ids, or a list"),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])).optional(),
    unk_token: z.string().nullish(),
  }),
});

function isVocab(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Array.isArray(value) || Object.values(value).every((id) => Number.isSafeInteger(id) && id >= 0);
}

/** In `tokenizer_config.json` a token is its text, or an object with it. */
const TokenName = z
  .union([z.string(), z.looseObject({ content: z.string() }).transform(({ content }) => content)])
  .nullish();
const TokenizerConfig = z.looseObject({ bos_token: TokenName, eos_token: TokenName, pad_token: TokenName });
const IdConfig = z.looseObject({
  bos_token_id: z.int().nonnegative().nullish(),
  eos_token_id: z.union([z.int().nonnegative(), z.array(z.int().nonnegative())]).nullish(),
  pad_token_id: z.int().nonnegative().nullish(),
});

type Json = z.infer<typeof TokenizerJson>;

/** The part of the library that we use; its own declarations do not resolve under `nodenext`. */
interface HubTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  normalizer: ((text: string) => string) | null;
  /** Of the stretches between added tokens, in order. */
  pre_tokenizer: ((text: string, options: { section_index: number }) => string[]) | null;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}

type Encode = (text: string, after: EncodeOptions["after"]) => number[];

export class BpeTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number;
  readonly stopIds: ReadonlySet<number>;
  readonly around: Around;
  readonly controls: readonly ControlToken[];
  private readonly json: unknown;
  /** No text can make it slow, so `encode` needs no time limit. */
  private readonly harmless: boolean;
  private readonly full: HubTokenizer;
  private readonly encodeFull: Encode;
  /** The same without control tokens: their spelling in a message is ordinary text. */
  private readonly encodePlain: Encode;
  private readonly decoder: unknown;
  private readonly specialIds: ReadonlySet<number>;

  /**
   * @param json content of `tokenizer.json`
   * @throws UserError naming the field that is missing, of the wrong type, or unknown to the vocabulary.
   */
  constructor(json: unknown, files: TokenizerFiles = {}) {
    const parsed = parse("tokenizer.json", TokenizerJson, json);
    const names = parse("tokenizer_config.json", TokenizerConfig, files.tokenizerConfig ?? ownNames(parsed));
    const generation = parse("generation_config.json", IdConfig, files.generationConfig ?? {});
    const model = parse("config.json", IdConfig, files.modelConfig ?? {});
    this.json = json;
    checkGrowth(parsed.normalizer);
    this.harmless = isHarmless(parsed);
    this.full = hub(parsed);
    this.encodeFull = encoder(this.full, parsed);
    this.encodePlain = encoder(hub(withoutControls(parsed)), parsed);
    this.decoder = parsed.decoder;
    startDecoder(this.decoder);
    this.specialIds = new Set(parsed.added_tokens.filter(({ special }) => special).map(({ id }) => id));
    this.controls = parsed.added_tokens.filter(isControl);
    this.vocabSize = largestId(parsed) + 1;

    const idOf = (field: string, content: string | null | undefined) => {
      if (content === null || content === undefined) return null;
      const id = this.full.token_to_id(content);
      if (id !== undefined) return id;
      throw new UserError({
        kind: "tokenizer",
        where: `tokenizer tokenizer_config.json ${field}`,
        expected: "a token of tokenizer.json",
        found: JSON.stringify(content),
        remedy: "The two files belong to different models, or the token was never added.",
      });
    };
    const stops = [generation, model].flatMap(({ eos_token_id }) => eos_token_id ?? []);
    const named = idOf("eos_token", names.eos_token);
    const namedBos = idOf("bos_token", names.bos_token);
    this.bosId = namedBos ?? generation.bos_token_id ?? model.bos_token_id ?? null;
    this.eosId = named ?? stops[0] ?? null;
    // Each file may name a stop token that the others lack; a missing one makes finished samples look truncated.
    this.stopIds = new Set(named === null ? stops : [named, ...stops]);
    this.padId =
      idOf("pad_token", names.pad_token) ?? generation.pad_token_id ?? model.pad_token_id ?? this.eosId ?? 0;
    const config = (files.tokenizerConfig ?? {}) as Record<string, unknown>;
    this.around = aroundText({
      ...{ processor: parsed.post_processor, config, bos: namedBos, eos: named },
      ours: PLAIN_CLASSES.includes(config.tokenizer_class ?? PLAIN_CLASSES[0]) ? ownBos(parsed) : null,
      idOf: (token) => this.full.token_to_id(token),
    });
  }

  /**
   * Adds no bos or eos. A lone surrogate is encoded as U+FFFD (see `wellFormed`).
   * With `specials: false` (the default) control tokens in `text` are spelled out like any other text. A text that
   * follows another gets none of the blanks that begin a text: after a control token as in the official library,
   * after text as if both were encoded in one call.
   * @throws UserError where the file's expressions take too long
   */
  encode(text: string, { specials = false, after }: EncodeOptions = {}): number[] {
    if (text === "") return [];
    const tokenizer = specials ? this.encodeFull : this.encodePlain;
    const encode = () => tokenizer(wellFormed(text), after);
    return this.harmless ? encode() : inTime(encode, text.length);
  }

  /** Exact text: nothing is tidied up. Bytes that are not UTF-8 (a cut character) become U+FFFD. */
  decode(ids: Iterable<number>, options: { skipSpecials?: boolean } = {}): string {
    return decodeAll(this.stream(options), ids);
  }

  stream({ skipSpecials = false }: { skipSpecials?: boolean } = {}): TokenStream {
    const decoder = startDecoder(this.decoder);
    return {
      push: (id) => {
        // Rows of the embedding beyond the vocabulary (padding of its size) have no text.
        const token = skipSpecials && this.specialIds.has(id) ? undefined : this.full.id_to_token(id);
        return token === undefined ? "" : decoder.push(token).join("");
      },
      end: () => decoder.end().join(""),
    };
  }

  toJSON(): unknown {
    return this.json;
  }
}

/** Without any config beside it, a tokenizer that we trained still knows its own control tokens. */
function ownNames({ added_tokens }: Json): z.input<typeof TokenizerConfig> {
  const name = (content: string) =>
    added_tokens.some((token) => token.content === content) ? content : null;
  return {
    bos_token: name(BPE_SPECIALS.bos),
    eos_token: name(BPE_SPECIALS.eos),
    pad_token: name(BPE_SPECIALS.pad),
  };
}

/** Tokenizer classes that add no tokens themselves; another, such as GPT-2's, means another model's vocabulary. */
const PLAIN_CLASSES: readonly unknown[] = ["PreTrainedTokenizerFast", "TokenizersBackend"];

/** DeepSeek's own vocabularies have the same spellings at other ids. */
function ownBos({ added_tokens }: Json): number | null {
  const { pad, bos, eos } = BPE_SPECIALS;
  const places = [pad, bos, eos].map(
    (content) => added_tokens.find((token) => token.content === content)?.id,
  );
  return places.every((id, i) => id === i) ? 1 : null;
}

/**
 * Files do not agree on what is special: DeepSeek-R1 adds "<think>" and "<｜User｜>" as ordinary added tokens.
 * So an added token is a control token if it says so, or is written like one: <...> or [...].
 */
function isControl({ content, special }: z.infer<typeof AddedToken>): boolean {
  return special || /^(<.+>|\[.+\])$/su.test(content);
}

/** A copy in which neither added tokens, words nor merges can yield a control token. */
function withoutControls(json: Json): Json {
  const controls = new Set(json.added_tokens.filter(isControl).map(({ content }) => content));
  const { vocab, merges, unk_token } = json.model;
  const keep = (content: string) => !controls.has(content) || content === unk_token;
  return {
    ...json,
    added_tokens: json.added_tokens.filter((token) => !isControl(token)),
    model: {
      ...json.model,
      vocab: Array.isArray(vocab)
        ? vocab
        : Object.fromEntries(Object.entries(vocab).filter(([word]) => keep(word))),
      ...(merges && {
        merges: merges.filter((merge) =>
          keep(typeof merge === "string" ? merge.replace(" ", "") : merge.join("")),
        ),
      }),
    },
  };
}

function largestId({ added_tokens, model: { vocab } }: Json): number {
  const ids = Array.isArray(vocab) ? [vocab.length - 1] : Object.values(vocab);
  return [...ids, ...added_tokens.map(({ id }) => id)].reduce((a, b) => Math.max(a, b), -1);
}

/** A split rule of a `tokenizer.json`, for training: the words of a text in the bytes' alphabet. */
export function trainingRule({ pre_tokenizer, normalizer, ignoreMerges }: SplitParts): TrainingRule {
  const vocab = Object.fromEntries(BYTE_CHARACTERS.map((character, byte) => [character, byte]));
  const rule = hub(
    parse("tokenizer.json", TokenizerJson, {
      ...{ normalizer, pre_tokenizer },
      model: { type: "BPE", vocab, merges: [] },
    }),
  );
  const split = (text: string): string[] =>
    rule.pre_tokenizer?.(rule.normalizer?.(text) ?? text, { section_index: 0 }) ?? [];
  return { preTokenizer: pre_tokenizer, normalizer, ignoreMerges, split };
}

interface SplitParts {
  pre_tokenizer: Record<string, unknown>;
  normalizer: Record<string, unknown> | null;
  ignoreMerges: boolean;
}

/** After a control token a text is no first stretch; inside a text nothing is put before it. */
function encoder(tokenizer: HubTokenizer, { normalizer, pre_tokenizer }: Json): Encode {
  const begins = { normalizer: tokenizer.normalizer, pre_tokenizer: tokenizer.pre_tokenizer };
  const [inside, cut] = [withoutPrefix(normalizer), withoutPrefix(pre_tokenizer)];
  const within = hub(
    parse("tokenizer.json", TokenizerJson, {
      ...{ normalizer: inside, pre_tokenizer: cut },
      model: { type: "BPE", vocab: {}, merges: [] },
    }),
  );
  return (text, after) => {
    const steps = after === "text" ? within : begins;
    const split = steps.pre_tokenizer;
    tokenizer.normalizer = steps.normalizer;
    tokenizer.pre_tokenizer =
      split && ((part, { section_index }) => split(part, { section_index: section_index + (after ? 1 : 0) }));
    return tokenizer.encode(text, { add_special_tokens: false }).ids;
  };
}

/** A normalizer or pre-tokenizer that puts no blank before a text. */
function withoutPrefix(step: unknown): unknown {
  if (typeof step !== "object" || step === null) return null;
  const { type, normalizers, pretokenizers } = step as Record<string, unknown>;
  if (type === "Prepend") return { type: "Sequence", normalizers: [] };
  if (type === "Metaspace") return { ...step, add_prefix_space: false, prepend_scheme: "never" };
  if (type === "ByteLevel") return { ...step, add_prefix_space: false };
  return {
    ...step,
    ...(Array.isArray(normalizers) && { normalizers: normalizers.map(withoutPrefix) }),
    ...(Array.isArray(pretokenizers) && { pretokenizers: pretokenizers.map(withoutPrefix) }),
  };
}

function hub(json: Json): HubTokenizer {
  // The library requires these keys to be present, even where they are null; we decode and post-process ourselves.
  const parts = { post_processor: null, decoder: null };
  const [normalizer, pre_tokenizer] = [literally(json.normalizer), asOfficial(json.pre_tokenizer)];
  try {
    return new HubImplementation({ ...json, ...parts, normalizer, pre_tokenizer }, {});
  } catch (error) {
    throw new UserError({
      kind: "tokenizer",
      where: "tokenizer tokenizer.json",
      expected: "parts that @huggingface/tokenizers knows",
      found: error instanceof Error ? error.message : String(error),
      remedy: "Export it with a current version of Hugging Face's tokenizers.",
    });
  }
}

/** A copy in which replacements are what they say: JavaScript reads `$&` and `$1` in them. */
function literally(step: unknown): unknown {
  if (typeof step !== "object" || step === null) return null;
  const { normalizers, content } = step as Record<string, unknown>;
  return {
    ...step,
    ...(Array.isArray(normalizers) && { normalizers: normalizers.map(literally) }),
    ...(typeof content === "string" && { content: content.replaceAll("$", "$$$$") }),
  };
}

/**
 * A pre-tokenizer with the steps spelled out in which the JavaScript library differs from the official one and
 * llama.cpp: "Digits" isolates any number there (½, Ⅻ, ²), here decimal digits only; and to the split rule inside
 * "ByteLevel", U+0085 is a blank there and U+FEFF is one here (a "Split" reads blanks as the official library does).
 * SmolLM2 has both, DeepSeek LLM and Coder the first.
 */
function asOfficial(step: unknown): unknown {
  if (typeof step !== "object" || step === null) return null;
  const fields = step as Record<string, unknown>;
  const { type, pretokenizers } = fields;
  if (Array.isArray(pretokenizers)) return { ...step, pretokenizers: pretokenizers.map(asOfficial) };
  if (type === "Digits") return splitAt(fields.individual_digits === true ? "\\p{N}" : "\\p{N}+");
  if (type !== "ByteLevel" || fields.use_regex === false || fields.add_prefix_space === true) return step;
  return { type: "Sequence", pretokenizers: [splitAt(GPT2_SPLIT), { ...step, use_regex: false }] };
}

const splitAt = (regex: string) => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior: "Isolated",
  invert: false,
});

function parse<T>(file: string, schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new UserError({
    kind: "tokenizer",
    where: ["tokenizer", file, ...issue.path.map(String)].join(" "),
    expected: "Hugging Face's format",
    found: issue.message,
    remedy: "Is the file complete, and of this model?",
  });
}
