/**
 * Rejection sampling (R1, arXiv 2501.12948, sections 2.3.1 and 2.3.3): completions are sampled from a model, and those that
 * are right and readable become rows that a later stage trains on.
 */
import { sumWork, type Work, workSince } from "../ledger/work.ts";
import { UserError } from "../lib/errors.ts";
import type { Value } from "../runtime/value.ts";
import { Sampler } from "../sample/sampler.ts";
import { askedIn, languageOf } from "../tasks/language.ts";
import type { Problem, Task } from "../tasks/problem.ts";
import { unreadable } from "../tasks/readable.ts";
import { Meter } from "./meter.ts";
import { type SampleOptions, sampleSteps } from "./options.ts";
import { type Group, groupRecord, rollout, rolloutMetrics, type Sample, shown } from "./rollout.ts";
import type { Model, Stage, StageContext, StageSnapshot, StepReport, TrainedAdapter } from "./stage.ts";
import { TeacherAnswers } from "./teacher-answers.ts";

/** A row of the file: what `data: { kind: jsonl }` reads, and where it is from. */
export interface SampledRow {
  prompt: string | NonNullable<Problem["messages"]>;
  completion: string | NonNullable<Problem["messages"]>;
  problem: string;
}

/** A completion that is kept, as a row: for a chat model as messages, so that its template is applied in training. */
export function rowOf({ id, prompt, messages }: Problem, { text }: Pick<Sample, "text">): SampledRow {
  if (messages === undefined) return { prompt, completion: text, problem: id };
  return { prompt: messages, completion: [{ role: "assistant", content: text }], problem: id };
}

/** The rules that a stage's `keep` names. */
type Rules = SampleOptions["keep"];

/** Why a completion is not kept; `null` if it is. */
export function rejected(
  problem: Problem,
  sample: Sample,
  { right, readable, language }: Rules,
): string | null {
  if (sample.reward === null && sample.verdict.value === null) return "unscored";
  if (right && sample.verdict.value !== 1) return "wrong";
  if (!readable) return null;
  const target = language === "prompt" ? languageOf(askedIn(problem)) : (language ?? null);
  return unreadable({ ...sample, finished: sample.finish === "stop" }, target);
}

/** Of a group, the completions that are kept: different ones, the shortest first, at most `perProblem`. */
export function keptOf({ problem, samples }: Group, rules: Rules): Sample[] {
  const kept = samples.filter((sample) => rejected(problem, sample, rules) === null);
  const different = [...new Map(kept.map((sample) => [sample.text, sample])).values()];
  return different.sort((a, b) => a.tokens - b.tokens).slice(0, rules.perProblem);
}

interface State {
  done: number;
  rows: number;
  /** Completions that were not kept, by reason. */
  reasons: Record<string, number>;
}

/** Each step asks some problems, and yields rows. */
export class SampleStage implements Stage {
  totalSteps: number;
  done: number;
  private rows: number;
  private readonly reasons: State["reasons"];
  private readonly parts: { model: Model; task: Task; options: SampleOptions; seed: number };
  /** What answers: the model, or a teacher's endpoint. */
  private readonly source: Sampler | TeacherAnswers;

  private constructor(
    parts: SampleStage["parts"],
    source: Sampler | TeacherAnswers,
    { done, rows, reasons }: State,
  ) {
    this.parts = parts;
    this.source = source;
    this.totalSteps = sampleSteps(parts.options);
    this.done = done;
    this.rows = rows;
    this.reasons = { ...reasons };
  }

  static async create(
    model: Model,
    task: Task,
    options: SampleOptions,
    { seed, engine }: StageContext,
    resume?: StageSnapshot,
    answersFile?: string,
  ): Promise<SampleStage> {
    if (task.environment !== undefined)
      throw new UserError({
        kind: "stage",
        what: `the task ${task.name} is an environment of several turns, and rows hold one completion`,
        remedy: "Sample from a task of one turn; reinforcement learning takes environments.",
        data: { path: ["task"] },
      });
    const { teacher } = options;
    if (teacher !== undefined && answersFile === undefined)
      throw new RangeError("a teacher's answers are written to a file");
    const source =
      teacher === undefined
        ? await Sampler.create(model.config, engine)
        : new TeacherAnswers(teacher, answersFile as string);
    const state = (resume?.state as State | undefined) ?? { done: 0, rows: 0, reasons: {} };
    return new SampleStage({ model, task, options, seed }, source, state);
  }

