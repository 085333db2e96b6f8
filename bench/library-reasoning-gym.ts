/**
 * The rows `library/agree-with-reasoning-gym` and `library/same-answers-as-reasoning-gym`: our verdicts beside those of
 * reasoning-gym's own `score_answer`, on the same answers to the same problems, for every family that both have.
 */
import { Random } from "../src/lib/random.ts";
import type { Problem, Task } from "../src/tasks/problem.ts";
import { type TaskInput, taskFrom } from "../src/tasks/registry.ts";
import { type Asked, commonMisses, SHARED, type SharedFamily } from "./library-answers.ts";
import { Peer } from "./peer.ts";
import type { Row } from "./rows.ts";

/** Answers of each family. A problem gets a right answer, the answer of another problem and a near-miss. */
const PAIRS = 500;
const PROBLEMS = Math.ceil(PAIRS / 3);

/** An answer in our notation, and in theirs. */
interface Pair {
  problem: Asked<unknown> & Problem;
  text: string;
  written: string;
}

/** A pair that both judged. */
interface Judged extends Pair {
  ours: boolean;
  reason: string;
  /** `score_answer`'s, from 0 to 1. */
  score: number;
}

export async function agreeWithReasoningGym(): Promise<Row[]> {
  const verdicts = { name: "library/agree-with-reasoning-gym", unit: "of the verdicts", atLeast: 0.99 };
  const answers = { name: "library/same-answers-as-reasoning-gym", unit: "of its own answers" };
  const peer = await Peer.python("reasoning_gym_scores.py", []);
  if (peer === null) {
    const note = "skipped: the peer is not installed";
    return [verdicts, answers].map((row) => ({ ...row, value: Number.NaN, note }));
  }
  const counts: string[] = [];
  let [agreed, all, unexplained, same, known] = [0, 0, 0, 0, 0];
  for (const family of SHARED) {
    const { kind } = family;
    const { judged, own } = await judge(peer, family);
    const differing = judged.filter(({ ours, score }) => ours !== (score === 1));
    for (const { problem, text, ours, reason, score } of differing) {
      const why = ours ? null : (VERDICT_REASONS[kind]?.(text) ?? null);
      if (why === null) unexplained++;
      const both = `ours ${ours ? 1 : 0} (${reason}), theirs ${score}`;
      console.error(`${kind}: ${shown(problem.data)}, answered ${shown(text)}: ${both}: ${why ?? "?"}`);
    }
    const others = own.filter(({ problem, label }) => label !== problem.answer);
    for (const { problem, label } of others) {
      const both = `ours ${problem.answer}, theirs ${label}`;
      console.error(`${kind}: ${shown(problem.data)}: ${both}: ${ANSWER_REASONS[kind] ?? "?"}`);
    }
    counts.push(`${kind} ${judged.length - differing.length} of ${judged.length}`);
    agreed += judged.length - differing.length;
    all += judged.length;
    same += own.length - others.length;
    known += own.length;
  }
  await peer.quit();
  return [
    { ...verdicts, value: agreed / all, note: `${counts.join(", ")}; ${unexplained} not explained` },
    { ...answers, value: same / known, note: `${same} of ${known} problems` },
  ];
}

/** Why reasoning-gym's scorer accepts an answer that is wrong for us. */
const VERDICT_REASONS: Record<string, (text: string) => string | null> = {
  countdown: (text) => (text.includes("**") ? "it counts powers, which are not in the game" : null),
  "knights-and-knaves": () => "it skips all words that are neither a role nor stand before one",
  "word-sorting": () => "it compares as many words as there are, and ignores those that follow",
  "graph-coloring": () => "it ignores vertices that the graph does not have",
};

/** Why its own answers differ. */
const ANSWER_REASONS: Record<string, string> = {
  syllogism: "it takes an undistributed middle for valid (open-thought/reasoning-gym#536)",
  "family-relationships":
    "it gives nieces and nephews the other person's sex, and names in-laws the wrong way round (open-thought/reasoning-gym#535)",
};

const shown = (value: unknown): string => JSON.stringify(value).slice(0, 400);

type AskedTask = Task<Asked<unknown> & Problem>;

function taskOf({ kind }: SharedFamily<unknown>, levels: readonly number[]): AskedTask {
  const options =
    kind === "countdown" ? { numbers: levels } : levels.length > 0 ? { difficulty: levels } : {};
  return taskFrom({ kind, ...options } as TaskInput) as unknown as AskedTask;
}

/** As many of each level; countdown's levels are how many numbers there are. */
function problemsOf(family: SharedFamily<unknown>): (Asked<unknown> & Problem)[] {
  const { kind, levels, problems, has } = family;
  if (problems !== undefined) {
    const { solve } = taskOf(family, []);
    return Array.from({ length: PROBLEMS }, (_, i) => {
      const { data } = problems[i % problems.length]!;
      const problem = { id: "", prompt: "", data, answer: "" };
      return { ...problem, answer: solve!(problem) };
    });
  }
  const found: (Asked<unknown> & Problem)[] = [];
  for (let index = 0; found.length < PROBLEMS; index++) {
    const drawn = taskOf(family, [levels[index % levels.length]!]).generate({
      seed: 1,
      split: "test",
      index,
    });
    const problem = kind === "countdown" ? withSolution(drawn) : drawn;
    if (has?.(problem) ?? true) found.push(problem);
  }
  return found;
}

/** Countdown's problem has its data and its answer under other names. */
function withSolution(problem: Problem): Asked<unknown> & Problem {
  const { numbers, target, solution } = problem as Problem & {
    numbers: number[];
    target: number;
    solution: string;
  };
  return { ...problem, data: { numbers, target }, answer: solution };
}

function pairsOf(family: SharedFamily<unknown>, problems: (Asked<unknown> & Problem)[]): Pair[] {
  return problems.flatMap((problem, i) => {
    const random = new Random(1, "reasoning-gym", family.kind, i);
    const other = random.pick(problems.filter(({ answer }) => answer !== problem.answer));
    const texts = [
      random.pick([problem.answer, ...(family.alsoRight?.(problem) ?? [])]),
      other.answer,
      random.pick([...family.nearMisses(problem, random), ...commonMisses(problem.answer, other.answer)]),
    ];
    return texts.map((text) => ({ problem, text, written: family.written?.(text, problem) ?? text }));
  });
}

/** All pairs of a family as both judge them, and the answers that reasoning-gym's own code finds. */
async function judge(peer: Peer, family: SharedFamily<unknown>) {
  const { kind } = family;
  const problems = problemsOf(family);
  const pairs = pairsOf(family, problems).slice(0, PAIRS);
  const asked = problems.map((problem) => ({
    ...{ data: problem.data, answer: problem.answer },
    texts: pairs.filter((pair) => pair.problem === problem).map(({ written }) => written),
  }));
  const { scores, labels } = (await peer.ask(JSON.stringify({ kind, problems: asked }))) as {
    scores: number[][];
    labels: (string | null)[];
  };
  const task = taskOf(family, family.levels);
  const theirs = scores.flat();
  const judged = pairs.map((pair, i): Judged => {
    const { value, reason } = task.verify(pair.problem, `</think><answer>${pair.text}</answer>`);
    return { ...pair, ours: value === 1, reason, score: theirs[i] };
  });
  const own = problems.flatMap((problem, i) => (labels[i] === null ? [] : [{ problem, label: labels[i] }]));
  return { judged, own };
}
