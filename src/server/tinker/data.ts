/** From the data of a forward pass as the client sends it to what the trainer takes: names, shapes, provenance. */
import type { Datum } from "../../train/datum.ts";
import { type LossName, losses } from "../../train/losses.ts";
import { refused } from "./refusal.ts";
import type { PassRequest, ProvenanceSpan, WireDatum } from "./wire.ts";

/** A sequence that was sampled with `record_stability_info`. */
export interface RecordedSequence {
  prompt: readonly number[];
  ids: readonly number[];
  /** By the sampler. */
  logProbs: readonly number[];
}

/** What the client calls a loss's values and settings, and what the trainer does. */
interface Names {
  inputs: Readonly<Record<string, string>>;
  settings: Readonly<Record<string, string>>;
  /** Says of each target which sampled token it is; values for these names follow from that. */
  provenance?: true;
}

const policy = { logprobs: "sampled", advantages: "advantages" };
const bounds = { clip_low_threshold: "clipLow", clip_high_threshold: "clipHigh" };
const NAMES: Readonly<Record<LossName, Names>> = {
  cross_entropy: { inputs: { weights: "weights" }, settings: {} },
  importance_sampling: { inputs: policy, settings: {} },
  ppo: { inputs: policy, settings: bounds },
  cispo: { inputs: policy, settings: bounds },
  dro: { inputs: policy, settings: { beta: "beta" } },
  gspo: { inputs: { ...policy, sequence_ratio_mask: "mask" }, settings: bounds },
  stable_reinforce: { inputs: policy, settings: { kl_coeff: "klCoefficient" }, provenance: true },
};

/** What `Trainer.forwardBackward` takes. */
export interface Pass {
  data: Datum[];
  loss: LossName;
  settings: Record<string, number>;
}

/**
 * @param recorded the sequence of an id, if this session sampled and recorded it
 * @throws Refusal for an unknown loss, setting or value, a missing value, a wrong shape, and spans that are not true
 */
export function readPass(
  { loss, settings, data }: PassRequest,
  recorded: (sequence: string) => RecordedSequence | undefined,
): Pass {
  if (!Object.hasOwn(losses, loss)) throw unknownLoss(loss);
  const name = loss as LossName;
  if (data.length === 0) throw refused("data", "it is empty", "Send at least one datum.");
  return {
    data: data.map((datum, i) => readDatum(datum, `data[${i}]`, name, recorded)),
    loss: name,
    settings: readSettings(name, settings),
  };
}

function unknownLoss(loss: string): Error {
  if (loss === "custom")
    return refused(
      "loss_fn",
      'losses of one\'s own ("custom") are not computed here',
      "Hand the function to forward_backward_custom: the client computes it with cross_entropy.",
    );
  const known = Object.keys(losses).join(", ");
  return refused("loss_fn", `there is no loss "${loss.slice(0, 100)}" here`, `Use one of ${known}.`);
}

function readSettings(loss: LossName, settings: PassRequest["settings"]): Record<string, number> {
  const known = NAMES[loss].settings;
  const read: Record<string, number> = {};
  for (const [name, value] of Object.entries(settings)) {
    const where = `loss_fn_config.${name.slice(0, 100)}`;
    if (!Object.hasOwn(known, name)) {
      const names = Object.keys(known).join(", ");
      throw refused(
        where,
        `${loss} has no such setting`,
        names === "" ? "Leave it out." : `It has ${names}.`,
      );
    }
    if (typeof value !== "number" || !Number.isFinite(value))
      throw refused(where, `expected a finite number, found ${JSON.stringify(value)}`, "Correct it.");
    read[known[name]] = value;
  }
  return read;
}

