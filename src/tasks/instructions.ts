/**
 * Short instructions that need no reasoning, in English and Bulgarian, with answers that can be checked: what a chat model
 * has to follow beside the problems that it was trained to reason on.
 */
import { z } from "zod";
import { Random } from "../lib/random.ts";
import type { Problem, Task } from "./problem.ts";
import { chatPromptTemplate, questionPrompt } from "./prompt.ts";
import { drawInSplit, problemId } from "./stream.ts";
import { unparsed, verifyCompletion } from "./verdict.ts";

export const instructionsOptions = z.strictObject({
  kind: z.literal("instructions"),
  languages: z
    .array(z.enum(["en", "bg"]))
    .min(1)
    .default(["en", "bg"])
    .describe("Several are drawn evenly."),
  template: chatPromptTemplate,
});

type Language = z.infer<typeof instructionsOptions>["languages"][number];

interface Instruction {
  words: Record<Language, string>;
  answer(numbers: readonly number[], language: Language): string;
}

const HELLO = { en: "hello", bg: "здравей" };
const THANKS = { en: "thank you", bg: "благодаря" };

/** The words are tokens of the bilingual compact vocabulary. */
const INSTRUCTIONS = {
  largest: {
    words: { en: "largest of ", bg: "най-голямо от " },
    answer: (numbers) => String(Math.max(...numbers)),
  },
  smallest: {
    words: { en: "smallest of ", bg: "най-малко от " },
    answer: (numbers) => String(Math.min(...numbers)),
  },
  first: { words: { en: "first of ", bg: "първо от " }, answer: (numbers) => String(numbers[0]) },
  last: { words: { en: "last of ", bg: "последно от " }, answer: (numbers) => String(numbers.at(-1)) },
  count: { words: { en: "count ", bg: "брой " }, answer: (numbers) => String(numbers.length) },
  reverse: { words: { en: "reverse ", bg: "обърни " }, answer: (numbers) => numbers.toReversed().join(", ") },
  greet: {
    words: { en: "greet ", bg: "поздрави " },
    answer: (numbers, language) => `${HELLO[language]}, ${numbers.join(", ")}`,
  },
  thank: {
    words: { en: "greet and thank ", bg: "поздрави и благодари " },
    answer: (numbers, language) => `${HELLO[language]}, ${numbers.join(", ")}, ${THANKS[language]}`,
  },
} satisfies Record<string, Instruction>;

/** For chat models. */
const EXAMPLE = {
  system: "You follow short instructions. Give the answer alone in <answer> </answer> tags.",
  question: "largest of 4, 9",
  completion: "<answer>9</answer>",
};

type Name = keyof typeof INSTRUCTIONS;
const NAMES = Object.keys(INSTRUCTIONS) as Name[];

export interface InstructionProblem extends Problem {
  instruction: Name;
  language: Language;
  numbers: number[];
}

const answerTo = ({ instruction, numbers, language }: InstructionProblem): string =>
  INSTRUCTIONS[instruction].answer(numbers, language);

/** Equal in both languages. */
const content = ({ instruction, numbers }: Pick<InstructionProblem, "instruction" | "numbers">): string =>
  `${instruction} ${numbers.join(" ")}`;

export function instructions({
  languages,
  template,
}: z.infer<typeof instructionsOptions>): Task<InstructionProblem> {
  return {
    name: "instructions",
    generate(key) {
      const drawn = drawInSplit(
        "instructions",
        key,
        (random) => ({
          instruction: random.pick(NAMES),
          numbers: Array.from({ length: random.integer(2, 4) }, () => random.integer(1, 99)),
        }),
        content,
      );
      const language = new Random(key.seed, "language", key.split, key.index).pick(languages);
      const question = `${INSTRUCTIONS[drawn.instruction].words[language]}${drawn.numbers.join(", ")}`;
      const prompt = questionPrompt(question, template, EXAMPLE);
      return { id: problemId("instructions", key), ...prompt, ...drawn, language };
    },
    content,
    verify: (problem, completion) =>
      verifyCompletion(completion, ({ answer, shown, reason }) => {
        if (answer === null) return unparsed(shown, reason);
        const right = answerTo(problem);
        return {
          right: answer === right,
          extracted: answer,
          canonical: answer,
          reason: answer === right ? "right" : `${answer} is not ${right}`,
        };
      }),
    solve: answerTo,
  };
}
