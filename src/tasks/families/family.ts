/**
 * What all procedural families share: `family` makes an entry of the registry from a family's levels, its generator, the
 * words of its question, the reader of its answers and its solver.
 *
 * The answer is the inside of the one answer block (extract.ts). In a chat, whose prompt asks for it, the answer may instead
 * follow `####` on its line; the mark may come several times with the same answer. Two answers that differ are no answer,
 * whichever is right, and an answer is read whole: a list of all answers is none.
 */
import { z } from "zod";
import type { Random } from "../../lib/random.ts";
import { levelsOf, type TargetDifficulty, targetDifficulty } from "../curriculum.ts";
import { type Extraction, trimBlanks } from "../extract.ts";
import { beforeEndToken, endsInAnswer, filled, hashAnswers } from "../marked-answers.ts";
import { clip } from "../number.ts";
import type { Problem, Task } from "../problem.ts";
import { type ChatPromptTemplate, chatPromptTemplate, questionPrompt } from "../prompt.ts";
import { drawInSplit, problemId } from "../stream.ts";
import { type Finding, unparsed, verifyCompletion } from "../verdict.ts";

/** An answer that was read: `canonical` is equal for equal answers. Or why it is not in the family's form. */
export type Reading = { ok: true; canonical: string } | { ok: false; reason: string };

/** A problem and its answer, which the generator knows because it made the problem of it. */
export interface Drawn<D> {
  data: D;
  /** In canonical form; one of the right answers where there are several. */
  answer: string;
}

/** `D` is what the question says, as plain data: nothing of the answer is in it. */
export interface Family<K extends string, D> {
  /** Its name in a recipe, such as "base-conversion". */
  kind: K;
  /** What each level asks, for the page of recipe keys, the easiest first. */
  levels: readonly string[];
  /** For chat models: a small problem, and the thought before its answer. No stream draws this problem. */
  example: { data: D; thought: string };
  /** One problem of a level from 1, or `null` where the random choices led nowhere. */
  draw(random: Random, level: number): Drawn<D> | null;
  /** It says which form the answer has. */
  question(data: D): string;
  /** Equal for problems that are the same one in other words or another order; the question where it is absent. */
  content?(data: D): string;
  /** Reads a trimmed answer of 1 to `ANSWER_LIMIT` characters. It never sees the right one. */
  read(text: string, data: D): Reading;
  /** Where several answers are right: why this one is wrong, or `null`. Absent where it must equal `Drawn.answer`. */
  check?(canonical: string, data: D): string | null;
  /** The reference: it works a right answer out from what the question says. */
  solve(data: D): string;
}

export interface FamilyProblem<D> extends Problem, Drawn<D> {
  level: number;
}

/** Characters of an answer; a longer one is not read, so a reader need not be linear. */
export const ANSWER_LIMIT = 1000;

/** The schema of a family's options, and the function that makes its task of them: an entry of the registry. */
export function family<const K extends string, D>(of: Family<K, D>) {
  const options = z.strictObject({
    kind: z.literal(of.kind),
    difficulty: z
      .union([z.array(z.int().min(1).max(of.levels.length)).min(1), targetDifficulty])
      .default([1])
      .describe(`${of.levels.map((level, i) => `${i + 1}: ${level}`).join("; ")}. Drawn evenly.`),
    template: chatPromptTemplate,
  });
  return { options, make: (chosen: z.output<typeof options>) => familyTask(of, chosen) };
}

interface FamilyOptions {
  difficulty: number[] | TargetDifficulty;
  template: ChatPromptTemplate;
}

function familyTask<D>(
  of: Family<string, D>,
  { difficulty, template }: FamilyOptions,
): Task<FamilyProblem<D>> {
  const content = ({ data }: Pick<Drawn<D>, "data">) => of.content?.(data) ?? of.question(data);
  const exampleContent = content(of.example);
  const example = {
    system: "You solve problems. Think in a few short steps, then end with a line of #### and the answer.",
    question: of.question(of.example.data),
    completion: `${of.example.thought}\n#### ${of.solve(of.example.data)}`,
  };
  const { levels, curriculum } = levelsOf(difficulty, of.levels.length);
  const draw = (random: Random, level = random.pick(levels)) => {
    const drawn = of.draw(random, level);
    return drawn === null || content(drawn) === exampleContent ? null : { ...drawn, level };
  };
  return {
    name: of.kind,
    curriculum,
    generate(key) {
      const drawn = drawInSplit(of.kind, key, (random) => draw(random, key.level), content);
      const prompt = questionPrompt(of.question(drawn.data), template, example);
      return { id: problemId(of.kind, key), ...prompt, ...drawn };
    },
    content,
    verify(problem, completion) {
      const verdict = verifyCompletion(completion, (found) =>
        judge(of, problem, givenAnswers(found, template)),
      );
      const hasChatFormat = template === "chat" && verdict.value !== null;
      return hasChatFormat ? { ...verdict, format: endsInAnswer(completion) } : verdict;
    },
    solve: ({ data }) => of.solve(data),
  };
}

interface Given {
  answers: string[];
  /** Why there is none. */
  reason: string;
  /** Shown where there is none. */
  shown: string | null;
}

function givenAnswers({ answer, reason, shown, rest }: Extraction, template: ChatPromptTemplate): Given {
  if (answer !== null) return { answers: [answer], reason, shown };
  if (template !== "chat" || reason !== "no answer block") return { answers: [], reason, shown };
  const marked = hashAnswers(rest).map((line) => trimBlanks(beforeEndToken(line)));
  return { answers: filled(marked), reason: "no answer block and no ####", shown };
}

/** @throws Error where the problem's own answer cannot be read: the sample then is unscored */
function judge<D>(
  of: Family<string, D>,
  { data, answer: gold }: Drawn<D>,
  { answers, reason, shown }: Given,
): Finding {
  const right = typeof gold === "string" ? read(of, gold, data) : null;
  if (!right?.ok) throw new Error(`gold not usable: ${right?.reason ?? `${typeof gold}, not a string`}`);
  const last = answers.at(-1);
  if (last === undefined) return unparsed(shown, reason);
  const reading = read(of, last, data);
  if (!reading.ok) return unparsed(last, reading.reason);
  const { canonical } = reading;
  const differs = (answer: string) => {
    const other = read(of, answer, data);
    return !other.ok || other.canonical !== canonical;
  };
  const other = answers.find(differs);
  if (other !== undefined)
    return unparsed(last, `two answers differ: ${clip(other, 40)} and ${clip(last, 40)}`);
  const unequal = `answer is ${clip(canonical, 40)}, not ${clip(right.canonical, 40)}`;
  const fault = of.check ? of.check(canonical, data) : canonical === right.canonical ? null : unequal;
  return { right: fault === null, extracted: last, canonical, reason: fault ?? "right" };
}

function read<D>(of: Family<string, D>, text: string, data: D): Reading {
  if (text === "") return { ok: false, reason: "empty answer" };
  if (text.length > ANSWER_LIMIT)
    return { ok: false, reason: `answer longer than ${ANSWER_LIMIT} characters` };
  return of.read(text, data);
}
