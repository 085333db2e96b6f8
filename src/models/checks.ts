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
  /** Of one layer; published: 512. */
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

/** @throws UserError for a size that is no whole number from 1 to its limit */
export function checkSizes(sizes: Readonly<Record<string, readonly [value: number, limit: number]>>): void {
  for (const [field, [value, limit]] of Object.entries(sizes)) {
    if (Number.isSafeInteger(value) && value >= 1 && value <= limit) continue;
    if (Number.isFinite(value) && value > limit)
      throw configError(
        field,
        `at most ${limit.toLocaleString("en")}`,
        String(value),
        "No model of that size is built here. Is the file whole, and of the model that it claims to be?",
      );
    throw configError(field, "a whole number, 1 or more", String(value));
  }
}

/** @throws UserError for a value that is not a finite number above 0 */
export function checkPositive(values: Readonly<Record<string, number>>): void {
  for (const [field, value] of Object.entries(values))
    if (!Number.isFinite(value) || value <= 0) throw configError(field, "a positive number", String(value));
}

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

/** Our fields by their name in a `config.json`, with the value of an absent one. */
type NumberTable<Name extends string> = Readonly<Record<Name, readonly [field: string, absent?: number]>>;

const rows = <Name extends string>(table: NumberTable<Name>) =>
  Object.entries(table) as [Name, NumberTable<Name>[Name]][];

export const readNumbers = <Name extends string>(table: NumberTable<Name>, fields: Fields) =>
  Object.fromEntries(
    rows(table).map(([name, [field, absent]]) => [name, readNumber(fields, field, absent)]),
  ) as Record<Name, number>;

export const writeNumbers = <Name extends string>(
  table: NumberTable<Name>,
  values: Readonly<Record<NoInfer<Name>, number>>,
): Record<string, number> => Object.fromEntries(rows(table).map(([name, [field]]) => [field, values[name]]));

/** @throws UserError for a field with a value that is not allowed: the model would compute something else */
export function checkField(
  fields: Fields,
  field: string,
  allowed: readonly unknown[],
  absent: unknown = allowed[0],
): void {
  const value = fields[field] ?? absent;
  if (allowed.includes(value)) return;
  throw configError(
    field,
    allowed.map((one) => JSON.stringify(one)).join(" or "),
    shown(value),
    "This program does not implement that variant; loading it would compute something else.",
  );
}
