/** An evaluation: distinct problems, k completions each, scores with intervals, and the truth of the thoughts. */
import type { EvaluationRecord, GroupRecord, ProblemTally } from "../events.ts";
import { userError } from "../lib/errors.ts";
import type { InferenceModel } from "../sample/inference.ts";
import type { Sampling } from "../sample/sampling.ts";
import { judgeAgain } from "../tasks/conversation.ts";
import { extract } from "../tasks/extract.ts";
import { askedIn, languageOf, languageShare } from "../tasks/language.ts";
import type { ListPart, Problem, Task, Verdict } from "../tasks/problem.ts";
import { unreadable } from "../tasks/readable.ts";
import { validityByPosition } from "../tasks/steps.ts";
import { verdictsOf } from "../tasks/verdict.ts";
import { type Completion, type SampleHooks, sampleCompletions } from "./completions.ts";
import { meanInterval } from "./interval.ts";
import { chooseProblems, type EvaluatedProblem } from "./problems.ts";
import { type Majority, majority, passAt1, passCurve } from "./statistics.ts";

/** Which problems are asked, how many completions each, and how they are sampled. */
export interface EvaluateOptions extends Pick<SampleHooks, "maxBatch" | "signal"> {
  label: string;
  seed: number;
  /** A split, or all problems of a list. */
  split: ListPart;
  /** Number of distinct problems; absent: all of a list. */
  problems?: number;
  samples: number;
  sampling: Sampling;
  maxNewTokens: number;
  /** The thinking effort that the problems are asked at. */
  effort?: number;
}

/** Problems whose completions are kept, to be read and to be compared between evaluations. */
const EXAMPLES = 6;

/** Characters of a problem's most frequent answer that a tally keeps. */
const ANSWER_LIMIT = 80;

/** @throws UserError if there are fewer problems than asked for, or none can be scored */
export async function evaluate(
  model: InferenceModel,
  task: Task,
  { label, split, problems, maxBatch, signal, effort, ...settings }: EvaluateOptions,
): Promise<{ record: EvaluationRecord; examples: GroupRecord[]; flops: number; tokens: number }> {
  const chosen = chooseProblems(task, { seed: settings.seed, part: split, problems, effort });
  const sampling = { ...settings, part: split, task };
  const { completions, flops, tokens } = await sampleCompletions(model, chosen, sampling, {
    maxBatch,
    signal,
  });
  const verdicts = await verifyCompletions(task, chosen, completions);
  const record = evaluationRecord(chosen, completions, verdicts, {
    ...{
      label,
      task: task.name,
      stepName: task.stepName ?? null,
      samples: settings.samples,
      temperature: settings.sampling.temperature,
      ...(effort !== undefined && { effort }),
    },
  });
  return { record, examples: record.examples ?? [], flops, tokens };
}

interface Verified {
  completion: Completion;
  verdict: Verdict;
}

/** A verdict for each completion; a verifier that may hang runs in threads that can be ended. */
export async function verifyCompletions(
  task: Pick<Task, "verify" | "verifyAll" | "environment">,
  problems: readonly EvaluatedProblem[],
  completions: readonly Completion[],
): Promise<Verdict[]> {
  const known = new Map(problems.map(({ problem }) => [problem.id, problem]));
  const problemOf = ({ problem }: Completion): Problem => known.get(problem) as Problem;
  if (task.environment === undefined)
    return verdictsOf(
      task,
      completions.map((one) => ({ problem: problemOf(one), completion: one.text })),
    );
  const items = completions.map((one) => ({
    ...{ problem: problemOf(one), completions: one.turns ?? [one.text] },
    cut: one.finish === "length",
  }));
  return (await judgeAgain(task.environment, items)).map(({ verdict }) => verdict);
}

/**
 * The record of verified completions. Completions without a score are left out of pass@1, pass@k and maj@k, and so are
 * problems without any scored completion.
 * @throws UserError where nothing has a score
 */
