/**
 * What a task is: a seeded stream of problems, and a verifier that no completion can fool.
 */

import type { Curriculum } from "./curriculum.ts";

/**
 * Names a generated problem: each key has its own random stream. A problem's split depends on its content alone, so
 * whatever the seeds, no problem is in two splits.
 */
export interface StreamKey {
  seed: number;
  split: "train" | "validation" | "test";
  index: number;
  /** Of a task with levels: this one alone. Left out, the levels are those of the task's options. */
  level?: number;
}

/** One verifiable question: plain data, so that it can be sent to a worker and written to a file. */
export interface Problem {
  /** Unique within the task: name, seed, split and index, such as "countdown/1/test/17". */
  id: string;
  /** The text that the model reads; it ends where the thought begins. */
  prompt: string;
  /** For a chat model: the messages that it reads instead, through its chat template. */
  messages?: { role: "system" | "user" | "assistant"; content: string }[];
  /** For a chat: JSON schemas of the functions that the model may call, which its chat template describes. */
  tools?: object[];
  /** The thinking effort that it is asked at (see `atEffort`). */
  effort?: number;
}

/**
 * How a verdict came about; an evaluation counts each kind apart.
 * "right" and "wrong": one answer was read, and compared. "unparsed": no single answer could be read (none was
 * found, it is not in the task's form, two differ, or a limit was exceeded); it counts as 0, like "wrong".
 * "unscored": the verifier failed, or the problem's right answer is not usable; it is left out of every mean.
 */
export type VerdictKind = "right" | "wrong" | "unparsed" | "unscored";

/** What a verifier says of one completion. */
export interface Verdict {
  /**
   * 1 right, 0 wrong, `null` unscored: the verifier failed, and the sample leaves its group. A completion that exceeds
   * a limit (size, time) has 0, or a policy could get rid of bad samples that way.
   */
  value: number | null;
  kind: VerdictKind;
  /** The answer that was found, as text, or `null`. It depends on the completion alone, never on the right answer. */
  extracted: string | null;
  /**
   * The answer as a value, for votes: equal strings for equal answers, so 42, $42 and 42.0 are "42", and
   * (82-27)-11 is "44". `null` where no single answer could be read: such a completion does not vote.
   */
  canonical: string | null;
  /** Exactly one thought block followed by exactly one answer block (R1's template). */
  format: boolean;
  /** Why, in a few words for people: "right", "value is 43, not 44", "number 7 used twice"... */
  reason: string;
}

/** A step of a thought that can be checked without the right answer, such as an equation. */
export interface CheckedStep {
  /** Where it begins in the completion, in characters (UTF-16 units). */
  index: number;
  holds: boolean;
}

/** A completion as rewards see it. */
export interface CheckedCompletion {
  text: string;
  verdict: Verdict;
  steps: readonly CheckedStep[];
  /** Its length, and the limit on it; an environment's replies are not counted. */
  tokens: number;
  maxNewTokens: number;
  /** Of an environment: the completions one by one. `text` has them all, without the replies. */
  turns?: readonly string[];
}

/** A pure function of a problem and a completion; `null` leaves the completion unscored. */
export type Reward = (problem: Problem, completion: CheckedCompletion) => number | null;

/** What an environment says to the model between two completions: a user's message, or the result of a tool's call. */
export interface ReplyMessage {
  role: "user" | "tool";
  content: string;
  /** Of the function that was called. */
  name?: string;
}

/** What follows a completion: the end of the conversation, or a reply. Then the conversation goes on from another state. */
export type Outcome<P extends Problem = Problem> =
  | { verdict: Verdict }
  | { reply: readonly ReplyMessage[]; state: P };

/** What a task of several turns has: the model and the environment speak in turn, and the first state is the problem. */
export interface Environment<P extends Problem = Problem> {
  /** Most completions of a conversation. */
  maxTurns: number;
  /**
   * What follows each of these completions, in their order. An outcome depends on the state and the completion alone, so
   * that a conversation can be judged again. Never throws: what fails or takes too long is an unscored verdict.
   */
  step(items: readonly { problem: P; completion: string }[]): Promise<Outcome<P>[]>;
}

/** The part of a list of problems that an evaluation takes: a split, or all, if no training used the list. */
export type ListPart = StreamKey["split"] | "all";

/** Problems and their verifier; training, evaluation and the page use it alike. */
export interface Task<P extends Problem = Problem> {
  name: string;
  /**
   * Of a list of problems, such as a file: each of a part's problems once, in the order of the list. Absent where
   * problems are generated without end. @throws UserError for a part without problems
   */
  list?(part: ListPart): P[];
  /** Equal for equal problems, whatever their ids, seeds and the form of the prompt; the prompt where it is absent. */
  content?(problem: P): string;
  /** Deterministic: equal keys give equal problems. */
  generate(key: StreamKey): P;
  /** Sees the completion only, never the prompt as answer text; never throws. */
  verify(problem: P, completion: string): Verdict;
  /**
   * Verdicts of many completions, in their order, in threads that can be ended: for a verifier that may hang
   * (see `inThreads`). Without it, `verify` runs in the calling thread.
   */
  verifyAll?(items: { problem: P; completion: string }[]): Promise<Verdict[]>;
  /** Where a problem takes several turns. `verify` then judges a conversation of one completion. */
  environment?: Environment<P>;
  /** A right answer, worked out from what the problem asks and not from the answer that it holds: a reference solver. */
  solve?(problem: P): string;
  /** A thought that leads to the answer of `solve`, for the solved problems that a stage trains on. */
  thought?(problem: P): string;
  /** Checks the steps of a completion's thought, in order: process verification. */
  checkSteps?(completion: string): CheckedStep[];
  /** Where the recipe wants the level moved by the pass rate: `generate` then follows the level of its key. */
  curriculum?: Curriculum;
  /** What these steps are called in reports, such as "equations". */
  stepName?: string;
  /** Rewards that only this task has, by name. */
  rewards?: Readonly<Record<string, Reward>>;
}
