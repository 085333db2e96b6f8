/**
 * How configs are checked and read. A file of a stranger may claim any size below 2^53; each limit is far above what has
 * been published, and low enough that names, shapes and sums of a model of that size can be written down.
 */
import { UserError } from "../lib/errors.ts";

export const LIMITS = {
  /** Published: 126 (Llama 3.1 405B). */
  layers: 10_000,
  /** Width of the model, of its latents and of feed-forward blocks; published: 53,248. */
  width: 2 ** 22,
  heads: 2 ** 16,
  headDim: 2 ** 16,
  /** Rows of the embedding; published: 262,144. */
  vocabSize: 2 ** 24,
  /** Routed experts of one layer; published: 512. */
  experts: 2 ** 14,
  /** Tensors of all layers; DeepSeek-V3 has 46,000. */
  tensors: 10 ** 6,
};

/** A model shape that cannot be built, or that this program does not implement; `data.field` names the field. */
export const configError = (
  field: string,
  expected: string,
  found: string,
  remedy = "Correct it.",
): UserError =>
  new UserError({ kind: "config", where: `model ${field}`, expected, found, remedy, data: { field } });

/** @throws UserError for a value that the field cannot have */
type Check = (field: string, value: number) => void;

/** A whole number from 1 to `most`. */
export const upTo =
  (most: number): Check =>
  (field, value) => {
    if (Number.isSafeInteger(value) && value >= 1 && value <= most) return;
    if (!Number.isFinite(value) || value <= most)
      throw configError(field, "a whole number, 1 or more", String(value));
    throw configError(
      field,
      `at most ${most.toLocaleString("en")}`,
      String(value),
      "No model of that size is built here. Is the file whole, and of the model that it claims to be?",
    );
  };

const checkOf =
  (expected: string, holds: (value: number) => boolean): Check =>
  (field, value) => {
    if (!holds(value)) throw configError(field, expected, String(value));
  };
export const wholeNumber = checkOf("a whole number, 0 or more", (x) => Number.isSafeInteger(x) && x >= 0);
export const aboveZero = checkOf("a positive number", (x) => Number.isFinite(x) && x > 0);

/** The content of a `config.json`. */
export type Fields = Readonly<Record<string, unknown>>;

/** Ids that go into `config.json` beside the shape. */
export interface TokenIds {
  bosId: number | null;
  eosIds: readonly number[];
  padId: number | null;
}

/** What every `config.json` that we write ends with. */
export const writtenEnd = (
  { tieEmbeddings }: { tieEmbeddings: boolean },
  { bosId, eosIds, padId }: TokenIds,
): Record<string, unknown> => ({
  attention_dropout: 0,
  initializer_range: 0.02,
  tie_word_embeddings: tieEmbeddings,
  torch_dtype: "float32",
  use_cache: true,
  bos_token_id: bosId,
  eos_token_id: eosIds.length > 1 ? [...eosIds] : (eosIds[0] ?? null),
  pad_token_id: padId,
});

const shown = (value: unknown): string => (value === undefined ? "nothing" : JSON.stringify(value));

/** A number of a `config.json`. @throws UserError for another type, or an absent field without a fallback */
export function readNumber(fields: Fields, field: string, fallback?: number): number {
  const value = fields[field] ?? fallback;
  if (typeof value === "number") return value;
  const remedy = "Is this the config.json of a model in Hugging Face's format?";
  throw configError(field, "a number", shown(value), remedy);
}

/** Numbers of a config: the field of a `config.json`, what the value may be (none: anything), and that of an absent field. */
type NumberTable = Readonly<Record<string, readonly [field: string, check: Check | null, absent?: number]>>;
type Numbers<Table extends NumberTable> = Readonly<Record<keyof Table, number>>;

/** @param follows values of absent fields that follow from other fields */
export const readNumbers = <Table extends NumberTable>(
  table: Table,
  fields: Fields,
  follows: Readonly<Record<string, number>> = {},
): Numbers<Table> =>
  Object.fromEntries(
    Object.entries(table).map(([name, [field, , absent]]) => [
      name,
      readNumber(fields, field, follows[name] ?? absent),
    ]),
  ) as Numbers<Table>;

export const writeNumbers = <Table extends NumberTable>(table: Table, values: Numbers<Table>) =>
  Object.fromEntries(Object.entries(table).map(([name, [field]]) => [field, values[name]]));

/** @throws UserError naming the first impossible number */
export function checkNumbers<Table extends NumberTable>(table: Table, values: Numbers<Table>): void {
  for (const [name, [, check]] of Object.entries(table)) check?.(name, values[name]);
}

/** By field of a `config.json`, the values that are computed here; that of an absent field is the first one. */
export type Allowed = Readonly<Record<string, readonly unknown[]>>;

/** @throws UserError for another value: the model would compute something else */
export function checkFields(fields: Fields, allowed: Allowed): void {
  for (const [field, values] of Object.entries(allowed)) {
    const value = fields[field] ?? values[0];
    if (values.includes(value)) continue;
    throw configError(
      field,
      values.map((one) => JSON.stringify(one)).join(" or "),
      shown(value),
      "This program does not implement that variant; loading it would compute something else.",
    );
  }
}
