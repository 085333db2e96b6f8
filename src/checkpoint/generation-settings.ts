/** How a model wants to be sampled, in Hugging Face's names: which settings there are, and where a folder keeps them. */

/** Values of a `generation_config.json` at which a setting changes no answer; `null` always does not. */
export const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  ...{
    repetition_penalty: [1],
    min_p: [0],
    typical_p: [1],
    epsilon_cutoff: [0],
    eta_cutoff: [0],
    top_h: [1],
  },
  ...{ no_repeat_ngram_size: [0], encoder_repetition_penalty: [1], encoder_no_repeat_ngram_size: [0] },
  ...{
    num_beams: [1],
    num_beam_groups: [1],
    penalty_alpha: [0],
    diversity_penalty: [0],
    guidance_scale: [1],
  },
  ...{
    min_length: [0],
    min_new_tokens: [0],
    bad_words_ids: [],
    suppress_tokens: [],
    begin_suppress_tokens: [],
  },
  ...{
    forced_bos_token_id: [],
    forced_eos_token_id: [],
    sequence_bias: [],
    constraints: [],
    force_words_ids: [],
  },
  ...{ exponential_decay_length_penalty: [], stop_strings: [], watermarking_config: [], dola_layers: [] },
  ...{
    token_healing: [false],
    presence_penalty: [0],
    frequency_penalty: [0],
    xtc_probability: [0],
    mirostat: [0],
  },
};

/** The settings in a `config.json`, where older models keep them; transformers reads them if there is no other file. */
export function settingsIn(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const names = ["do_sample", "temperature", "top_p", "top_k", "max_new_tokens", ...Object.keys(NEUTRAL)];
  return Object.fromEntries(
    names.filter((name) => (config[name] ?? null) !== null).map((name) => [name, config[name]]),
  );
}
