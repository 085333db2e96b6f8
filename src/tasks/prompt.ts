/** The prompts of tasks. Every prompt except a chat's ends with the opening tag of the thought. */
import { z } from "zod";
import type { Problem } from "./problem.ts";

/**
 * "plain": the question alone, for small models trained here; "r1": the template of DeepSeek-R1-Zero
 * (arXiv 2501.12948, Table 1), for base models that know language.
 */
const promptTemplate = z.enum(["plain", "r1"]);

export type PromptTemplate = z.infer<typeof promptTemplate>;

const R1_TEMPLATE =
  "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. " +
  "The assistant first thinks about the reasoning process in the mind and then provides the user with the " +
  "answer. The reasoning process and answer are enclosed within <think> </think> and <answer> </answer> " +
  "tags, respectively, i.e., <think> reasoning process here </think> <answer> answer here </answer>. ";

/**
 * The prompt of a question, which ends with an opened `<think>`: "r1" puts R1-Zero's template before it (arXiv
 * 2501.12948, table 1).
 */
export function thinkPrompt(question: string, template: PromptTemplate): string {
  const text = template === "r1" ? `${R1_TEMPLATE}User: ${question} Assistant:` : question;
  return `${text}\n<think>\n`;
}

/** "chat": the question as a user's message in the model's own chat template, for models that were taught to chat. */
export const chatPromptTemplate = z
  .enum([...promptTemplate.options, "chat"])
  .default("plain")
  .describe("`plain`: the question alone; `r1`: R1-Zero's template; `chat`: the model's chat template.");

export type ChatPromptTemplate = z.infer<typeof chatPromptTemplate>;

/** What a chat says before the question; it shows an answer's form, which small models copy better than they follow words. */
export interface ChatExample {
  system: string;
  question: string;
  /** Ends with a line of `####` and the answer. */
  completion: string;
}

const NUMBER_EXAMPLE: ChatExample = {
  system: "You solve word problems. Show a short calculation, then end with a line of #### and the number.",
  question: "What is 3 + 4?",
  completion: "3 + 4 = 7\n#### 7",
};

/** A question in one of the templates; `example` comes before it in a chat. */
export function questionPrompt(
  question: string,
  template: ChatPromptTemplate,
  example: ChatExample,
): Pick<Problem, "prompt" | "messages"> {
  if (template !== "chat") return { prompt: thinkPrompt(question, template) };
  return {
    prompt: question,
    messages: [
      { role: "system", content: example.system },
      { role: "user", content: example.question },
      { role: "assistant", content: example.completion },
      { role: "user", content: question },
    ],
  };
}

/** A question whose answer is a number. */
export const wordPrompt = (question: string, template: ChatPromptTemplate) =>
  questionPrompt(question, template, NUMBER_EXAMPLE);
