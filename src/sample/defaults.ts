/** How a model wants to be sampled, from the content of its `generation_config.json`. */
import { NEUTRAL } from "../checkpoint/generation-settings.ts";
import type { Sampling } from "./sampling.ts";

/** DeepSeek-R1's recommendation, where a model says nothing. */
const TEMPERATURE = 0.6;

/** What is given beats what the model says; a value of the model that makes no sense is passed over. */
export function samplingFor(
  generation: Record<string, unknown> = {},
  { temperature, topP, topK }: Partial<Sampling> = {},
): Sampling {
  const { do_sample: samples, temperature: t, top_p: p, top_k: k } = generation;
  const own = samples === false ? 0 : isReal(t, 0, 2) ? t : TEMPERATURE;
  return {
    temperature: temperature ?? own,
    topP: topP ?? (isReal(p, Number.MIN_VALUE, 1) ? p : undefined),
    // 0 and -1 turn it off.
    topK: topK ?? (isReal(k, 1, Number.MAX_SAFE_INTEGER) && Number.isInteger(k) ? k : undefined),
  };
}

const isReal = (value: unknown, low: number, high: number): value is number =>
  typeof value === "number" && value >= low && value <= high;

/** Settings that would change the answers and that the sampler does not apply, each with its value. */
export function notApplied(generation: Record<string, unknown>): string[] {
  const shown = (field: string): string =>
    `${field} ${(JSON.stringify(generation[field]) ?? "").slice(0, 60)}`;
  const empty = (value: unknown): boolean =>
    value === null || value === undefined || (typeof value === "object" && Object.keys(value).length === 0);
  const unknown = Object.entries(NEUTRAL)
    .filter(([field, neutral]) => !empty(generation[field]) && !neutral.includes(generation[field]))
    .map(([field]) => shown(field));
  const { temperature: t, top_p: p, top_k: k, do_sample: samples } = generation;
  // Greedy decoding asks for none of these three.
  const senseless = [
    !empty(t) && !isReal(t, 0, 2) && "temperature",
    !empty(p) && !isReal(p, Number.MIN_VALUE, 1) && "top_p",
    !empty(k) && !(isReal(k, -1, Number.MAX_SAFE_INTEGER) && Number.isInteger(k)) && "top_k",
  ].filter((field) => typeof field === "string");
  return [...unknown, ...(samples === false ? [] : senseless.map(shown))];
}
