/** A person's text as a problem with its verifier: numbers and a target for Countdown, a question for other tasks. */
import type { TaskOptions } from "../recipe/schema.ts";
import { countdown, countdownOptions, parseUserProblem } from "../tasks/countdown.ts";
import { solve } from "../tasks/countdown-solve.ts";
import { extract } from "../tasks/extract.ts";
import type { Verdict } from "../tasks/problem.ts";
import { thinkPrompt } from "../tasks/prompt.ts";
import { unscored } from "../tasks/verdict.ts";

export interface Question {
  prompt: string;
  verify(completion: string): Verdict;
}

/** @throws UserError for a text that is no Countdown problem */
export function readQuestion(text: string, task: TaskOptions): Question {
  if (task.kind === "countdown") return countdownQuestion(text);
  const template = "template" in task && task.template === "r1" ? "r1" : "plain";
  const reason = "nobody knows the right answer to a question of your own";
  return {
    prompt: thinkPrompt(text, template),
    verify: (completion) => {
      const { shown, format } = extract(completion, { thoughtOpen: true });
      return { ...unscored(reason), extracted: shown, format };
    },
  };
}

function countdownQuestion(text: string): Question {
  const problem = parseUserProblem(text);
  const task = countdown(countdownOptions.parse({ kind: "countdown" }));
  return {
    prompt: problem.prompt,
    verify: (completion) => {
      const verdict = task.verify(problem, completion);
      if (verdict.value !== 0 || solve(problem.numbers, problem.target) !== null) return verdict;
      return {
        ...verdict,
        reason: `${verdict.reason}; no expression of these numbers makes ${problem.target}`,
      };
    },
  };
}
