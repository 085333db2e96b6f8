/** The options that several commands have, and the numbers that options hold: each is said once. */
import { InvalidArgumentError, Option } from "commander";
import type { EngineOptions } from "../runtime/engine.ts";

/** A parser of whole numbers from `low` to `high`. */
export const whole =
  (low: number, high = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= low && value <= high) return value;
    throw new InvalidArgumentError(
      `Expected a whole number from ${low}${high === Number.MAX_SAFE_INTEGER ? " up" : ` to ${high}`}.`,
    );
  };

/** A parser of numbers from `low` to `high`. */
export const real =
  (low: number, high: number) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() !== "" && value >= low && value <= high) return value;
    throw new InvalidArgumentError(`Expected a number from ${low} to ${high}.`);
  };

const THOUSANDS = { "": 1, k: 1e3, M: 1e6, G: 1e9, B: 1e9, T: 1e12 };

/** A parser of positive amounts such as 4096, 1e9, 37B or 14.8T. */
export const amount = (text: string): number => {
  const [, digits = "", unit = ""] = /^([\d.]+(?:e\d+)?)([kMGBT]?)$/.exec(text) ?? [];
  const value = Number(digits) * THOUSANDS[unit as keyof typeof THOUSANDS];
  if (digits !== "" && value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError("Expected a positive number, such as 4096, 1e9, 37B or 14.8T.");
};

/** A parser of shares above 0, up to 1. */
export const share = (text: string): number => {
  const value = Number(text);
  if (text.trim() !== "" && value > 0 && value <= 1) return value;
  throw new InvalidArgumentError("Expected a share above 0 and at most 1, such as 0.39 for 39 %.");
};

export const threads = (usual: string): Option =>
  new Option("--threads <count>", `threads that compute (${usual})`).argParser(whole(1, 1024));

export const json = (when = ""): Option => new Option("--json", `print one JSON document${when}`);

export const temperature = (usual: string): Option =>
  new Option("--temperature <t>", `0 takes the likeliest token${usual}`).argParser(real(0, 2));

export const topP = (of = ""): Option =>
  new Option("--top-p <p>", `${of}only the likeliest tokens of this share`).argParser(real(0, 1));

export const seed = (does: string): Option =>
  new Option("--seed <seed>", does).argParser(whole(0, 2 ** 32 - 1));

export const port = (of: string): Option =>
  new Option("--port <port>", `port of ${of}`).argParser(whole(0, 65535));

export const precision = (): Option =>
  new Option(
    "--precision <precision>",
    "of the weights while they run (f32). int8 takes a quarter of the memory and int4 a sixth; answers may differ: perplexity of SmolLM2-135M is 0.5 % higher at int8, 0.6 % at int4-offset (for Q4_1 files), 14 % at int4",
  ).choices(["f32", "int8", "int4", "int4-offset"]);

/** `--threads` describes the engine that a command makes; without it a command chooses its engine by the model. */
export function withEngine<T extends { engine?: EngineOptions }>(
  options: Omit<T, "engine"> & { threads?: number },
): T {
  const { threads, ...others } = options;
  const engine = threads === undefined ? undefined : { threads };
  return { ...others, engine } as unknown as T;
}
