/**
 * The closed vocabulary of the Countdown recipes: 29 ids, each with a text, and 20 more with the words of two languages.
 *
 * A token's text is free as long as texts decode uniquely, so a miss reads ", no.\n" and a hit ", yes!\n"
 * and thoughts stay plain to read at no cost in length:
 *
 *     82, 27, 11 make 44
 *     <think>
 *     82 - 27 = 55, 55 - 11 = 44, yes!
 *     </think>
 *     <answer>(82 - 27) - 11</answer>
 */

import { isDeepStrictEqual } from "node:util";
import { UserError } from "../lib/errors.ts";
import { addedToken } from "./bpe-json.ts";
import { decodeAll } from "./stream.ts";
import type { Around, ControlToken, EncodeOptions, Tokenizer, TokenStream } from "./tokenizer.ts";

/** Names by id; `COMPACT_TOKENS[id]` is the text. */
const NAMED = [
  ["pad", ""],
  ["bos", ""],
  ["eos", ""],
  ["think", "<think>\n"],
  ["thinkEnd", "</think>\n"],
  ["answer", "<answer>"],
  ["answerEnd", "</answer>"],
  ["digit0", "0"],
  ["digit1", "1"],
  ["digit2", "2"],
  ["digit3", "3"],
  ["digit4", "4"],
  ["digit5", "5"],
  ["digit6", "6"],
  ["digit7", "7"],
  ["digit8", "8"],
  ["digit9", "9"],
  ["plus", " + "],
  ["minus", " - "],
  ["times", " * "],
  ["divide", " / "],
  ["equals", " = "],
  ["open", "("],
  ["close", ")"],
  ["comma", ", "],
  ["make", " make "],
  ["newline", "\n"],
  ["no", ", no.\n"],
  ["yes", ", yes!\n"],
] as const;

export type CompactName = (typeof NAMED)[number][0];

/** Bulgarian words of Countdown, then those of instructions (tasks/instructions.ts) in English and Bulgarian. */
const BILINGUAL = [
  " правят ",
  ", не.\n",
  ", да!\n",
  ...["largest of ", "smallest of ", "first of ", "last of ", "count ", "reverse ", "greet ", "and thank "],
  ...[
    "най-голямо от ",
    "най-малко от ",
    "първо от ",
    "последно от ",
    "брой ",
    "обърни ",
    "поздрави ",
    "и благодари ",
  ],
  ...["hello", "thank you", "здравей", "благодаря"],
];

/** The vocabularies by name. */
export const COMPACT_WORDS = { countdown: [], bilingual: BILINGUAL } satisfies Record<string, string[]>;

export type CompactWords = keyof typeof COMPACT_WORDS;
export const COMPACT_VOCABULARIES = Object.keys(COMPACT_WORDS) as CompactWords[];

/** Text of each id that every compact vocabulary has. */
export const COMPACT_TOKENS: readonly string[] = NAMED.map(([, text]) => text);

/** Id of each name, e.g. `compactIds.think`. Digit d is `compactIds.digit0 + d`. */
export const compactIds = Object.fromEntries(NAMED.map(([name], id) => [name, id])) as Record<
  CompactName,
  number
>;

/** Ids that only a template may produce, never a person's text. */
const CONTROL_IDS: readonly number[] = [
  compactIds.think,
  compactIds.thinkEnd,
  compactIds.answer,
  compactIds.answerEnd,
];

/** Ids without a text. Only these vanish with `skipSpecials`: the verifier needs the think and answer tags. */
const SILENT = ["pad", "bos", "eos"] as const;

/** Longest first, so that ", no.\n" wins over ", ". */
const byLength = (texts: readonly string[]) =>
  texts
    .map((text, id) => ({ text, id }))
    .filter(({ text }) => text !== "")
    .sort((a, b) => b.text.length - a.text.length);

export class CompactTokenizer implements Tokenizer {
  readonly words: CompactWords;
  readonly vocabSize: number;
  readonly bosId = compactIds.bos;
  readonly eosId = compactIds.eos;
  readonly padId = compactIds.pad;
  readonly stopIds: ReadonlySet<number> = new Set([compactIds.eos]);
  /** Its models begin every text with BOS. */
  readonly around: Around = { before: [compactIds.bos], after: [] };
  readonly controls: readonly ControlToken[] = CONTROL_IDS.map((id) => ({
    content: COMPACT_TOKENS[id]!,
    lstrip: false,
    rstrip: false,
  }));

