/**
 * The `decoder` of a `tokenizer.json`, token by token: the steps of Hugging Face's tokenizers
 * (tokenizers/src/decoders), each as a machine that holds back only what a later token may still change. Decoding at once
 * runs the same machine to its end, so the pieces always join to the same text.
 */

import { UserError } from "../lib/errors.ts";
import { BYTE_CHARACTERS } from "./byte-level.ts";

/** A step returns texts for the next step: one a token, or stretches of one text after a step that joins them. */
export interface DecoderStep {
  push(text: string): string[];
  /** What was held back; nothing is pushed afterwards. */
  end(): string[];
}

type Json = Record<string, unknown>;

/** @throws UserError for an unknown kind of decoder, whose text would be wrong */
export function startDecoder(config: unknown): DecoderStep {
  return stepOf(config as Json | null, { joined: false });
}

/** `joined`: the input is one text in stretches, no longer one text a token. */
function stepOf(config: Json | null, state: { joined: boolean }): DecoderStep {
  if ((config ?? null) === null) return separated();
  if (state.joined && !readsStretches(config as Json)) return atOnce(() => stepOf(config, { joined: false }));
  const { type } = config as Json;
  switch (type) {
    case "Sequence":
      return chain(((config as Json).decoders as Json[]).map((one) => stepOf(one, state)));
    case "ByteLevel":
      state.joined = true;
      return byteLevel();
    case "ByteFallback":
      return byteFallback();
    case "Fuse":
      state.joined = true;
      return each((text) => text);
    case "Replace":
      return replace(config as Json);
    case "Metaspace":
      return metaspace(config as Json);
    case "Strip":
      return strip(config as Json, state.joined);
    case "WordPiece":
      return wordPiece(config as Json);
    case "BPEDecoder":
      return suffixed(config as Json);
    default:
      throw unusable("a decoder of a language model", JSON.stringify(type));
  }
}

/** Whether a step may read a text in stretches. No published decoder has another step after one that joins. */
function readsStretches({ type, pattern }: Json): boolean {
  if (type !== "Replace") return type === "Fuse" || type === "Strip" || type === "Sequence";
  const { String: found } = (pattern ?? {}) as { String?: string };
  return found === undefined || [...found].length === 1;
}

/** A step that needs the complete text: it returns nothing before the end. */
function atOnce(start: () => DecoderStep): DecoderStep {
  const step = start();
  let held = "";
  return {
    push(text) {
      held += text;
      return [];
    },
    end: () => [...step.push(held), ...step.end()],
  };
}

const unusable = (expected: string, found: string): UserError =>
  new UserError({
    kind: "tokenizer",
    where: "tokenizer tokenizer.json decoder",
    expected,
    found,
    remedy: "Take the tokenizer.json of the model's own repository.",
  });

const each = (one: (text: string, index: number) => string): DecoderStep => {
  let index = 0;
  return { push: (text) => [one(text, index++)], end: () => [] };
};

function chain(steps: readonly DecoderStep[]): DecoderStep {
  const through = (texts: string[], from: number): string[] =>
    steps.slice(from).reduce((all, step) => all.flatMap((text) => step.push(text)), texts);
  return {
    push: (text) => through([text], 0),
    end: () => steps.flatMap((step, i) => through(step.end(), i + 1)),
  };
}

/** Without any decoder tokens are words. */
const separated = (): DecoderStep => each((text, i) => (i === 0 ? text : ` ${text}`));

const BYTES = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));
const utf8 = new TextEncoder();

/** A character of the alphabet is a byte; a token with any other character is text. */
function byteLevel(): DecoderStep {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    push(text) {
      const bytes = Array.from(text, (character) => BYTES.get(character) ?? -1);
      const read = bytes.includes(-1) ? utf8.encode(text) : Uint8Array.from(bytes);
      return [decoder.decode(read, { stream: true })];
    },
    end: () => [decoder.decode()],
  };
}

