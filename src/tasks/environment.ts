/**
 * An environment of one's own: a task of several turns, such as one with a tool, in a file whose default export is
 * `defineEnvironment({ ... })`. `environmentOf` makes of it what training and evaluation know.
 */
import {
  type Asked,
  type Blame,
  isPlain,
  type Judgement,
  type Part,
  type ProblemDefinition,
  settled,
  type TaskSettings,
  taskError,
  taskOf,
} from "./define.ts";
import type { Environment, Outcome, Problem, ReplyMessage, Task, Verdict } from "./problem.ts";
import { kindOf } from "./rows.ts";
import { exceeded, fault, oversized, unscored } from "./verdict.ts";

/** What an environment says: a text, which a chat shows as the user's, or messages. */
export type Reply = string | ReplyMessage | readonly ReplyMessage[];

/** What follows a completion: the judgement that ends the conversation, or a reply and the fields of the state that change. */
export type Step<S> = { done: Judgement } | { reply: Reply; state?: Partial<S> };

/** `S` is the state of a conversation, as plain data. The first one is the problem: what is asked, the right answer, and so on. */
export interface EnvironmentDefinition<S extends Asked = Asked> extends ProblemDefinition<S> {
  /**
   * One problem. Equal seeds and difficulties give equal problems: `new Random(seed)` is a source of chance.
   * @param seed a whole number in [0, 2^32)
   * @param difficulty the recipe's; 1 where it has none
   */
  start(seed: number, difficulty: number): S;
  /**
   * What follows a completion, a stranger's text of up to a million characters. It depends on the state and the completion
   * alone, so what it needs to remember is in the state. It may be asynchronous, and is ended after the recipe's time limit.
   */
  step(state: S, completion: string): Step<S> | Promise<Step<S>>;
  /** Most completions of a conversation, default 8. A conversation that has not ended then is wrong. */
  maxTurns?: number;
  /** JSON schemas of the functions that the model may call, which a chat template describes to it. `toolCallsIn` reads its calls. */
  tools?: object[];
}

const MAX_TURNS = 8;
/** Characters of a reply. */
const REPLY_LIMIT = 100_000;

/** The definition as it is: the type of a state follows from `start`. */
export function defineEnvironment<S extends Asked>(
  definition: EnvironmentDefinition<S>,
): EnvironmentDefinition<S> {
  return definition;
}

export const isEnvironment = (value: unknown): value is EnvironmentDefinition<Asked> =>
  typeof value === "object" &&
  value !== null &&
  ["start", "step"].every((part) => typeof Reflect.get(value, part) === "function");

/** The parts of a task that an environment has under other names. */
const OWN: Partial<Record<Part, Part>> = { generate: "start", verify: "step" };

/** @throws UserError "task" for a limit of turns that is none, and what `taskOf` throws */
export function environmentOf<S extends Asked>(
  definition: EnvironmentDefinition<S>,
  settings: TaskSettings = {},
): Task<Problem & S> {
  const { maxTurns = MAX_TURNS, tools } = definition;
  const where = `The environment ${definition.name ?? settings.name ?? "task"}`;
  const { blame: told = (part, did, cause) => taskError(where, part, did, cause) } = settings;
  const blame: Blame = (part, did, cause) => told(OWN[part] ?? part, did, cause);
  if (!Number.isInteger(maxTurns) || maxTurns < 1)
    throw blame("maxTurns", `is ${kindOf(maxTurns)}, not a whole number from 1 on`);

  const refused = (did: string): Outcome<never> => ({ verdict: fault(blame("step", did)) });
  const failed = (error: unknown): Outcome<never> => ({ verdict: fault(blame("step", "threw", error)) });
  // A copy, so that a step that changes its state leaves the conversation's as it was.
  const call = (state: Problem & S, completion: string): unknown =>
    definition.step(structuredClone(state), completion);
  const outcomeOf = (given: unknown, state: Problem & S, completion: string): Outcome<Problem & S> => {
    const { done, reply, state: changes = {} } = Object(given) as Record<string, unknown>;
    if (done !== undefined)
      return { verdict: settled(state, completion, done, (did) => blame("step", `${did}, as done`)) };
    const messages = typeof reply === "string" ? [{ role: "user", content: reply }] : [reply].flat();
    if (messages.length === 0 || !messages.every(isReply))
      return refused(
        `gave ${given === Object(given) ? "an object" : kindOf(given)}, neither { reply } nor { done }`,
      );
    if (messages.reduce((total, { content }) => total + content.length, 0) > REPLY_LIMIT)
      return refused(`gave a reply of more than ${REPLY_LIMIT} characters`);
    if (!isPlain(changes) || typeof changes !== "object" || changes === null || Array.isArray(changes))
      return refused("gave a state that a file cannot keep (an object of plain data alone)");
    // What the conversation began with stays as it is.
    const { id, prompt, messages: asked, tools: offered } = state;
    return { reply: messages, state: { ...state, ...changes, id, prompt, messages: asked, tools: offered } };
  };
  let repeats = false;
  const outcome = async (state: Problem & S, completion: string): Promise<Outcome<Problem & S>> => {
    try {
      const given = await call(state, completion);
      if (!repeats && JSON.stringify(await call(state, completion)) !== JSON.stringify(given))
        return refused(
          "gave two results for one state and completion: what it remembers belongs in the state",
        );
      repeats = true;
      return outcomeOf(given, state, completion);
    } catch (error) {
      return failed(error);
    }
  };
  const verdictOf = (of: Outcome): Verdict =>
    "verdict" in of ? of.verdict : exceeded("the conversation goes on");
  const { verifyAll: _, ...task } = taskOf<S>(
    {
      ...definition,
      generate: (seed, difficulty) => definition.start(seed, difficulty),
      verify: () => false,
    },
    { ...settings, blame },
  );
  const environment: Environment<Problem & S> = {
    maxTurns,
    async step(items) {
      const outcomes: Outcome<Problem & S>[] = [];
      for (const { problem, completion } of items) {
        const verdict = oversized(completion);
        outcomes.push(verdict === null ? await outcome(problem, completion) : { verdict });
      }
      return outcomes;
    },
  };
  return {
    ...task,
    generate(key) {
      const problem = task.generate(key);
      return problem.messages === undefined || tools === undefined ? problem : { ...problem, tools };
    },
    verify(problem, completion) {
      const verdict = oversized(completion);
      if (verdict !== null) return verdict;
      try {
        const given = call(problem, completion);
        if (given instanceof Promise) {
          given.catch(() => {});
          return unscored("the step is asynchronous");
        }
        return verdictOf(outcomeOf(given, problem, completion));
      } catch (error) {
        return verdictOf(failed(error));
      }
    },
    verifyAll: async (items) => (await environment.step(items)).map(verdictOf),
    environment,
  };
}

const isReply = (value: unknown): value is ReplyMessage => {
  const { role, content, name } = Object(value) as Record<string, unknown>;
  const isNamed = name === undefined || typeof name === "string";
  return (role === "user" || role === "tool") && typeof content === "string" && isNamed;
};
