/** A conversation with an environment, turn by turn: the one loop of training, evaluation, and stored completions. */
import type { Environment, Problem, ReplyMessage, Verdict } from "./problem.ts";
import { exceeded, fault } from "./verdict.ts";

/** What the model is asked to go on from. */
export interface Asking {
  /** Of the conversation. */
  index: number;
  /** Completions before this one. */
  turn: number;
  /** What the environment said to the completion before; nothing at first. */
  reply: readonly ReplyMessage[];
}

/** A completion, or why there is none. */
export type Answer = { completion: string; cut: boolean } | { verdict: Verdict };

/** A conversation that has ended. */
export interface Conversation {
  completions: string[];
  /** After each completion but the last, and after that too where no completion could follow. */
  replies: (readonly ReplyMessage[])[];
  verdict: Verdict;
  /** The environment would have gone on, and its limit of turns was reached. */
  turnLimit: boolean;
}

/**
 * Ends a conversation that the environment would have continued. Its verdict is 0, as for an answer that cannot be read: if
 * it had none, a policy could escape bad verdicts by never coming to an end.
 */
export const unfinished = (turns: number, why: "cut" | "turns"): Verdict =>
  exceeded(why === "cut" ? `cut off in turn ${turns}, before the end` : `no end in ${turns} turns`);

/**
 * Holds all conversations at once: `ask` gets those that are open, once a turn, and returns a completion for each.
 * @param onEnd called with a conversation as soon as it has ended
 */
export async function converse(
  { maxTurns, step }: Environment,
  problems: readonly Problem[],
  ask: (open: readonly Asking[]) => Promise<readonly Answer[]>,
  onEnd: (index: number, conversation: Conversation) => void = () => {},
): Promise<Conversation[]> {
  const conversations = problems.map(
    (): Conversation => ({ completions: [], replies: [], verdict: fault("not reached"), turnLimit: false }),
  );
  const end = (index: number, verdict: Verdict, turnLimit = false): never[] => {
    Object.assign(conversations[index]!, { verdict, turnLimit });
    onEnd(index, conversations[index]!);
    return [];
  };
  let open = problems.map((state, index) => ({
    index,
    turn: 0,
    reply: [] as readonly ReplyMessage[],
    state,
  }));
  while (open.length > 0) {
    const answers = await ask(open);
    const asked = open.flatMap((one, i) => {
      const answer = answers[i]!;
      if ("verdict" in answer) return end(one.index, answer.verdict);
      conversations[one.index]!.completions.push(answer.completion);
      return [{ ...one, ...answer }];
    });
    const outcomes = await step(asked.map(({ state, completion }) => ({ problem: state, completion })));
    open = asked.flatMap(({ index, turn, cut }, i) => {
      const outcome = outcomes[i]!;
      const turns = turn + 1;
      if ("verdict" in outcome) return end(index, outcome.verdict);
      if (cut) return end(index, unfinished(turns, "cut"));
      if (turns >= maxTurns) return end(index, unfinished(turns, "turns"), true);
      conversations[index]!.replies.push(outcome.reply);
      return [{ index, turn: turns, ...outcome }];
    });
  }
  return conversations;
}

/**
 * Judges conversations again, from the model's completions alone.
 * @param items `cut`: the limit of tokens ended the conversation
 */
export async function judgeAgain(
  environment: Environment,
  items: readonly { problem: Problem; completions: readonly string[]; cut: boolean }[],
): Promise<Conversation[]> {
  const ask = async (open: readonly Asking[]): Promise<Answer[]> =>
    open.map(({ index, turn }) => {
      const { completions, cut } = items[index]!;
      const completion = completions[turn];
      // Of an environment that has changed since, or of one whose reply left the model no room.
      if (completion === undefined) return { verdict: unfinished(turn, cut ? "cut" : "turns") };
      return { completion, cut: cut && turn === completions.length - 1 };
    });
  return converse(
    environment,
    items.map(({ problem }) => problem),
    ask,
  );
}

/** The conversation for people to read: a reply is on a line of its own, after its role. */
export const transcript = ({ completions, replies }: Pick<Conversation, "completions" | "replies">): string =>
  completions
    .map((completion, i) =>
      [completion, ...(replies[i] ?? []).map(({ role, content }) => `\n[${role}] ${content}\n`)].join(""),
    )
    .join("");
