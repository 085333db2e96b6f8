/** Word problems in the manner of GSM8K (arXiv 2110.14168), made from patterns: whole numbers, one to three steps. */
import { z } from "zod";
import type { Random } from "../lib/random.ts";
import { answerForm, verifyNumber } from "./number-answer.ts";
import type { Problem, Task } from "./problem.ts";
import { chatPromptTemplate, wordPrompt } from "./prompt.ts";
import { drawInSplit, problemId } from "./stream.ts";
import { equationSteps } from "./thought-equations.ts";

export const wordProblemsOptions = z.strictObject({
  kind: z.literal("word-problems"),
  steps: z
    .array(z.int().min(1).max(3))
    .min(1)
    .default([1, 2])
    .describe("Calculations per problem; several entries are drawn evenly."),
  size: z.int().min(10).max(1000).default(30).describe("Largest number of a sum; factors go up to 9."),
  template: chatPromptTemplate,
  answer: answerForm,
});

export type WordProblemsOptions = z.infer<typeof wordProblemsOptions>;

export interface WordProblem extends Problem {
  question: string;
  answer: number;
}

export function wordProblems(options: WordProblemsOptions): Task<WordProblem> {
  return {
    ...equationSteps,
    name: "word-problems",
    generate(key) {
      const drawn = drawInSplit("word-problems", key, (random) => draw(random, options), canonical);
      const prompt = wordPrompt(drawn.question, options.template);
      return { id: problemId("word-problems", key), ...prompt, ...drawn };
    },
    content: canonical,
    verify: (problem, completion) =>
      verifyNumber(completion, String(problem.answer), options.template, options.answer),
  };
}

interface Drawn {
  question: string;
  answer: number;
}

/** Equal for stories that differ in names and things only, which so are in the same split. */
function canonical({ question }: Pick<Drawn, "question">): string {
  return question.replaceAll(new RegExp([...NAMES, ...THINGS].join("|"), "g"), "_");
}

const NAMES = ["Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Ivy", "Jack"];
const THINGS = ["apples", "books", "marbles", "stickers", "pencils", "cookies", "shells", "cards"];

/** What fills a story: names, a thing, numbers for sums, and small factors. */
interface Words {
  who: string;
  other: string;
  what: string;
  number: () => number;
  factor: () => number;
}

type Story = (words: Words) => Drawn;

/** Stories by the number of steps. */
const STORIES: Record<number, readonly Story[]> = {
  1: [
    ({ who, what, number }) => {
      const [a, b] = [number(), number()];
      return {
        question: `${who} has ${a} ${what} and buys ${b} more. How many ${what} does ${who} have now?`,
        answer: a + b,
      };
    },
    ({ who, what, number }) => {
      const [left, b] = [number(), number()];
      return {
        question: `${who} had ${left + b} ${what} and gave away ${b} of them. How many ${what} are left?`,
        answer: left,
      };
    },
    ({ who, what, factor }) => {
      const [a, b] = [factor(), factor()];
      return {
        question: `${who} has ${a} boxes with ${b} ${what} in each box. How many ${what} does ${who} have in total?`,
        answer: a * b,
      };
    },
    ({ who, what, factor }) => {
      const [people, each] = [factor(), factor()];
      return {
        question: `${who} shares ${people * each} ${what} equally among ${people} friends. How many ${what} does each friend get?`,
        answer: each,
      };
    },
    ({ who, other, what, number }) => {
      const [less, more] = [number(), number()];
      return {
        question: `${who} has ${less + more} ${what} and ${other} has ${less}. How many more ${what} does ${who} have than ${other}?`,
        answer: more,
      };
    },
  ],
  2: [
    ({ who, what, number, factor }) => {
      const [a, b, c] = [factor(), factor(), number()];
      return {
        question: `${who} has ${a} bags with ${b} ${what} each and finds ${c} more. How many ${what} does ${who} have altogether?`,
        answer: a * b + c,
      };
    },
    ({ who, number, factor }) => {
      const [price, count, left] = [factor(), factor(), number()];
      return {
        question: `${who} has $${price * count + left} and buys ${count} toys for $${price} each. How much money does ${who} have left?`,
        answer: left,
      };
    },
    ({ who, what, number }) => {
      const [a, b, c] = [number(), number(), number()];
      return {
        question: `${who} had ${a + c} ${what}, gave ${c} to a friend and then got ${b} new ones. How many ${what} does ${who} have now?`,
        answer: a + b,
      };
    },
    ({ who, other, what, number }) => {
      const [a, more] = [number(), number()];
      return {
        question: `${who} has ${a} ${what}. ${other} has ${more} more than ${who}. How many ${what} do they have together?`,
        answer: 2 * a + more,
      };
    },
    ({ who, what, number, factor }) => {
      const [days, each, first] = [factor(), factor(), number()];
      return {
        question: `${who} starts with ${first} ${what} and collects ${each} more every day for ${days} days. How many ${what} does ${who} have then?`,
        answer: first + days * each,
      };
    },
  ],
  3: [
    ({ who, what, number, factor }) => {
      const [a, b, c, d] = [factor(), factor(), number(), factor()];
      return {
        question: `${who} has ${a} boxes with ${b} ${what} each and ${c + d} loose ones, and loses ${d} of all of them. How many ${what} are left?`,
        answer: a * b + c,
      };
    },
    ({ who, other, what, number, factor }) => {
      const [a, times, c] = [number(), factor(), number()];
      return {
        question: `${who} has ${a} ${what}. ${other} has ${times} times as many and then gets ${c} more. How many ${what} do they have together?`,
        answer: a + times * a + c,
      };
    },
    ({ who, factor, number }) => {
      const [pens, pen, books, left] = [factor(), factor(), factor(), number()];
      return {
        question: `${who} pays ${pens} pens for $${pen} each and ${books} books for $10 each out of $${pens * pen + books * 10 + left}. How much money is left?`,
        answer: left,
      };
    },
  ],
};

function draw(random: Random, { steps, size }: WordProblemsOptions): Drawn {
  const [who, other] = random.shuffle([...NAMES]);
  const story = random.pick(STORIES[random.pick(steps)] as Story[]);
  return story({
    who: who as string,
    other: other as string,
    what: random.pick(THINGS),
    number: () => random.integer(2, size),
    factor: () => random.integer(2, 9),
  });
}
