/** Answers marked in other ways than by tags: LaTeX's `\boxed{…}` and GSM8K's `#### …`. */
import { trimBlanks } from "./extract.ts";

/** A blank before the brace is none in LaTeX, and older answers use the frame. */
const BOXES = ["\\boxed{", "\\boxed {", "\\fbox{"];

/**
 * The insides of all outermost `\boxed{…}`, in order. Braces are matched over the whole text in one pass;
 * `\{` and `\}` are no braces; a box that never closes is none.
 */
export function boxes(text: string): string[] {
  const found: { start: number; end: number }[] = [];
  /** One entry an open brace: where a box's inside begins, or -1. */
  const open: number[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "\\") {
      const box = BOXES.find((mark) => text.startsWith(mark, at));
      if (box) open.push(at + box.length);
      at += box ? box.length - 1 : 1;
    } else if (character === "{") open.push(-1);
    else if (character === "}") {
      const start = open.pop() ?? -1;
      if (start === -1) continue;
      while (found.length > 0 && found.at(-1)!.start > start) found.pop();
      found.push({ start, end: at });
    }
  }
  return found.map(({ start, end }) => trimBlanks(text.slice(start, end)));
}

/** The last complete box's inside, or `null`. */
export function boxed(text: string): string | null {
  return boxes(text).at(-1) ?? null;
}

/** What follows each `####`, to the end of its line. */
export function hashAnswers(text: string): string[] {
  return text.split("\n").flatMap((line) => line.split("####").slice(1).map(trimBlanks));
}

/** The answers that are not empty, unless all are: `\boxed{}` may quote the task, and `#### 42 ####` close the mark. */
export function filled(answers: string[]): string[] {
  const some = answers.filter((answer) => answer !== "");
  return some.length > 0 ? some : answers.slice(-1);
}

/** The line up to a token that ends a turn, such as `<|im_end|>` or `</s>`. */
export function beforeEndToken(line: string): string {
  return line.replace(/(?:<\||<\/s>).*$/, "");
}

/** The format rule of a chat, whose prompt asks for it: one `####`, on the last line. */
export function endsInAnswer(completion: string): boolean {
  const last = completion.trimEnd().split("\n").at(-1) as string;
  return completion.split("####").length === 2 && last.startsWith("####");
}

/** The last `#### …` of the text, or `null`. */
export function hashAnswer(text: string): string | null {
  return hashAnswers(text).at(-1) ?? null;
}