export function evaluationRecord(
  problems: readonly EvaluatedProblem[],
  completions: readonly Completion[],
  verdicts: readonly Verdict[],
  {
    samples,
    ...named
  }: { label: string; task: string; stepName?: string | null; samples: number } & Pick<
    EvaluationRecord,
    "temperature" | "effort"
  >,
): EvaluationRecord {
  const byProblem = new Map<string, Verified[]>();
  const verified = completions.map((completion, i) => {
    const one = { completion, verdict: verdicts[i] as Verdict };
    const others = byProblem.get(completion.problem);
    if (others === undefined) byProblem.set(completion.problem, [one]);
    else others.push(one);
    return one;
  });
  const asked = problems.filter(({ problem }) => byProblem.has(problem.id));
  const groups = asked.map((chosen) => ({
    chosen,
    verified: byProblem.get(chosen.problem.id) as Verified[],
  }));
  const results = groups.map(({ chosen, verified: own }) => tallied(chosen.key, own));
  const tallies = results.map(({ tally }) => tally);
  const scores = tallies.map(({ right, wrong, unparsed }) => ({ right, samples: right + wrong + unparsed }));
  const score = passAt1(scores);
  if (score.problems === 0)
    throw userError(
      "evaluation",
      `No completion has a score: ${verified[0]?.verdict.reason ?? "there is none"}.`,
      "See the task's right answers and its verifier.",
    );
  const votes = results.flatMap(({ vote }, i) => (scores[i]!.samples === 0 ? [] : [vote.score]));
  // A problem in several rows of a list has several completions, even if each row has one.
  const voted = tallies.some((tally) => tally.right + tally.wrong + tally.unparsed + tally.unscored > 1);
  const steps = verified.flatMap(({ completion }) => completion.steps);
  const count = (kind: Verdict["kind"]): number =>
    verified.filter(({ verdict }) => verdict.kind === kind).length;
  return {
    ...named,
    problems: asked.length,
    samplesPerProblem: samples,
    passAt1: score.mean,
    interval: score.interval,
    majAtK: !voted ? null : votes.reduce((sum, vote) => sum + vote, 0) / votes.length,
    majInterval: !voted ? null : meanInterval(votes),
    passAtK: passCurve(scores),
    counts: {
      ...{ right: count("right"), wrong: count("wrong") },
      ...{ unparsed: count("unparsed"), unscored: count("unscored") },
    },
    thoughtValidity: steps.length === 0 ? null : steps.filter(({ holds }) => holds).length / steps.length,
    validityByPosition: validityByPosition(completions),
    ...readability(verified, new Map(problems.map(({ problem }) => [problem.id, problem]))),
    meanTokens: completions.reduce((total, { tokens }) => total + tokens, 0) / completions.length,
    truncated: completions.filter(({ finish }) => finish === "length").length / completions.length,
    tallies,
    examples: groups.slice(0, EXAMPLES).map(({ chosen, verified: own }) => example(chosen.problem, own)),
  };
}

function readability(
  verified: readonly Verified[],
  problems: ReadonlyMap<string, Problem>,
): Pick<EvaluationRecord, "readable" | "language"> {
  const read = verified.map(({ completion, verdict }) => {
    const language = languageOf(askedIn(problems.get(completion.problem) as Problem));
    const { text, finish, steps } = completion;
    const { thought } = extract(text, { thoughtOpen: true });
    return {
      reason: unreadable({ text, verdict, finished: finish === "stop", steps }, language),
      share: language === null ? null : languageShare(thought, language),
    };
  });
  const shares = read.flatMap(({ share }) => share ?? []);
  return {
    readable: read.filter(({ reason }) => reason === null).length / read.length,
    language: shares.length === 0 ? null : shares.reduce((sum, share) => sum + share, 0) / shares.length,
  };
}

function tallied(key: string, verified: readonly Verified[]): { tally: ProblemTally; vote: Majority } {
  const tally: ProblemTally = { key, right: 0, wrong: 0, unparsed: 0, unscored: 0, answer: null };
  for (const { verdict } of verified) tally[verdict.kind]++;
  const vote = majority(
    verified
      .filter(({ verdict }) => verdict.kind !== "unscored")
      .map(({ verdict }) => ({ answer: verdict.canonical, right: verdict.kind === "right" })),
  );
  tally.answer = vote.answer?.slice(0, ANSWER_LIMIT) ?? null;
  return { tally, vote };
}

function example({ id, prompt }: Problem, verified: readonly Verified[]): GroupRecord {
  return {
    problem: id,
    prompt,
    samples: verified.map(({ completion, verdict }) => ({
      completion: completion.text,
      tokens: completion.tokens,
      verdict,
      reward: verdict.value,
      advantage: 0,
    })),
  };
}
