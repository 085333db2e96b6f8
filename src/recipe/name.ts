/** A run's name becomes a folder below `runs/`, and nothing else: no path, nothing hidden, nothing that a shell expands. */
export const RUN_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

export const RUN_NAME_RULE =
  "The name becomes a folder: letters, digits, '.', '_' and '-' only, a letter or digit first, at most 100.";
