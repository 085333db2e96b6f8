/**
 * A task of one's own: a generator of problems and a verifier of completions, in a file whose default export is
 * `defineTask({ ... })`. `taskOf` makes of it what training and evaluation know, and checks whatever the two return.
 */
import { UserError } from "../lib/errors.ts";
import type { Random } from "../lib/random.ts";
import { type Curriculum, type TargetDifficulty, wholeLevels } from "./curriculum.ts";
import { type Extraction, extract } from "./extract.ts";
import { clip } from "./number.ts";
import type { CheckedCompletion, Problem, Reward, Task, Verdict } from "./problem.ts";
import { type ChatPromptTemplate, thinkPrompt } from "./prompt.ts";
import { kindOf } from "./rows.ts";
import { drawInSplit, problemId } from "./stream.ts";
import { EXTRACTED_LIMIT, fault, oversized, unscored } from "./verdict.ts";

type Messages = NonNullable<Problem["messages"]>;

/** What the model is asked: a question for the recipe's template, or the whole prompt, or a chat. */
export type Asked = { question: string } | { prompt: string } | { messages: Messages };

/** What a verifier says of a completion: right or wrong, or from 0 (wrong) to 1 (right), or this with the answer that it read. */
export type Judgement =
  | boolean
  | number
  | {
      /** `null`: it cannot be judged, and leaves its group. */
      value: boolean | number | null;
      /** The answer as a value, for votes: equal texts for equal answers. The answer block where it is left out. */
      extracted?: string | null;
      /** Why, in a few words for people. */
      reason?: string;
    };

/** What a task and an environment both may say of their problems `D`. */
export interface ProblemDefinition<D> {
  /** Of the problems' ids and of results; the name of the file where it is left out. */
  name?: string;
  /** The lowest and the highest difficulty, whole numbers: a recipe may then have the level moved by the pass rate. */
  levels?: readonly [low: number, high: number];
  /** A right answer, as text: what stands between <answer> and </answer>. */
  solve?(problem: D): string;
  /** A thought that leads to this answer. Solved problems (`data: { kind: task }`) are trained with it, or without a thought. */
  thought?(problem: D): string;
  /** Further rewards by name, from -1 to 1, which a stage weighs in its `rewards`; `null` leaves a completion unscored. */
  rewards?: Record<string, (problem: D, completion: CheckedCompletion) => number | null>;
  /** In a chat, an example before the question shows the form of the answer: small models copy a form better than words. */
  example?: { question: string; completion: string };
  /** Equal for problems that are the same one in other words: they are in one split. The question where it is left out. */
  content?(problem: D): string;
}

/** `D` is a problem: what is asked, the right answer, and whatever else the verifier needs, as plain data. */
export interface TaskDefinition<D extends Asked = Asked> extends ProblemDefinition<D> {
  /**
   * One problem. Equal seeds and difficulties give equal problems: `new Random(seed)` is a source of chance.
   * @param seed a whole number in [0, 2^32)
   * @param difficulty the recipe's; 1 where it has none
   */
  generate(seed: number, difficulty: number): D;
  /**
   * Judges one completion, which is a stranger's text of up to a million characters; the prompt is not in it. `answerIn`
   * reads its answer. It may be asynchronous, and is ended after the recipe's time limit.
   */
  verify(problem: D, completion: string): Judgement | Promise<Judgement>;
}

/** The definition as it is: the type of a problem follows from `generate`. */
export function defineTask<D extends Asked>(definition: TaskDefinition<D>): TaskDefinition<D> {
  return definition;
}

/** The answer of a completion: the inside of its one `<answer>` block after the thought; `null` where there is none, or several. */
export const answerIn = (completion: string): string | null => extract(completion).answer;

/** A part of a definition that can be at fault. */
export type Part = Exclude<keyof TaskDefinition, "name" | "example"> | "start" | "step" | "maxTurns";

/** The error for what a part did. @param did "gave NaN"; "threw" where there is a cause */
export type Blame = (part: Part, did: string, cause?: unknown) => UserError;

export interface TaskSettings {
  /** Where the definition has no name. */
  name?: string;
  difficulty?: number | TargetDifficulty;
  template?: ChatPromptTemplate;
  /** Names the file and the line; the task alone where it is left out. */
  blame?: Blame;
  /** Called before each problem. */
  onSeed?: (seed: number) => void;
}