  async advance(): Promise<StepReport> {
    const { problems, problemsPerStep, keep } = this.parts.options;
    const before = this.work();
    const first = this.done * problemsPerStep;
    const count = Math.min(problemsPerStep, problems - first);
    const { groups, failed, over } = await this.ask(Array.from({ length: count }, (_, i) => first + i));
    const meter = new Meter(["kept/problems", "kept/completions"]);
    const rows = groups.flatMap((group) => {
      const kept = keptOf(group, keep);
      meter.mean("kept/problems", kept.length > 0 ? 1 : 0);
      for (const sample of group.samples) {
        const reason = rejected(group.problem, sample, keep);
        meter.mean("kept/completions", reason === null ? 1 : 0);
        if (reason === null) continue;
        meter.sum(`rejected/${reason.replace(" ", "-")}`, 1);
        this.reasons[reason] = (this.reasons[reason] ?? 0) + 1;
      }
      return kept.map((sample) => rowOf(group.problem, sample));
    });
    this.done++;
    if (over) this.totalSteps = this.done;
    this.rows += rows.length;
    if (this.done === this.totalSteps && this.rows === 0) throw this.nothingKept();
    const records = groups.map((group) => ({ group, advantages: group.samples.map(() => 0) }));
    return {
      metrics: { ...rolloutMetrics(groups), ...meter.metrics(), rows: this.rows },
      groups: shown(records).map((one) => groupRecord(one.group, one.advantages)),
      notices: this.noticesOf(failed, over),
      rows,
      ...workSince(this.work(), before),
    };
  }

  /** Groups of completions, and where a teacher gave them: failed requests, and whether the budget is spent. */
  private async ask(indices: number[]): Promise<{ groups: Group[]; failed: number; over: boolean }> {
    const { model, task, options, seed } = this.parts;
    const { samples: groupSize } = options;
    const { source } = this;
    if (source instanceof TeacherAnswers) {
      const problems = indices.map((index) => task.generate({ seed, split: "train", index }));
      return { ...(await source.groups(task, problems, options)), over: source.over };
    }
    const settings = { ...options, groupSize, seed, sampling: options, rewards: [] };
    const asked = { ...model, generate: source.with(model.parameters) };
    return { groups: await rollout(asked, task, indices, settings), failed: 0, over: false };
  }

  private noticesOf(failed: number, over: boolean): string[] {
    const { steps, done } = { steps: sampleSteps(this.parts.options), done: this.done };
    return [
      ...(failed > 0
        ? [
            `${failed} requests to the teacher failed after all attempts; their problems have fewer completions.`,
          ]
        : []),
      ...(over && done < steps
        ? [`The teacher's budget is spent after ${done} of ${steps} steps: the stage ends with what it has.`]
        : []),
    ];
  }

  /** The next stage would have nothing to train on. */
  private nothingKept(): UserError {
    const { problems, samples } = this.parts.options;
    const reasons = Object.entries(this.reasons).map(([reason, count]) => `${reason} ${count}`);
    return new UserError({
      kind: "stage",
      what: `none of ${problems * samples} completions of ${problems} problems was kept (rejected: ${reasons.join(", ")})`,
      remedy: "Train the model further before, ask easier problems, or loosen keep.",
      data: { path: ["keep"] },
    });
  }

  parameters(): ReadonlyMap<string, Value> {
    return this.parts.model.parameters;
  }

  work(): Work {
    return this.source instanceof TeacherAnswers ? sumWork() : sumWork(this.source.work);
  }

  snapshot(): StageSnapshot {
    return {
      tensors: new Map(),
      state: { done: this.done, rows: this.rows, reasons: this.reasons } satisfies State,
    };
  }

  adapter(): TrainedAdapter | null {
    return null;
  }

  async release(): Promise<void> {
    if (this.source instanceof TeacherAnswers) this.source.close();
    else await this.source.release();
  }
}
