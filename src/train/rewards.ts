/** What a completion earns: the weighted sum of rewards that a stage names, from the registry here or from the task. */
import { UserError } from "../lib/errors.ts";
import { registry } from "../lib/schema.ts";
import { extract } from "../tasks/extract.ts";
import { askedIn, languageOf, languageShare } from "../tasks/language.ts";
import type { CheckedCompletion, Problem, Reward, Task } from "../tasks/problem.ts";
import { unreadable } from "../tasks/readable.ts";
import { type EffortOptions, effortReward } from "./effort.ts";

/** The rewards that every task has, by name. */
export const rewards = registry<Reward>()({
  /** What the verifier found. */
  accuracy: (_, { verdict }) => verdict.value,
  /** R1's template: exactly one thought block and one answer block (arXiv 2501.12948, section 2.2.2). */
  format: (_, { verdict }) => (verdict.format ? 1 : 0),
  /**
   * The cosine length reward (Yeo et al. 2025, arXiv 2502.03373, section 3.2), scaled to [-1, 1]: a right completion earns
   * more the shorter it is, from 1 down to 0 at the limit, and a wrong one loses less the longer it thought, from -1 to 0.
   */
  length: (_, { verdict, tokens, maxNewTokens }) => {
    if (verdict.value === null) return null;
    const rest = (1 + Math.cos((Math.PI * Math.min(tokens, maxNewTokens)) / maxNewTokens)) / 2;
    return verdict.value === 1 ? rest : -rest;
  },
  /**
   * Language consistency (R1, arXiv 2501.12948, section 2.3.2): the share of the thought's words that are in the prompt's
   * language. A thought without words has none in it, so that leaving words out does not pay.
   */
  language: (problem, { text }) => {
    const language = languageOf(askedIn(problem));
    const { thought } = extract(text, { thoughtOpen: true });
    return language === null ? null : (languageShare(thought, language) ?? 0);
  },
  /** 1 for a completion that rejection sampling would keep as readable (tasks/readable.ts), in the prompt's language. */
  readable: (problem, { text, verdict, steps, tokens, maxNewTokens }) => {
    const finished = tokens < maxNewTokens;
    return unreadable({ text, verdict, steps, finished }, languageOf(askedIn(problem))) === null ? 1 : 0;
  },
});

/** DAPO's soft overlong punishment (2503.14476, eq. 13): from 0 to -penalty over the last `buffer` tokens before the limit. */
export const overlongReward =
  ({ buffer, penalty }: { buffer: number; penalty: number }): Reward =>
  (_, { tokens, maxNewTokens }) => {
    const start = maxNewTokens - buffer;
    return tokens <= start ? 0 : -penalty * Math.min(1, (tokens - start) / buffer);
  };

/** A reward with its weight in the sum. */
export interface WeightedReward {
  name: string;
  weight: number;
  reward: Reward;
}

/** The rewards that a stage's options name. @throws UserError for one that neither the registry nor the task has */
export function rewardsOf(
  options: {
    rewards: Readonly<Record<string, number | undefined>>;
    overlong?: { mode: "mask" } | { mode: "soft"; buffer: number; penalty: number };
    effort?: EffortOptions;
    maxNewTokens?: number;
  },
  task: Pick<Task, "name" | "rewards">,
): WeightedReward[] {
  const known: Record<string, Reward> = { ...rewards, ...task.rewards };
  const named = Object.entries(options.rewards).map(([name, weight = 0]) => {
    if (!Object.hasOwn(known, name))
      throw new UserError({
        kind: "stage",
        where: `rewards.${name}`,
        expected: `a reward that the task ${task.name} has: ${Object.keys(known).join(", ")}`,
        found: `"${name}"`,
        remedy: "Correct its name, or leave it out.",
        data: { path: ["rewards", name] },
      });
    return { name, weight, reward: known[name] };
  });
  const { overlong, effort, maxNewTokens = 1 } = options;
  const reward: Reward = overlong?.mode === "soft" ? overlongReward(overlong) : () => 0;
  const dial = effort && { name: "effort", weight: 1, reward: effortReward(effort, maxNewTokens) };
  return [...named, { name: "overlong", weight: 1, reward }, ...(dial ? [dial] : [])];
}

/** The weighted rewards of a completion, and their sum: `null` where the verifier or any reward gave no value. */
export function scoreCompletion(
  weighted: readonly WeightedReward[],
  problem: Problem,
  completion: CheckedCompletion,
): { reward: number | null; components: Record<string, number> } {
  let reward: number | null = completion.verdict.value === null ? null : 0;
  const components: Record<string, number> = {};
  for (const { name, weight, reward: of } of weighted) {
    const value = of(problem, completion);
    components[name] = weight * (value ?? 0);
    reward = reward === null || value === null ? null : reward + components[name];
  }
  return { reward, components };
}