/** For chats: the form of the answer, which the other templates show. */
const ANSWER_FORM =
  "Think first. Then write your answer, and nothing else, between <answer> and </answer> at the end.";

/** @throws UserError "task" from `generate`, `solve` and the rewards, where the definition is at fault */
export function taskOf<D extends Asked>(
  definition: TaskDefinition<D>,
  settings: TaskSettings = {},
): Task<Problem & D> {
  const { difficulty = 1, template = "plain" } = settings;
  const name = definition.name ?? settings.name ?? "task";
  const { blame = (part, did, cause) => taskError(`The task ${name}`, part, did, cause) } = settings;
  const call = <T>(part: Part, of: () => T, at = ""): T => {
    try {
      return of();
    } catch (error) {
      throw blame(part, `threw${at}`, error);
    }
  };
  const curriculum = typeof difficulty === "number" ? undefined : curriculumOf(difficulty, definition, blame);
  const levels =
    curriculum === undefined ? [difficulty as number] : wholeLevels(curriculum.low, curriculum.high);
  const content = (data: D): string =>
    definition.content === undefined ? textOf(data) : call("content", () => definition.content!(data));
  const drawOnce = (seed: number, level: number): string => {
    const at = ` for the seed ${seed}`;
    settings.onSeed?.(seed);
    const given: unknown = call("generate", () => definition.generate(seed, level), at);
    const wrong = faultOf(given);
    if (wrong !== null) throw blame("generate", `gave ${wrong}${at}`);
    // As a file keeps it, so that completions verified later are judged alike.
    return JSON.stringify(given);
  };
  let repeats = false;
  const draw = (seed: number, level: number): D => {
    const text = drawOnce(seed, level);
    if (!repeats && drawOnce(seed, level) !== text)
      throw blame(
        "generate",
        `gave two different problems for the seed ${seed}: use new Random(seed) for chance`,
      );
    repeats = true;
    return JSON.parse(text) as D;
  };
  const judge = (problem: Problem & D, completion: string): Verdict | Promise<Verdict> => {
    const settle = (given: unknown): Verdict =>
      settled(problem, completion, given, (did) => blame("verify", did));
    const failed = (error: unknown): Verdict => fault(blame("verify", "threw", error));
    try {
      const given: unknown = definition.verify(problem, completion);
      return given instanceof Promise ? given.then(settle, failed) : settle(given);
    } catch (error) {
      return failed(error);
    }
  };
  const rewards = Object.entries(definition.rewards ?? {}).map(([key, of]): [string, Reward] => [
    key,
    (problem, completion) => {
      const value: unknown = call("rewards", () => of(problem as Problem & D, completion));
      if (value === null || (typeof value === "number" && value >= -1 && value <= 1)) return value;
      throw blame("rewards", `gave ${kindOf(value)} for ${key}, neither null nor a number from -1 to 1`);
    },
  ]);
  return {
    name,
    curriculum,
    generate(key) {
      const drawn = (random: Random): D => {
        const seed = random.uint32();
        return draw(seed, key.level ?? (levels.length === 1 ? levels[0]! : random.pick(levels)));
      };
      const data = drawInSplit(name, key, drawn, content);
      return { ...data, id: problemId(name, key), ...promptOf(data, template, definition.example) };
    },
    content,
    verify: (problem, completion) => {
      const verdict = oversized(completion) ?? judge(problem, completion);
      return verdict instanceof Promise ? unscored("the verifier is asynchronous") : verdict;
    },
    async verifyAll(items) {
      const verdicts: Verdict[] = [];
      for (const { problem, completion } of items)
        verdicts.push(oversized(completion) ?? (await judge(problem, completion)));
      return verdicts;
    },
    ...(definition.solve !== undefined && {
      solve: (problem) => String(call("solve", () => definition.solve!(problem))),
    }),
    ...(definition.thought !== undefined && {
      thought: (problem) => String(call("thought", () => definition.thought!(problem))),
    }),
    rewards: Object.fromEntries(rewards),
  };
}

function curriculumOf(
  target: TargetDifficulty,
  { levels }: Pick<TaskDefinition, "levels">,
  blame: Blame,
): Curriculum {
  const [low, high] = levels ?? [];
  if (low === undefined || high === undefined)
    throw blame("levels", "are missing, and the recipe's difficulty has a target: write levels: [1, 5]");
  if (Number.isInteger(low) && Number.isInteger(high) && low < high) return { ...target, low, high };
  throw blame("levels", `are ${low} and ${high}, not two whole numbers, the lower one first`);
}