  private readonly texts: readonly string[];
  /** The tokens by their first character, since pretraining encodes millions of them. */
  private readonly byFirst = new Map<string, { text: string; id: number }[]>();

  constructor(words: CompactWords = "countdown") {
    this.words = words;
    this.texts = [...COMPACT_TOKENS, ...COMPACT_WORDS[words]];
    this.vocabSize = this.texts.length;
    for (const token of byLength(this.texts)) {
      const first = token.text.charAt(0);
      this.byFirst.set(first, [...(this.byFirst.get(first) ?? []), token]);
    }
  }

  /**
   * Longest match over the token texts; spacing is strict. Adds no bos or eos.
   * With `specials: false` (the default) a tag such as "<think>" is unknown text.
   * @throws UserError "input" at the first character that no token covers
   */
  encode(text: string, { specials = false }: EncodeOptions = {}): number[] {
    const ids: number[] = [];
    let offset = 0;
    while (offset < text.length) {
      const match = this.byFirst
        .get(text.charAt(offset))
        ?.find(
          (token) => text.startsWith(token.text, offset) && (specials || !CONTROL_IDS.includes(token.id)),
        );
      if (match === undefined) throw unknownCharacter(text, offset);
      ids.push(match.id);
      offset += match.text.length;
    }
    return ids;
  }

  /** The texts of the ids, joined; pad, bos and eos have none. @throws RangeError for an unknown id. */
  decode(ids: Iterable<number>, _options?: { skipSpecials?: boolean }): string {
    return decodeAll(this.stream(), ids);
  }

  stream(): TokenStream {
    return {
      push: (id) => {
        const piece = this.texts[id];
        if (piece !== undefined) return piece;
        throw new RangeError(`id ${id} is outside the vocabulary 0..${this.vocabSize - 1}`);
      },
      end: () => "",
    };
  }

  toJSON(): unknown {
    return compactTokenizerJson(this.words);
  }
}

/** `offset` counts UTF-16 code units, as strings do. */
function unknownCharacter(text: string, offset: number): UserError {
  const code = text.codePointAt(offset) ?? 0;
  const character = String.fromCodePoint(code);
  const excerpt = JSON.stringify(text.slice(Math.max(0, offset - 20), offset + 20));
  const name = `${JSON.stringify(character)} (U+${code.toString(16).toUpperCase().padStart(4, "0")})`;
  return new UserError({
    kind: "input",
    what: `the vocabulary has no token for ${name} at offset ${offset} of ${excerpt}`,
    remedy:
      'Write whole numbers, operators with a space on each side, and "make", e.g. "82, 27, 11 make 44". ' +
      "A recipe whose task has other text takes tokenizer: { kind: bytes }.",
    data: { character, offset },
  });
}

/**
 * The same vocabulary as a Hugging Face `tokenizer.json`: the tags are added tokens, everything else is a
 * word list after a split at the token texts. There is no unknown token, so unknown text is an error there too.
 */
export function compactTokenizerJson(words: CompactWords = "countdown"): Record<string, unknown> {
  const texts = [...COMPACT_TOKENS, ...COMPACT_WORDS[words]];
  const patterns = byLength(texts)
    .filter(({ id }) => !CONTROL_IDS.includes(id))
    .map(({ text }) => escapeRegex(text));
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [
      ...SILENT.map((name) => addedToken(compactIds[name], `<${name}>`, true)),
      ...CONTROL_IDS.map((id) => addedToken(id, COMPACT_TOKENS[id]!, false)),
    ],
    normalizer: null,
    pre_tokenizer: {
      type: "Split",
      pattern: { Regex: patterns.join("|") },
      behavior: "Isolated",
      invert: false,
    },
    post_processor: null,
    decoder: { type: "Fuse" },
    model: {
      type: "WordLevel",
      vocab: Object.fromEntries(texts.map((text, id) => [text === "" ? `<${NAMED[id][0]}>` : text, id])),
      // Not in the vocabulary on purpose: the official library then refuses unknown text.
      unk_token: "<unknown>",
    },
  };
}

/** The compact vocabulary whose `tokenizer.json` has this model; `null` for others. */
export const compactWordsOf = (model: unknown): CompactWords | null =>
  COMPACT_VOCABULARIES.find((words) => isDeepStrictEqual(model, compactTokenizerJson(words).model)) ?? null;

/** Only what both Oniguruma and JavaScript's `u` flag accept. */
function escapeRegex(text: string): string {
  return text.replace(/[.+*()/]/g, (character) => `\\${character}`).replaceAll("\n", "\\n");
}
