/**
 * What a task is: a seeded stream of problems, and a verifier that no completion can fool.
 */

/**
 * Where a problem comes from. Each key is a random stream of its own. Which split a problem belongs to
 * follows from its content alone, so whatever the seeds, no problem is in two splits.
 */
export interface StreamKey {
  seed: number;
  split: "train" | "validation" | "test";
  index: number;
}

/** One verifiable question: plain data, so that it can be sent to a worker and written to a file. */
export interface Problem {
  /** Unique within the task: name, seed, split and index, such as "countdown/1/test/17". */
  id: string;
  /** What the model reads, as text; it ends where the thought begins. */
  prompt: string;
  /** For a chat model: what it reads instead, through its own template. */
  messages?: { role: "system" | "user" | "assistant"; content: string }[];
}

/** The judgement of one completion. */
export interface Verdict {
  /**
   * 1 right, 0 wrong, `null` unscored: the verifier failed, and the sample leaves the group. A limit
   * that the completion itself exceeds (size, time) is 0, or a policy could shed bad samples that way.
   */
  value: number | null;
  /** The answer that was found, as text, or `null`. */
  extracted: string | null;
  /** Exactly one thought block followed by exactly one answer block (R1's template). */
  format: boolean;
  /** Why, in a few words for people: "right", "value is 43, not 44", "number 7 used twice"... */
  reason: string;
}

export interface Task<P extends Problem = Problem> {
  name: string;
  /** Deterministic: equal keys give equal problems. */
  generate(key: StreamKey): P;
  /** Sees the completion only, never the prompt as answer text; never throws. */
  verify(problem: P, completion: string): Verdict;
}
