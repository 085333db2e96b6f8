/** How a file wants to be sampled (`general.sampling.*`), in the terms of a Hugging Face `generation_config.json`. */
import type { Metadata } from "./values.ts";

const NAMES: Readonly<Record<string, string>> = {
  ...{
    temp: "temperature",
    top_p: "top_p",
    top_k: "top_k",
    min_p: "min_p",
    penalty_repeat: "repetition_penalty",
  },
  // Nothing of that kind is in a generation_config: they keep llama.cpp's names.
  ...{ xtc_probability: "xtc_probability", mirostat: "mirostat" },
};

/** Numbers only: others are passed over, as in llama.cpp. */
export function samplingOf(metadata: Metadata): Record<string, number> {
  return Object.fromEntries(
    Object.entries(NAMES).flatMap(([gguf, name]) => {
      const value = metadata.get(`general.sampling.${gguf}`)?.value;
      return typeof value === "number" ? [[name, Number(value.toPrecision(7))]] : [];
    }),
  );
}
