/** What a GRPO stage remembers from step to step beside its parameters: its place in the problems, their level, what was learned. */
import { firstLevel, movedLevel } from "../tasks/curriculum.ts";
import type { Task } from "../tasks/problem.ts";
import { type LearningState, signalsFrom } from "./learning.ts";
import type { Group } from "./rollout.ts";
import { noneUnscored } from "./unscored.ts";

/** The state in a snapshot; checkpoints of older versions lack some of it. */
export interface ProgressState extends Partial<LearningState> {
  /** The next unused problem of the training stream. */
  nextProblem: number;
  /** Of the next problems; absent without a curriculum. */
  level?: number;
}

export class Progress {
  learning: LearningState;
  private nextProblem: number;
  private currentLevel: number | undefined;
  private readonly curriculum: Task["curriculum"];

  /** @param state of a snapshot that the stage continues */
  constructor(
    { curriculum }: Pick<Task, "curriculum">,
    {
      nextProblem = 0,
      level,
      idleSteps = 0,
      signals,
      unscored = noneUnscored(),
    }: Partial<ProgressState> = {},
  ) {
    this.curriculum = curriculum;
    this.nextProblem = nextProblem;
    this.currentLevel = curriculum && (level ?? firstLevel(curriculum));
    this.learning = { idleSteps, signals: signalsFrom(signals), unscored };
  }

  /** Indices of the next problems in the training stream. */
  draw(count: number): number[] {
    return Array.from({ length: count }, () => this.nextProblem++);
  }

  /** Of the next problems; `undefined` without a curriculum. */
  get level(): number | undefined {
    return this.currentLevel;
  }

  /** Follows the pass rate of a step. */
  moveLevel(groups: readonly Group[]): void {
    if (this.curriculum === undefined || this.currentLevel === undefined) return;
    const values = groups.flatMap(({ samples }) => samples.map(({ verdict }) => verdict.value));
    this.currentLevel = movedLevel(this.curriculum, this.currentLevel, values);
  }

  state(): ProgressState {
    return { nextProblem: this.nextProblem, level: this.currentLevel, ...this.learning };
  }
}
