/** What shows a task's faults before anything is trained: its first problems, and verdicts on them. */
import { userError } from "../lib/errors.ts";
import type { CheckedCompletion, Problem, Task } from "./problem.ts";
import { faultIn, wasEnded } from "./verdict.ts";

/** Problems whose verdicts are looked at. */
const PROBED = 4;

/** A right answer of the problem as text: the solver's, or the one that it holds; `null` where there is neither. */
export function answerTo(task: Pick<Task, "solve">, problem: Problem): string | null {
  if (task.solve !== undefined) return task.solve(problem);
  const answer: unknown = Reflect.get(problem, "answer");
  return typeof answer === "string" || typeof answer === "number" ? String(answer) : null;
}

/** A completion in the form of the answer that all prompts but a person's own ask for. */
export const completionWith = (answer: string): string =>
  `It is worked out.</think>\n<answer>${answer}</answer>`;

/**
 * Judges an empty completion and a right one of the first problems.
 * @param rewards those that a stage names
 * @returns what is allowed and likely a mistake, in sentences
 * @throws UserError "task" where the verifier or a reward fails or does not end
 */
export function probeTask(
  task: Task,
  problems: readonly Problem[],
  rewards: readonly string[] = [],
): string[] {
  const warnings = new Set<string>();
  for (const problem of problems.slice(0, PROBED)) {
    const answer = answerTo(task, problem);
    for (const text of ["", ...(answer === null ? [] : [completionWith(answer)])]) {
      const verdict = task.verify(problem, text);
      const failed = faultIn(verdict) ?? (wasEnded(verdict) ? `verify did not end: ${verdict.reason}` : null);
      const shown = text === "" ? "the empty completion" : `the completion ${JSON.stringify(text)}`;
      if (failed !== null)
        throw userError(
          "task",
          `${failed}, on ${shown} of the problem ${problem.id}.`,
          "Correct the file; sputnik task try shows more of its verdicts.",
        );
      const completion: CheckedCompletion = { text, verdict, steps: [], tokens: 1, maxNewTokens: 2 };
      for (const name of rewards) task.rewards?.[name]?.(problem, completion);
      if (text === "" && verdict.value === 1)
        warnings.add(`${task.name}: verify accepts an empty completion.`);
      if (text !== "" && verdict.value === 0)
        warnings.add(
          `${task.name}: verify refuses the right answer of ${problem.id}, ${shown}: ${verdict.reason}.`,
        );
    }
  }
  const leak = leakIn(task, problems);
  if (leak !== null) warnings.add(leak);
  return [...warnings];
}

/** Characters before an answer that are compared, and the least problems with the least different answers that say something. */
const [BEFORE, LEAST_PROBLEMS, LEAST_ANSWERS] = [3, 8, 3];

/**
 * A prompt says its right answer if the same words come before it in every problem, such as "Answer: ". An answer that is
 * only somewhere in the prompt, one word of a list or "yes" of "yes or no", is none.
 */
export function leakIn(task: Task, problems: readonly Problem[]): string | null {
  const known = problems.flatMap((problem) => {
    const answer = answerTo(task, problem);
    return answer === null || answer === "" ? [] : [{ text: promptText(problem), answer }];
  });
  if (known.length < LEAST_PROBLEMS || new Set(known.map(({ answer }) => answer)).size < LEAST_ANSWERS)
    return null;
  const [first, ...others] = known.map(({ text, answer }) => wordsBefore(text, answer));
  const [words] = [...first!].filter((before) => others.every((own) => own.has(before)));
  if (words === undefined) return null;
  const place = words === "" ? "at its beginning" : `after ${JSON.stringify(words)}`;
  return `${task.name}: the prompt says the right answer ${place}, in each of ${known.length} problems: it can be copied.`;
}

const promptText = ({ prompt, messages }: Problem): string =>
  messages === undefined ? prompt : messages.map(({ content }) => content).join("\n");

/** What precedes each occurrence of the answer as a whole word. */
function wordsBefore(text: string, answer: string): Set<string> {
  const found = new Set<string>();
  const isWord = (character: string | undefined): boolean => /^[\p{L}\p{N}]$/u.test(character ?? "");
  for (let at = text.indexOf(answer); at !== -1; at = text.indexOf(answer, at + 1))
    if (!isWord(text[at - 1]) && !isWord(text[at + answer.length]))
      found.add(text.slice(Math.max(0, at - BEFORE), at));
  return found;
}
