/** `sputnik task try FILE`: what a task asks, how it judges, how fast it is, and whether an attack gets past its verifier. */
import color from "picocolors";
import { usageError } from "../lib/errors.ts";
import { readText } from "../lib/text-file.ts";
import { type AttackResult, attackTask } from "../tasks/attacks.ts";
import { type Conversation, judgeAgain } from "../tasks/conversation.ts";
import { isModuleFile, type ModuleInput, moduleOptions, moduleTask } from "../tasks/module-task.ts";
import { answerTo, completionWith, probeTask } from "../tasks/probe.ts";
import type { Problem, Task, Verdict } from "../tasks/problem.ts";
import { printable, printableJson } from "./printable.ts";
import { note, percent, short, table } from "./screen.ts";

export interface TryOptions extends Partial<Pick<ModuleInput, "difficulty" | "template" | "timeLimit">> {
  /** JSON for a file whose default export is a function. */
  options?: string;
  seed?: number;
  problems?: number;
  /** Judged against the first problem; for an environment, those of one conversation about it. */
  completion?: string[];
  /** A file that holds one completion. */
  completionFile?: string[];
  json?: boolean;
}

/** Problems that are shown, and that the attacks are tried on. */
const [SHOWN, ATTACKED] = [3, 20];
/** Characters of a completion on the screen. */
const WIDTH = 70;

/** Sets the exit code 1 where an attack passes. @throws UserError where the file is at fault, naming the line */
export async function tryTask(file: string, options: TryOptions): Promise<void> {
  if (!isModuleFile(file))
    throw usageError(
      `${file} is no file of a task: expected TypeScript or JavaScript.`,
      "Make one with: sputnik new task NAME",
    );
  const { seed = 1, problems: count = 200, json, difficulty, template, timeLimit } = options;
  const settings = { difficulty, template, timeLimit, options: optionsFrom(options.options) };
  const task = moduleTask(moduleOptions.parse({ kind: "module", module: file, ...settings }));
  const [problems, generating] = timed(() =>
    Array.from({ length: count }, (_, index) => task.generate({ seed, split: "train", index })),
  );
  const given = [
    ...(options.completion ?? []),
    ...(options.completionFile ?? []).map((path) => readText(path)),
  ];
  const { environment } = task;
  const talk = { problem: problems[0]!, completions: given, cut: false };
  const [conversation = null] =
    environment === undefined || given.length === 0 ? [] : await judgeAgain(environment, [talk]);
  const verdicts = (environment === undefined ? given : []).map((completion) => ({
    completion,
    verdict: task.verify(problems[0]!, completion),
  }));
  const warnings = probeTask(task, problems, Object.keys(task.rewards ?? {}));
  const known = problems.flatMap((problem) => {
    const answer = answerTo(task, problem);
    return answer === null ? [] : [{ problem, answer }];
  });
  const judged = known.length > 0 ? known : problems.map((problem) => ({ problem, answer: "?" }));
  const [solved, judging] = timed(() =>
    judged.map(({ problem, answer }) => task.verify(problem, completionWith(answer)).value ?? 0),
  );
  const attacks = attackTask(task, problems.slice(0, ATTACKED));
  const passed = attacks.filter((attack) => attack.passed + attack.failed > 0);
  const result = {
    name: task.name,
    problems: count,
    different: new Set(problems.map((problem) => task.content!(problem))).size,
    problemsPerSecond: count / generating,
    verdictsPerSecond: judged.length / judging,
    answers: task.solve !== undefined ? "solver" : known.length > 0 ? "answer" : null,
    right: known.length === 0 ? null : solved.reduce((sum, value) => sum + value, 0) / known.length,
    ...{ warnings, verdicts, attacks },
    ...(environment !== undefined && { maxTurns: environment.maxTurns, conversation }),
  };
  if (passed.length > 0) process.exitCode = 1;
  if (json) console.log(printableJson({ ...result, shown: problems.slice(0, SHOWN) }));
  else show(result, task, problems, passed);
}

function optionsFrom(text: string | undefined): Record<string, unknown> | undefined {
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = null;
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw usageError(`--options ${text} is no JSON object.`, `Write it as: --options '{"words": 3}'`);
}

/** The result, and the seconds that it took. */
function timed<T>(of: () => T): [T, number] {
  const start = performance.now();
  const result = of();
  return [result, (performance.now() - start) / 1000];
}

interface Result {
  problems: number;
  different: number;
  problemsPerSecond: number;
  verdictsPerSecond: number;
  answers: string | null;
  right: number | null;
  warnings: string[];
  verdicts: { completion: string; verdict: Verdict }[];
  /** Of an environment. */
  maxTurns?: number;
  conversation?: Conversation | null;
  attacks: AttackResult[];
}

function show(
  result: Result,
  task: Task,
  problems: readonly Problem[],
  passed: readonly AttackResult[],
): void {
  for (const problem of problems.slice(0, SHOWN)) {
    const answer = answerTo(task, problem);
    const messages = problem.messages?.map(({ role, content }) => `${role}: ${content}`);
    console.log(color.dim(printable(problem.id)));
    console.log(printable(messages?.join("\n") ?? problem.prompt.trimEnd()));
    console.log(answer === null ? "" : `${color.dim("right answer")} ${printable(answer)}\n`);
  }
  for (const { completion, verdict } of result.verdicts)
    console.log(`${clipped(completion)}\n${judged(verdict)}`);
  if (result.conversation) showConversation(result.conversation);
  const { answers, right, different, attacks } = result;
  const rows = [
    ["problems", `${result.problems}, ${different} different; ${short(result.problemsPerSecond)} a second`],
    ["verdicts", `${short(result.verdictsPerSecond)} a second`],
    ...(result.maxTurns === undefined ? [] : [["turns", `${result.maxTurns} at most`]]),
    ...(right === null
      ? []
      : [[answers === "solver" ? "its solver" : "its answer", `${percent(right, 1)} right`]]),
    ["attacks", `${attacks.length - passed.length} of ${attacks.length} refused`],
  ];
  console.log(table([printable(task.name), ""], rows));
  if (right === null)
    note(
      "no right answer is known (solve, or a problem's answer): attacks that mix it with others were left out",
    );
  for (const warning of result.warnings) note(warning);
  for (const { attack, tried, passed: accepted, failed, example } of passed) {
    const what = accepted > 0 ? `accepted on ${accepted}` : `verify failed on ${failed}`;
    console.log(
      `\n${color.red(attack)}: ${what} of ${tried} problems, such as ${printable(example!.problem)}`,
    );
    console.log(`  ${clipped(example!.completion)}\n  ${printable(example!.verdict.reason)}`);
  }
}

function showConversation({ completions, replies, verdict, turnLimit }: Conversation): void {
  for (const [i, completion] of completions.entries()) {
    console.log(clipped(completion));
    for (const { role, content } of replies[i] ?? [])
      console.log(`  ${color.dim(role)} ${printable(content)}`);
  }
  // The environment has the last word, and the next completion was not given.
  const goesOn = replies.length === completions.length && !turnLimit;
  console.log(goesOn ? color.dim("  it goes on: give a further completion\n") : judged(verdict));
}

const judged = ({ kind, value, reason }: Verdict): string =>
  `  ${color.bold(kind)} ${value}: ${printable(reason)}\n`;

function clipped(text: string): string {
  const line = JSON.stringify(text);
  return printable(line.length <= WIDTH ? line : `${line.slice(0, WIDTH)}… (${text.length} characters)`);
}
