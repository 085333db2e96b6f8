/** Completions to the same problems before and after RL, side by side with their verdicts. */
import { bracket } from "../../eval/compare.ts";
import type { EvaluationRecord, GroupRecord, SampleRecord } from "../../events.ts";
import { asks } from "../../recipe/schema.ts";
import type { RunData } from "../reader.ts";
import { htmlText } from "./markdown-text.ts";

const PAIRS = 4;
/** Characters of a completion that are shown; the middle of a longer one is left out. */
const LONGEST = 900;

/** Markdown, or a sentence that says what is missing. */
export function answersSection(run: RunData): string {
  const compared = bracket(run.evaluations);
  const pairs = compared === null ? [] : pairUp(...compared);
  if (pairs.length > 0) {
    const tables = pairs.map(([before, after]) => table(before, after, "Before RL", "After RL"));
    return `The first held-out problems, answered before and after.\n\n${tables.join("\n\n")}`;
  }
  const names = new Set(run.recipe.stages.filter((stage) => asks(stage)).map(({ name }) => name));
  const lines = run.samples.filter(({ stage }) => names.has(stage));
  const [first, last] = [lines[0], lines.at(-1)];
  if (first === undefined || last === undefined) return "No completions were recorded.";
  const tables = first.groups.slice(0, PAIRS).flatMap((group, index) => {
    const other = last.groups[index];
    return other === undefined ? [] : [table(group, other, `Step ${first.step}`, `Step ${last.step}`)];
  });
  return `Training problems from the first and the last recorded step: the problems differ.\n\n${tables.join("\n\n")}`;
}

function pairUp(before: EvaluationRecord, after: EvaluationRecord): [GroupRecord, GroupRecord][] {
  return (before.examples ?? []).slice(0, PAIRS).flatMap((group): [GroupRecord, GroupRecord][] => {
    const other = after.examples?.find(({ problem }) => problem === group.problem);
    return other === undefined ? [] : [[group, other]];
  });
}

/** HTML, because Markdown tables cannot hold lines; blank lines would end the block. */
function table(before: GroupRecord, after: GroupRecord, left: string, right: string): string {
  const same = before.problem === after.problem;
  const prompts = same
    ? `<tr><td colspan="2">${cell(before.prompt)}</td></tr>`
    : row(cell(before.prompt), cell(after.prompt));
  return [
    "<table>",
    `<tr><th>${left}</th><th>${right}</th></tr>`,
    prompts,
    row(answer(before.samples[0]), answer(after.samples[0])),
    "</table>",
  ].join("\n");
}

const row = (left: string, right: string): string =>
  `<tr><td valign="top">${left}</td><td valign="top">${right}</td></tr>`;

function answer(sample: SampleRecord | undefined): string {
  if (sample === undefined) return "no completion";
  const { value, reason } = sample.verdict;
  const mark = value === null ? "unscored" : value === 1 ? "right" : "wrong";
  const why = reason === mark ? "" : `: ${htmlText(reason)}`;
  return `${cell(sample.completion)}<br><b>${mark}</b>${why} (${sample.tokens} tokens)`;
}

function cell(text: string): string {
  const half = LONGEST / 2;
  const left = `${text.slice(0, half)} [... ${text.length - LONGEST} characters ...] ${text.slice(-half)}`;
  return `<code>${htmlText(text.length > LONGEST ? left : text)}</code>`;
}