/** @param where the file and its line, or the task */
export function taskError(where: string, part: Part, did: string, cause?: unknown): UserError {
  const said =
    cause === undefined
      ? ""
      : `: ${cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)}`;
  return new UserError({ kind: "task", where, what: `${part} ${did}${said}`, data: { part }, cause });
}

function textOf(data: Asked): string {
  if ("question" in data) return data.question;
  return "prompt" in data ? data.prompt : data.messages.map(({ content }) => content).join("\n");
}

function promptOf(
  data: Asked,
  template: ChatPromptTemplate,
  example: TaskDefinition["example"],
): Pick<Problem, "prompt" | "messages"> {
  if ("messages" in data) return { prompt: data.messages.at(-1)!.content, messages: data.messages };
  if ("prompt" in data) return { prompt: data.prompt };
  if (template !== "chat") return { prompt: thinkPrompt(data.question, template) };
  const before: Messages =
    example === undefined
      ? []
      : [
          { role: "user", content: example.question },
          { role: "assistant", content: example.completion },
        ];
  const asked: Messages[number] = { role: "user", content: data.question };
  return { prompt: data.question, messages: [{ role: "system", content: ANSWER_FORM }, ...before, asked] };
}

/** Why it is no problem, or `null`. */
function faultOf(given: unknown): string | null {
  if (given instanceof Promise) return "a promise";
  if (typeof given !== "object" || given === null || Array.isArray(given)) return kindOf(given);
  const { question, prompt, messages } = given as Record<string, unknown>;
  const asked = messages ?? prompt ?? question;
  const isAsked = Array.isArray(asked) ? asked.length > 0 && asked.every(isMessage) : isText(asked);
  if (!isAsked) return "a problem without a question, a prompt or messages";
  const odd = Object.entries(given).find(([, value]) => !isPlain(value));
  return odd === undefined ? null : `a problem whose "${odd[0]}" a file cannot keep (plain data alone)`;
}

const isText = (value: unknown): value is string => typeof value === "string" && value.trim() !== "";

const isMessage = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  /^(system|user|assistant)$/.test(String(Reflect.get(value, "role"))) &&
  isText(Reflect.get(value, "content"));

/** Whether JSON says all of it. @param within the objects around it, so that a circle ends */
export function isPlain(value: unknown, within: readonly unknown[] = []): boolean {
  if (typeof value === "number") return Number.isFinite(value);
  if (value === null || ["string", "boolean", "undefined"].includes(typeof value)) return true;
  if (typeof value !== "object" || within.includes(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  const isBare = Array.isArray(value) || prototype === Object.prototype || prototype === null;
  return isBare && Object.values(value).every((inner) => isPlain(inner, [...within, value]));
}

/** The verdict that a judgement of this completion means; a fault where it is none. */
export function settled(
  { prompt }: Problem,
  completion: string,
  judgement: unknown,
  refuse: (did: string) => UserError,
): Verdict {
  const found = extract(completion, { thoughtOpen: prompt.endsWith("<think>\n") });
  const verdict = verdictOf(judgement, found);
  return typeof verdict === "string" ? fault(refuse(`gave ${verdict}`)) : verdict;
}

/** The verdict, or what was given in its place. */
function verdictOf(given: unknown, { answer, shown, format, reason: unread }: Extraction): Verdict | string {
  const said = typeof given === "object" && given !== null ? given : { value: given };
  const { value: judged, extracted, reason } = said as { [key: string]: unknown };
  const value = typeof judged === "boolean" ? Number(judged) : judged;
  if (value !== null && !(typeof value === "number" && value >= 0 && value <= 1))
    return `${kindOf(judged)}, neither true nor false nor a number from 0 to 1`;
  const read = typeof extracted === "string" ? extracted : extracted === null ? null : answer;
  const canonical = read === null ? null : clip(read, EXTRACTED_LIMIT);
  return {
    value,
    kind: value === null ? "unscored" : value === 1 ? "right" : canonical === null ? "unparsed" : "wrong",
    extracted: canonical ?? (shown === null ? null : clip(shown, EXTRACTED_LIMIT)),
    canonical,
    format,
    reason:
      typeof reason === "string" ? reason : value === 1 ? "right" : canonical === null ? unread : "wrong",
  };
}
