/** What was computed, counted where it ran, also where the result was thrown away. */

export interface Work {
  /** Counted from the graphs that ran. */
  flops: number;
  /** Tokens of training rows, prompts included and padding not, in each pass. */
  trained: number;
  /** Tokens of prompts that the sampler read. */
  prefilled: number;
  /** Tokens sampled. */
  generated: number;
  /** Tokens of rows whose log-probabilities were computed without training, by the reference or for importance weights. */
  scored: number;
}

const KINDS = ["flops", "trained", "prefilled", "generated", "scored"] as const;

const each = (of: (kind: keyof Work) => number): Work =>
  Object.fromEntries(KINDS.map((kind) => [kind, of(kind)])) as unknown as Work;

/** The sum; what a part does not name is 0. */
export const sumWork = (...parts: Partial<Work>[]): Work =>
  each((kind) => parts.reduce((total, part) => total + (part[kind] ?? 0), 0));

/** What was done since `before`. */
export const workSince = (after: Work, before: Work): Work => each((kind) => after[kind] - before[kind]);

/** Every token that a model computed, in the four disjoint classes. */
export const tokensOf = ({ trained, prefilled, generated, scored }: Work): number =>
  trained + prefilled + generated + scored;