/** Neighbouring bytes `<0xE4>` are text if all of them are; else each is U+FFFD. */
function byteFallback(): DecoderStep {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
  let run: number[] = [];
  const flush = (): string[] => {
    const bytes = run;
    run = [];
    if (bytes.length === 0) return [];
    try {
      return [decoder.decode(Uint8Array.from(bytes))];
    } catch {
      return bytes.map(() => "\uFFFD");
    }
  };
  return {
    push(text) {
      const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(text)?.[1];
      if (byte === undefined) return [...flush(), text];
      run.push(Number.parseInt(byte, 16));
      return [];
    },
    end: flush,
  };
}

/** Characters that one token may become: a file from a stranger could double its text with every step. */
const MAX_TOKEN_TEXT = 1 << 16;

function replace({ pattern, content = "" }: Json): DecoderStep {
  const { String: found } = pattern as { String?: string };
  const put = content as string;
  // No published tokenizer decodes by a regular expression, and a stranger's may never end.
  if (found === undefined)
    throw unusable("a Replace of a string", "a Replace of a regular expression, or of nothing");
  return each((token) => {
    if (token.length * (put.length + 1) > MAX_TOKEN_TEXT)
      throw unusable(`texts of at most ${MAX_TOKEN_TEXT} characters`, "replacements that make longer ones");
    return token.replaceAll(found, () => put);
  });
}

/** `replacement` means a blank; those of the first token are removed, since encoding put one before the text. */
function metaspace({ replacement = "▁", prepend_scheme: scheme = "always" }: Json): DecoderStep {
  return each((text, i) => text.replaceAll(replacement as string, i === 0 && scheme !== "never" ? "" : " "));
}

/** Up to `start` and `stop` characters equal to `content` off each token's ends, or the joined text's. */
function strip({ content, start = 0, stop = 0 }: Json, joined: boolean): DecoderStep {
  const mark = content as string;
  const leading = (text: string, most: number): number => {
    let length = 0;
    while (length < most && text.startsWith(mark, length * mark.length)) length++;
    return length;
  };
  const trailing = (text: string, most: number): number => {
    let length = 0;
    while (length < most && text.endsWith(mark, text.length - length * mark.length)) length++;
    return length;
  };
  if (!joined)
    return each((text) => {
      const from = leading(text, start as number) * mark.length;
      const end = text.length - trailing(text, stop as number) * mark.length;
      return text.slice(from, Math.max(from, end));
    });
  let [left, held] = [start as number, ""];
  return {
    push(text) {
      const cut = leading(text, left);
      // After another character nothing more is cut from the beginning.
      left = cut * mark.length === text.length ? left - cut : 0;
      const rest = held + text.slice(cut * mark.length);
      held = mark.repeat(trailing(rest, stop as number));
      return [rest.slice(0, rest.length - held.length)];
    },
    end: () => [],
  };
}

/** BERT's: words, and `##` before what continues one. */
function wordPiece({ prefix = "##", cleanup = true }: Json): DecoderStep {
  return each((text, i) => {
    const continued = i > 0 && text.startsWith(prefix as string);
    const plain = continued ? text.slice((prefix as string).length) : i > 0 ? ` ${text}` : text;
    return cleanup ? tidied(plain) : plain;
  });
}

function tidied(text: string): string {
  return text.replace(/ ([.?!,])/g, "$1").replaceAll(" ' ", "'").replaceAll(" n't", "n't").replaceAll(" 'm", "'m")
    .replaceAll(" do not", " don't").replaceAll(" 's", "'s").replaceAll(" 've", "'ve").replaceAll(" 're", "'re"); // biome-ignore format: one rule
}

/** The suffix of a word becomes a blank, except that of the last word. */
function suffixed({ suffix = "</w>" }: Json): DecoderStep {
  let last: string | null = null;
  const finished = (blank: string): string[] =>
    last === null ? [] : [last.replaceAll(suffix as string, () => blank)];
  return {
    push(text) {
      const before = finished(" ");
      last = text;
      return before;
    },
    end: () => finished(""),
  };
}