function readDatum(
  { tokens, inputs, tokenSpans, targetSpans }: WireDatum,
  where: string,
  loss: LossName,
  recorded: (sequence: string) => RecordedSequence | undefined,
): Datum {
  const { inputs: names, provenance } = NAMES[loss];
  for (const name of Object.keys(inputs))
    if (name !== "target_tokens" && !Object.hasOwn(names, name))
      throw refused(
        `${where}.loss_fn_inputs.${name.slice(0, 100)}`,
        `${loss} reads no such values`,
        `It reads target_tokens, ${Object.keys(names).join(", ")}: leave the others out.`,
      );
  const values = (name: string): number[] => {
    const at = `${where}.loss_fn_inputs.${name}`;
    const tensor = inputs[name];
    if (tensor === undefined)
      throw refused(at, `${loss} reads it, and it is missing`, "Add it to the datum.");
    const { shape, dtype } = tensor;
    if (shape.length !== 1 && !(shape.length === 2 && shape[1] === 1))
      throw refused(
        at,
        `expected shape [${tokens.length}], found [${shape.join(", ")}]`,
        shape.length === 2
          ? "This server takes one target for each position."
          : "Send one value for each token.",
      );
    if (shape[0] !== tokens.length)
      throw refused(
        at,
        `expected ${tokens.length} values, one for each token of model_input, found ${shape[0]}`,
        "Shift the sequence by one: all tokens but the last are read, all but the first are targets.",
      );
    if (name === "target_tokens" && dtype !== "int64")
      throw refused(at, `expected int64, found ${dtype}`, "Targets are token ids.");
    return tensor.values;
  };
  const targets = values("target_tokens");
  const read = Object.fromEntries(Object.entries(names).map(([name, ours]) => [ours, values(name)]));
  if (tokenSpans.length + targetSpans.length > 0 || provenance === true) {
    follow(tokenSpans, tokens, `${where}.model_input_spans`, recorded, true);
    const sampled = follow(targetSpans, targets, `${where}.loss_fn_input_spans`, recorded, false);
    if (provenance === true) {
      read.sampled = sampled.map((logProb) => logProb ?? 0);
      read.mask = sampled.map((logProb) => (logProb === null ? 0 : 1));
    }
  }
  return { tokens, targets, inputs: read };
}

/**
 * Follows spans to the sequences that they name, and compares the tokens: a claim that is not true would train on the
 * wrong log-probabilities. @param prompts whether tokens of prompts are compared too: targets there are of no account
 * @returns of each token the log-probability by the sampler, `null` for one of a prompt
 */
function follow(
  spans: readonly ProvenanceSpan[],
  tokens: readonly number[],
  where: string,
  recorded: (sequence: string) => RecordedSequence | undefined,
  prompts: boolean,
): (number | null)[] {
  const covered = spans.reduce((total, { length }) => total + Math.max(length, 0), 0);
  if (covered !== tokens.length)
    throw refused(
      where,
      `expected spans over all ${tokens.length} tokens, found ${covered}`,
      "Give each token's origin with Datum.with_provenance.",
    );
  return spans.flatMap(({ kind, sequence, offset, length }, i) => {
    const at = `${where}[${i}]`;
    const found = recorded(sequence);
    if (found === undefined)
      throw refused(
        at,
        `no sequence "${sequence.slice(0, 100)}" is recorded in this session`,
        "Sample with record_stability_info=True, in the session that trains.",
      );
    const source = kind === "prompt" ? found.prompt : found.ids;
    const start = spans.slice(0, i).reduce((total, span) => total + span.length, 0);
    if (offset < 0 || length < 0 || offset + length > source.length)
      throw refused(
        at,
        `expected a part of the ${source.length} tokens of this ${kind === "prompt" ? "prompt" : "completion"}, found ${length} from ${offset} on`,
        "Correct offset and length.",
      );
    for (let j = 0; j < length && (kind === "sampled" || prompts); j++)
      if (source[offset + j] !== tokens[start + j])
        throw refused(
          at,
          `token ${start + j} is ${tokens[start + j]}, and the sequence has ${source[offset + j]} there`,
          "Name the sequence that the tokens come from.",
        );
    if (kind === "prompt") return new Array<null>(length).fill(null);
    return found.logProbs.slice(offset, offset + length);
  });
}
