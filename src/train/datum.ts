/** One sequence that a loss is computed of, and many of them as a graph's inputs. */
import { UserError } from "../lib/errors.ts";
import type { ModelConfig } from "../models/architectures.ts";
import { causalMask } from "../models/masks.ts";
import { f32, i32 } from "../runtime/value.ts";
import { inputOf } from "./losses.ts";
import { planMicroBatches } from "./microbatch.ts";
import type { Feeds } from "./step.ts";

/** A sequence: token i is read, and `targets[i]` is predicted after it. All arrays have one length. */
export interface Datum {
  /** Ids that the model reads. */
  tokens: readonly number[];
  /** Ids that it is to predict: for a text, its tokens from the second one on. */
  targets: readonly number[];
  /** Values of each target by name: those that the loss names. */
  inputs: Readonly<Record<string, readonly number[]>>;
}

/**
 * A sampled completion after its prompt as a datum. Values of the completion's tokens are given one by one or as one number for
 * all; those of the prompt are 0, so that no loss counts it.
 */
export function completionDatum(
  prompt: readonly number[],
  ids: readonly number[],
  inputs: Readonly<Record<string, number | readonly number[]>>,
): Datum {
  const sequence = [...prompt, ...ids];
  const zeros = prompt.slice(1).map(() => 0);
  const values = Object.entries(inputs).map(([name, value]) => [
    name,
    [...zeros, ...(typeof value === "number" ? ids.map(() => value) : value)],
  ]);
  return { tokens: sequence.slice(0, -1), targets: sequence.slice(1), inputs: Object.fromEntries(values) };
}

/** Floats of the logits of a micro-batch, at most, where one sequence alone has not more. */
const LOGITS = 2 ** 26;
/** Tokens of a micro-batch, at most. */
const TOKENS = 4096;

/** @throws UserError "input" for the first datum that a model of this config or the loss cannot take, before anything is computed */
export function checkData(data: readonly Datum[], config: ModelConfig, inputs: readonly string[]): void {
  if (data.length === 0) throw wrong("data", "at least one datum", "none");
  data.forEach((datum, i) => {
    const { tokens, targets } = datum;
    const where = (name: string) => `data[${i}].${name}`;
    if (tokens.length === 0) throw wrong(where("tokens"), "at least one id", "none");
    if (tokens.length > config.maxPositions)
      throw wrong(
        where("tokens"),
        `at most the model's ${config.maxPositions} positions`,
        `${tokens.length}`,
        "Cut the sequence.",
      );
    const values = inputs.map((name) => [`inputs.${name}`, datum.inputs[name]] as const);
    for (const [name, list] of [["targets", targets] as const, ...values]) {
      if (list === undefined) throw wrong(where(name), "the values that the loss reads", "nothing");
      if (list.length !== tokens.length)
        throw wrong(where(name), `${tokens.length} values, one for each token`, `${list.length}`);
    }
    for (const [name, list] of [["tokens", tokens] as const, ["targets", targets] as const])
      for (const id of list)
        if (!Number.isInteger(id) || id < 0 || id >= config.vocabSize)
          throw wrong(where(name), `ids from 0 to ${config.vocabSize - 1}`, String(id));
    for (const [name, list] of values)
      for (const value of list)
        if (!Number.isFinite(value)) throw wrong(where(name), "finite numbers", String(value));
  });
}

const wrong = (where: string, expected: string, found: string, remedy?: string): UserError =>
  new UserError({ kind: "input", where, expected, found, remedy });

/** Some data of one forward pass. */
export interface DataBatch {
  /** Indices of the data, one a row. */
  rows: number[];
  /** The padded length. */
  seq: number;
  feeds: Feeds;
}

/** Data of similar lengths together, as inputs of `tokenLoss`. */
export function* dataBatches(
  data: readonly Datum[],
  { vocabSize, maxPositions }: ModelConfig,
  inputs: readonly string[],
): Generator<DataBatch> {
  const lengths = data.map(({ tokens }) => tokens.length);
  const most = Math.min(TOKENS, Math.floor(LOGITS / vocabSize));
  for (const { rows, seq } of planMicroBatches(lengths, most, maxPositions)) {
    const shape = [rows.length, seq];
    const perToken = <A extends Int32Array | Float32Array>(
      array: A,
      of: (datum: Datum) => readonly number[],
    ): A => {
      rows.forEach((index, row) => {
        array.set(of(data[index]), row * seq);
      });
      return array;
    };
    const size = rows.length * seq;
    const ids = (of: (datum: Datum) => readonly number[]) => i32(perToken(new Int32Array(size), of), shape);
    const values = (of: (datum: Datum) => readonly number[]) =>
      f32(perToken(new Float32Array(size), of), shape);
    const feeds: Feeds = {
      ids: ids(({ tokens }) => tokens),
      targets: ids(({ targets }) => targets),
      positions: ids(({ tokens }) => tokens.map((_, i) => i)),
      present: values(({ tokens }) => tokens.map(() => 1)),
      mask: causalMask(seq),
      ...Object.fromEntries(inputs.map((name) => [inputOf(name), values((datum) => datum.inputs[name])])),
    };
    yield { rows, seq, feeds };
  }
}
