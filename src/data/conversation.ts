/**
 * Samples completions, and for an environment whole conversations: the model's ids stay as they were sampled, and between
 * them come the ids of the environment's replies.
 */
import { isUserError } from "../lib/errors.ts";
import type { InferenceModel } from "../sample/inference.ts";
import type { GenerateOptions, Generation, GenerationRequest } from "../sample/requests.ts";
import { type Answer, type Asking, converse, transcript, unfinished } from "../tasks/conversation.ts";
import type { Problem, Task, Verdict } from "../tasks/problem.ts";
import { fault } from "../tasks/verdict.ts";
import { completionText } from "../tokenizer/stream.ts";
import { encodeReply } from "./reply.ts";

/** A completion of a problem that is wanted, or a conversation. */
export interface ConversationRequest {
  problem: Problem;
  /** Of the first completion, as ids. */
  prompt: readonly number[];
  /** Of the random stream; later turns have their number after it. */
  key: GenerationRequest["key"];
}

export interface ConversationOptions extends Pick<GenerateOptions, "sampling" | "maxBatch" | "signal"> {
  /** Most tokens that the model samples in a conversation. Replies are not counted: the model's positions limit them. */
  maxNewTokens: number;
  /** Called for every sampled token. */
  onToken?: () => void;
  /** Called as each conversation ends. */
  onEnd?: (index: number, sampled: Sampled) => void;
}

/** What an environment's conversation has beside its tokens. */
export interface Spoken {
  completions: readonly string[];
  verdict: Verdict;
  turnLimit: boolean;
}

/** Everything after a prompt. */
export interface Sampled extends Generation {
  /** Of each id, 1 where the model sampled it and 0 where it is the environment's, which has a log-probability of 0 here. */
  mask: number[];
  /** Ids that the model sampled. */
  tokens: number;
  /** The completion, or the conversation for people to read. */
  text: string;
  /** Of each id of the last completion, the length of its text that is certain with it. */
  ends: number[];
  /** `null` for a task of one turn, whose completion is not judged yet. */
  spoken: Spoken | null;
}

/**
 * Samples all of them, many at a time. The conversations of an environment go on together, a turn of all that are open in
 * one call of the sampler.
 * @returns in the order of the requests
 */
export async function sampleConversations(
  model: InferenceModel,
  { environment }: Pick<Task, "environment">,
  requests: readonly ConversationRequest[],
  options: ConversationOptions,
): Promise<{ sampled: Sampled[]; flops: number; tokens: number }> {
  const { maxNewTokens, onEnd = () => {} } = options;
  const work = { flops: 0, tokens: 0 };
  const sampled = requests.map(
    (): Sampled => ({
      ...{ ids: [], logProbs: [], mask: [], tokens: 0 },
      ...{ text: "", ends: [], finish: "stop", spoken: null },
    }),
  );
  const add = (index: number, { ids, logProbs, finish }: Generation): void => {
    const own = sampled[index]!;
    const { text, ends } = completionText(model.tokenizer, [...requests[index]!.prompt, ...own.ids], ids);
    Object.assign(own, { text, ends, finish, tokens: own.tokens + ids.length });
    append(own, { ids, logProbs }, 1);
  };
  if (environment === undefined) {
    const wanted = requests.map(({ prompt, key }) => ({ prompt, key, maxNewTokens }));
    await sampleTurn(model, wanted, options, work, (index, generation) => {
      add(index, generation);
      onEnd(index, sampled[index]!);
    });
    return { sampled, ...work };
  }

  /** The request of a turn, or the verdict where there can be none. */
  const request = ({ index, turn, reply }: Asking): GenerationRequest | { verdict: Verdict } => {
    const { problem, prompt, key } = requests[index]!;
    if (turn === 0) return { prompt, key, maxNewTokens };
    const own = sampled[index]!;
    let ids: number[];
    try {
      ids = encodeReply(model, problem, reply, own.ids.at(-1)!);
    } catch (error) {
      // The vocabulary has no tokens for the text.
      if (!isUserError(error, "input")) throw error;
      return { verdict: fault(error) };
    }
    const positions = model.config.maxPositions - prompt.length - own.ids.length - ids.length;
    const room = Math.min(maxNewTokens - own.tokens, positions);
    if (room < 1) {
      own.finish = "length";
      return { verdict: unfinished(turn, "cut") };
    }
    append(own, { ids, logProbs: ids.map(() => 0) }, 0);
    return { prompt: [...prompt, ...own.ids], key: [...key, "turn", turn], maxNewTokens: room };
  };
  const ask = async (open: readonly Asking[]): Promise<Answer[]> => {
    const wanted = open.map(request);
    const asked = open.filter((_, i) => !("verdict" in wanted[i]!));
    await sampleTurn(
      model,
      wanted.filter((one): one is GenerationRequest => !("verdict" in one)),
      options,
      work,
      (row, generation) => add(asked[row]!.index, generation),
    );
    return open.map(({ index }, i): Answer => {
      const one = wanted[i]!;
      const { text, finish } = sampled[index]!;
      return "verdict" in one ? one : { completion: text, cut: finish === "length" };
    });
  };
  const problems = requests.map(({ problem }) => problem);
  await converse(environment, problems, ask, (index, conversation) => {
    const { completions, verdict, turnLimit } = conversation;
    const spoken = { completions, verdict, turnLimit };
    onEnd(index, Object.assign(sampled[index]!, { spoken, text: transcript(conversation) }));
  });
  return { sampled, ...work };
}

function append(own: Sampled, { ids, logProbs }: Pick<Generation, "ids" | "logProbs">, mask: 0 | 1): void {
  ids.forEach((id, i) => {
    own.ids.push(id);
    own.logProbs.push(logProbs[i]!);
    own.mask.push(mask);
  });
}

/** Samples one completion for each request, and hands each on as it ends. */
async function sampleTurn(
  { tokenizer: { stopIds }, generate }: InferenceModel,
  requests: readonly GenerationRequest[],
  { sampling, maxBatch, signal, onToken = () => {} }: ConversationOptions,
  work: { flops: number; tokens: number },
  onEnd: (row: number, generation: Generation) => void,
): Promise<void> {
  if (requests.length === 0) return;
  const partial = requests.map((): Generation => ({ ids: [], logProbs: [], finish: "length" }));
  const ended = requests.map(() => false);
  const { generations, flops, tokens } = await generate(requests, {
    ...{ sampling, stopIds, maxBatch, signal },
    onToken: (row, id, logProb) => {
      const { ids, logProbs } = partial[row]!;
      ids.push(id);
      logProbs.push(logProb);
      onToken();
      const stops = stopIds.has(id);
      if (!stops && ids.length < requests[row]!.maxNewTokens) return;
      ended[row] = true;
      onEnd(row, { ids, logProbs, finish: stops ? "stop" : "length" });
    },
  });
  work.flops += flops;
  work.tokens += tokens;
  for (const [row, generation] of generations.entries()) if (!ended[row]) onEnd(row, generation);
}
