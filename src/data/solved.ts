/** Solved problems of a task as documents: the prompt as training and evaluation ask it, then a right completion. */
import { isUserError, UserError } from "../lib/errors.ts";
import { Random } from "../lib/random.ts";
import type { Problem } from "../tasks/problem.ts";
import { type TaskOptions, taskFrom } from "../tasks/registry.ts";
import { solvedCompletion } from "../tasks/solved.ts";
import { chatOf } from "../tokenizer/chat.ts";
import { chatDocuments } from "./chat-example.ts";
import { plainDocument, type TextModel } from "./examples.ts";
import type { Document, DocumentSource } from "./packing.ts";
import { noChatTemplate } from "./prompt.ts";

/**
 * Problems of the training split, without end, a share `wrong` of them with another problem's answer. No problem of the validation and test splits is among them.
 * @throws UserError "task" where a problem has no right answer that its verifier accepts, or the model's vocabulary cannot
 *   write it; "chat-template" where the task asks for a chat, and the model has no template
 */
export function solvedDocuments(
  options: TaskOptions | undefined,
  model: TextModel,
  seed: number,
  wrong = 0,
): DocumentSource {
  if (options === undefined) throw new RangeError("neither the stage nor the recipe names a task");
  const task = taskFrom(options);
  return (index) => {
    const key = { seed, split: "train", index } as const;
    const problem = task.generate(key);
    const isWrong = new Random(seed, "wrong", index).uniform() < wrong;
    const answered = isWrong
      ? task.generate({ ...key, seed: new Random(seed, "other", index).uint32() })
      : problem;
    const completion = solvedCompletion(task, answered);
    try {
      return documentOf(problem, completion, model);
    } catch (error) {
      if (!isUserError(error, "input")) throw error;
      const what = error.message.replace(/\.$/, "");
      throw new UserError({ kind: "task", where: problem.id, what, cause: error });
    }
  };
}

function documentOf({ prompt, messages }: Problem, completion: string, model: TextModel): Document {
  if (messages === undefined) return plainDocument(model, prompt, completion);
  const chat = chatOf(model.tokenizerConfig ?? {});
  if (chat === null) throw noChatTemplate();
  const whole = [...messages, { role: "assistant" as const, content: completion }];
  return chatDocuments(model, chat, whole, messages.length)[0];
}
