/** The teachers of on-policy distillation: what each thinks of the student's rollouts. */
import type { ModelShape } from "../checkpoint/folder.ts";
import { RunFlops } from "../graph/run-flops.ts";
import { sumWork, type Work } from "../ledger/work.ts";
import type { ModelConfig } from "../models/architectures.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Session } from "../runtime/session.ts";
import type { Value } from "../runtime/value.ts";
import type { Task } from "../tasks/problem.ts";
import { type estimates, traceTeacher } from "./distill-loss.ts";
import type { Model } from "./stage.ts";
import type { Feeds } from "./step.ts";

/** A frozen model whose distribution the student is drawn to. */
export interface Teacher {
  /** Labels its metrics. */
  name: string;
  model: Model;
  /** Of its divergence in the loss. */
  weight: number;
  /** The task whose problems it alone judges; `null`: it judges all problems. */
  task: Task | null;
}

/** A task of the student, and who judges its completions. */
export interface Domain<T = Task, Judge = Teacher> {
  name: string;
  task: T;
  judges: Judge[];
}

/**
 * The tasks that a student is asked: that of each teacher that has one, and the general one where some teacher has none. A
 * teacher without a task judges all of them.
 */
export function domainsOf<T, Judge extends { name: string; task: T | null }>(
  teachers: readonly Judge[],
  general: { name: string; task: T },
): Domain<T, Judge>[] {
  const ofAll = teachers.filter(({ task }) => task === null);
  const own = teachers.flatMap((teacher) =>
    teacher.task === null ? [] : [{ name: teacher.name, task: teacher.task, judges: [teacher, ...ofAll] }],
  );
  return ofAll.length === 0 ? own : [...own, { ...general, judges: ofAll }];
}

/**
 * Where the vocabulary of a teacher is not the student's, in words that name the field; `null` where they are equal. A
 * divergence over a vocabulary compares the same tokens at the same ids.
 */
export function vocabularyDifference(student: ModelShape, teacher: ModelShape): string | null {
  const sizes = [student, teacher].map(({ config }) => config.vocabSize);
  if (sizes[0] !== sizes[1]) return `its vocabSize is ${sizes[1]}, and the student's is ${sizes[0]}`;
  const known = Math.max(student.tokenizer.vocabSize, teacher.tokenizer.vocabSize);
  for (let id = 0; id < known; id++) {
    const [own, other] = [student, teacher].map(({ tokenizer }) =>
      id < tokenizer.vocabSize ? JSON.stringify(tokenizer.decode([id])) : "absent",
    );
    if (own !== other) return `token ${id} of its tokenizer is ${other}, and the student's is ${own}`;
  }
  return null;
}

interface Program {
  session: Session;
  flops: RunFlops;
}

/**
 * Log-probabilities of teachers over the full vocabulary. A teacher runs in a forward graph of its own, and its result is fed
 * to the student's: then teachers may be of any shape and number, each judges its own problems alone, and the activations of
 * one model are in memory at a time. What stays is [tokens, vocab] of each judge of a micro-batch, the size of the student's
 * own logits.
 */
export class TeacherForward {
  private readonly engine: Engine;
  private readonly estimate: keyof typeof estimates;
  /** Teachers of one shape share a program, since its parameters are fed. */
  private readonly programs = new Map<string, Promise<Program>>();
  /** Work so far; padding does not count as scored. */
  work: Work = sumWork();

  constructor(engine: Engine, estimate: keyof typeof estimates) {
    this.engine = engine;
    this.estimate = estimate;
  }

  /** See `traceTeacher`; the temperature is in the feeds. @param scored tokens that are not padding */
  async logProbs({ model }: Teacher, feeds: Feeds, scored: number): Promise<Value> {
    const { session, flops } = await this.program(model.config);
    const all = { ...Object.fromEntries(model.parameters), ...feeds };
    const { logProbs } = await session.run(all);
    this.work = sumWork(this.work, { flops: flops.of(all), scored });
    return logProbs;
  }

  private program(config: ModelConfig): Promise<Program> {
    const key = JSON.stringify(config);
    const known = this.programs.get(key);
    if (known !== undefined) return known;
    const graph = traceTeacher(config, this.estimate);
    const made = this.engine
      .session(graph, "teacher")
      .then((session) => ({ session, flops: new RunFlops(graph) }));
    this.programs.set(key, made);
    return made;
  }

  /** Frees the sessions' memory for the student's update. */
  async rest(): Promise<void> {
    for (const program of this.programs.values()) await (await program).session.rest();
  }

  async release(): Promise<void> {
    for (const program of this.programs.values()) await (await program).session.release();
  }
}
