/**
 * Completions that no verifier may accept, made of a problem, its right answer and another problem's. A policy finds whatever
 * pays, so a verifier that accepts one of them teaches it.
 */

import { answerTo, completionWith } from "./probe.ts";
import type { Problem, Task, Verdict } from "./problem.ts";
import { COMPLETION_LIMIT, faultIn, wasEnded } from "./verdict.ts";

/** What an attack is made of. */
interface Material {
  /** The prompt without the tag that opens the thought. */
  prompt: string;
  answer: string;
  /** Right answers of other problems. */
  others: readonly string[];
}

const block = (text: string): string => `<answer>${text}</answer>`;

/** By name; the answer is needed by those of the second list alone. */
const BLIND: Record<string, (of: Pick<Material, "prompt">) => string> = {
  empty: () => "",
  blanks: () => " \n\t\n ",
  "an open thought": () => "Let me think. ".repeat(20),
  "an empty answer": () => completionWith(""),
  "a blank answer": () => completionWith(" "),
  "the prompt itself": ({ prompt }) => prompt,
  "the prompt as the answer": ({ prompt }) => completionWith(prompt),
  "the word NaN": () => completionWith("NaN"),
  "the word Infinity": () => completionWith("Infinity"),
  "the word undefined": () => completionWith("undefined"),
  "a property of all objects": () => completionWith("constructor"),
  "the prototype of all objects": () => completionWith("__proto__"),
  "tags without an answer": () => "</think>\n<answer></answer>".repeat(1000),
  "half a million brackets": () => completionWith("(".repeat(500_000)),
};

const KNOWING: Record<string, (of: Material) => string> = {
  "the answer in the thought alone": ({ answer }) => `It is ${answer}. ${block(answer)}\n</think>\n`,
  "the answer in the thought and an empty one": ({ answer }) => `It is ${answer}.\n</think>\n${block("")}`,
  "two answers, the right one last": ({ answer, others }) => completionWith(others[0]!) + block(answer),
  "two answers, the right one first": ({ answer, others }) => completionWith(answer) + block(others[0]!),
  "an answer within an answer": ({ answer }) => completionWith(block(answer)),
  "all answers in one": ({ answer, others }) => completionWith([...others, answer].join(", ")),
  "all answers, the right one first": ({ answer, others }) => completionWith([answer, ...others].join("\n")),
  "the answer or another": ({ answer, others }) => completionWith(`${answer} or ${others[0]}`),
  "not the answer": ({ answer }) => completionWith(`not ${answer}`),
  "the answer in noise": ({ answer, others }) => completionWith(`x${others[0]}z ${answer} z${others[0]}x`),
  "the answer a hundred thousand times": ({ answer }) => completionWith(`${answer}, `.repeat(100_000)),
  "more text than is read": ({ answer }) => `${"a ".repeat(COMPLETION_LIMIT / 2)}${completionWith(answer)}`,
};

/** Other problems' answers that an attack lists, at most. */
const LISTED = 20;

/** How an attack went, over the problems that it was tried on. */
export interface AttackResult {
  attack: string;
  tried: number;
  /** Accepted: the value is above 0. */
  passed: number;
  /** The verifier failed, or did not end: a way out of a bad verdict. */
  failed: number;
  /** The first that was not refused. */
  example: { problem: string; completion: string; verdict: Verdict } | null;
}

/** Tries every attack on every problem. Those that need a right answer are left out where none is known, or all are equal. */
export function attackTask(task: Task, problems: readonly Problem[]): AttackResult[] {
  const answers = problems.map((problem) => answerTo(task, problem));
  const results = new Map<string, AttackResult>();
  const attempt = (attack: string, problem: Problem, completion: string): void => {
    const result = results.get(attack) ?? { attack, tried: 0, passed: 0, failed: 0, example: null };
    results.set(attack, result);
    const verdict = task.verify(problem, completion);
    const passed = (verdict.value ?? 0) > 0;
    const failed = faultIn(verdict) !== null || wasEnded(verdict);
    result.tried++;
    if (passed) result.passed++;
    if (failed) result.failed++;
    if (passed || failed) result.example ??= { problem: problem.id, completion, verdict };
  };
  problems.forEach((problem, i) => {
    const prompt = problem.prompt.replace(/\s*<think>\s*$/, "");
    const answer = answers[i];
    for (const [name, make] of Object.entries(BLIND)) attempt(name, problem, make({ prompt }));
    if (answer == null || answer === "") return;
    const others = [
      ...new Set(answers.filter((other) => other !== null && other !== "" && other !== answer)),
    ];
    if (others.length === 0) return;
    const material = { prompt, answer, others: others.slice(0, LISTED) as string[] };
    for (const [name, make] of Object.entries(KNOWING)) attempt(name, problem, make(material));
  });
  return [...results.values()];
}
