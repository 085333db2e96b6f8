/** A problem with its right answer as a completion: what a model that cannot do a task yet learns from first. */
import { UserError } from "../lib/errors.ts";
import { clip } from "./number.ts";
import { answerTo } from "./probe.ts";
import type { Problem, Task } from "./problem.ts";

/**
 * The thought, if the task has one, and the right answer, in the first form that the verifier accepts with its format, or
 * else accepts: in tags, after `####` (the number tasks in a chat), or the answer alone (a prompt of the task's own).
 * @throws UserError "task" where the task knows no right answer, or its verifier refuses it
 */
export function solvedCompletion(task: Task, problem: Problem): string {
  const answer = answerTo(task, problem);
  if (answer === null)
    throw new UserError({
      kind: "task",
      what: `The task ${task.name} has no solver, and its problems hold no answer, so they cannot be trained as solved ones`,
      remedy: "Give it solve(problem), which returns a right answer.",
    });
  const thought = task.thought?.(problem).trim() ?? "";
  const before = thought === "" ? "" : `${thought}\n`;
  const thinks = problem.messages === undefined && problem.prompt.endsWith("<think>\n");
  const forms = thinks
    ? [`${before}</think>\n<answer>${answer}</answer>`]
    : [`${before}<answer>${answer}</answer>`, `${before}#### ${answer}`, `${before}${answer}`];
  const verdicts = forms.map((text) => ({ text, verdict: task.verify(problem, text) }));
  const accepted = verdicts.filter(({ verdict }) => verdict.value === 1);
  const [best] = [...accepted.filter(({ verdict }) => verdict.format), ...accepted];
  if (best !== undefined) return best.text;
  throw new UserError({
    kind: "task",
    where: problem.id,
    what: `verify refuses what solve says, ${JSON.stringify(clip(forms[0]!, 200))}: ${verdicts[0]!.verdict.reason}`,
    remedy: "Correct solve or verify: a solved problem is trained as verify accepts it.",
    data: { problem: problem.id },
  });
}
