/**
 * A run: the recipe's stages one after another, with everything it says written to its folder and told to `emit`, and a
 * checkpoint from which it resumes with the same numbers after any interruption.
 */
import { join } from "node:path";
import { type Model as ModelFiles, saveModel } from "../checkpoint/folder.ts";
import { saveAdapter } from "../checkpoint/peft.ts";
import { latestCheckpoint, loadCheckpoint, pruneCheckpoints, saveCheckpoint } from "../checkpoint/resume.ts";
import { asValues, readParameters } from "../checkpoint/values.ts";
import { evaluate } from "../eval/evaluate.ts";
import type { RunEvent } from "../events.ts";
import { BillBook, type Payer, payerOf } from "../ledger/bill.ts";
import { EnergyMeter } from "../ledger/energy.ts";
import { ratesFor } from "../ledger/prices.ts";
import { workSince } from "../ledger/work.ts";
import { isUserError } from "../lib/errors.ts";
import { allParameters } from "../models/architectures.ts";
import { countParameters } from "../models/layers.ts";
import type { Note } from "../recipe/check-data.ts";
import { initialModel, openModel } from "../recipe/model.ts";
import {
  inheritedBy,
  type ResolvedEvaluate,
  type ResolvedRecipe,
  type ResolvedStage,
  resolve,
  stageInfos,
} from "../recipe/resolve.ts";
import { type Recipe, trains } from "../recipe/schema.ts";
import { recipeWarnings } from "../recipe/validate.ts";
import { coreWatch } from "../runtime/contention.ts";
import type { Engine } from "../runtime/engine.ts";
import { matmulRate } from "../runtime/measure.ts";
import { Sampler } from "../sample/sampler.ts";
import { taskFrom } from "../tasks/registry.ts";
import { atStep } from "../train/diagnose.ts";
import type { Model, Stage as RunningStage, StageSnapshot, StepReport } from "../train/stage.ts";
import { spentIn } from "../train/teacher-answers.ts";
import type { FinishedStage, JournalPosition, RunFolder } from "./folder.ts";
import { writeReport } from "./report/report.ts";
import { codeHash, reuseStage, stageKeys } from "./reuse.ts";
import { createStage, modelFor, type Site } from "./stages.ts";

export interface RunHooks {
  emit: (event: RunEvent) => void;
  /** Asked after each step: true saves a checkpoint and stops. */
  shouldStop: () => boolean;
  engine: Engine;
  /** What the checks before the run have to say. */
  notes?: readonly Note[];
}

export type RunOutcome = "finished" | "stopped";

/** What a checkpoint says beside the tensors. */
interface RunState {
  /** Index of the stage to resume, and that stage's state (`null`: it has not begun). */
  stage: number;
  stageState: unknown;
  journals: JournalPosition;
}

/** Milliseconds between charges within a long step: a kill leaves at most so much unbilled. */
const CHARGE_EVERY = 5000;

/** One run in progress. */
export class Run {
  private readonly recipe: ResolvedRecipe;
  private readonly folder: RunFolder;
  private readonly hooks: RunHooks;
  private readonly site: Site;
  private readonly book: BillBook;
  private readonly meter: EnergyMeter | null;
  private model: Model;
  private matmulRate = 0;
  /** What each stage's product follows from, as a hash. */
  private readonly keys: string[];
  private finished: FinishedStage[] = [];
  /** When the last charge was made, by `performance.now`. */
  private clock: number;
  private payer: Payer;
  /** Why a charge between two steps could not be written. */
  private unwritten: unknown = null;
  private coresTaken = false;

  constructor(recipe: Recipe, folder: RunFolder, hooks: RunHooks) {
    this.recipe = resolve(recipe);
    this.folder = folder;
    this.hooks = hooks;
    this.meter = EnergyMeter.open();
    this.clock = performance.now();
    const rates = ratesFor({ hardware: recipe.hardware, measuresEnergy: this.meter !== null });
    this.book = new BillBook(rates, folder.info.sessions, folder.charges(), {
      inherited: inheritedBy(recipe),
    });
    for (const stage of this.recipe.stages) this.billTeacher(stage);
    this.keys = stageKeys(this.recipe, folder.info.versions, codeHash());
    this.payer = payerOf(recipe.stages[0].name);
    this.model = initialModel(recipe, this.recipe.shape);
    this.site = { recipe: this.recipe, folder, engine: hooks.engine };
  }

  /** Runs what is left of the recipe and writes the report. */
  async run(): Promise<RunOutcome> {
    const timer = setInterval(() => this.chargeMeanwhile(), CHARGE_EVERY).unref();
    try {
      return await this.runStages();
    } catch (error) {
      this.chargeMeanwhile();
      const { step } = this.payer;
      throw isUserError(error, "non-finite") && step !== null ? atStep(error, step) : error;
    } finally {
      clearInterval(timer);
    }
  }

  private async runStages(): Promise<RunOutcome> {
    const { recipe, folder, hooks } = this;
    folder.writeBill(this.book.bill());
    const stages = stageInfos(recipe);
    const start = this.restore();
    this.payer = payerOf((recipe.stages[start.stage] ?? recipe.stages[recipe.stages.length - 1]).name);
    hooks.emit({
      type: "run",
      name: folder.name,
      folder: folder.folder,
      seed: recipe.seed,
      parameters: countParameters(allParameters(this.model.config)),
      stages,
      startedAt: folder.info.startedAt,
      resumedAt: start.resumedStep,
    });
    for (const warning of recipeWarnings(recipe)) this.notice("warning", warning);
    for (const { level, message } of hooks.notes ?? []) this.notice(level, message);
    this.matmulRate = await matmulRate(hooks.engine);
    for (let index = start.stage; index < recipe.stages.length; index++) {
      hooks.emit({ type: "stage", index, stage: stages[index] });
      const snapshot = index === start.stage ? start.snapshot : undefined;
      const outcome = await this.runStage(index, snapshot);
      if (outcome === "finished") continue;
      folder.writeBill(this.book.bill());
      return "stopped";
    }
    this.charge();
    folder.finish(undefined, this.book.bill());
    const report = writeReport(folder.folder);
    hooks.emit({ type: "done", folder: folder.folder, report });
    return "finished";
  }

  /** The newest checkpoint's model and state, or the beginning. */
  private restore(): { stage: number; snapshot?: StageSnapshot; resumedStep: number | null } {
    const { folder } = this;
    if (!folder.resumed) return { stage: 0, resumedStep: null };
    const saved = latestCheckpoint(folder.paths.checkpoints, (message) => this.notice("warning", message));
    if (saved === null) {
      folder.truncateTo(null);
      return { stage: 0, resumedStep: null };
    }
    const { state, tensors, modelFolder } = loadCheckpoint(saved.path);
    const { stage, stageState, journals } = state as RunState;
    const gap = folder.truncateTo(journals);
    if (gap !== null) this.notice("warning", gap);
    this.model = openModel(modelFolder as string);
    this.finished = folder.finishedStages().slice(0, stage);
    for (const { reused } of this.finished) if (reused !== undefined) this.book.reuse(reused);
    const snapshot = stageState === null ? undefined : { tensors: asValues(tensors), state: stageState };
    return { stage, snapshot, resumedStep: saved.step };
  }

  private async runStage(index: number, snapshot?: StageSnapshot): Promise<RunOutcome> {
    const stage = this.recipe.stages[index];
    this.payer = payerOf(stage.name, 0);
    if (snapshot === undefined && this.reuse(index)) {
      await this.save(index + 1, 0, null);
      return "finished";
    }
    // A checkpoint within a stage that trains holds that stage's model.
    const model =
      snapshot !== undefined && trains(stage) ? this.model : modelFor(this.site, stage, this.model);
    if (stage.kind === "evaluate") {
      if ((await this.evaluate(stage, model)) === "stopped") return "stopped";
    } else {
      if (trains(stage)) this.model = model;
      const running = await createStage(this.site, stage, model, snapshot);
      this.payer.work = () => running.work();
      this.charge();
      try {
        const outcome = await this.advanceStage(index, stage, running);
        if (outcome === "stopped") return "stopped";
        await this.keepAdapter(stage.name, running);
        if (trains(stage)) await this.keepModel(stage.name);
      } finally {
        this.billTeacher(stage);
        await running.release();
      }
    }
    this.finished.push({ name: stage.name, key: this.keys[index] });
    await this.save(index + 1, 0, null);
    return this.hooks.shouldStop() && index + 1 < this.recipe.stages.length ? "stopped" : "finished";
  }

  /** Whether the stage's product could be taken over from a run beside this one. */
  private reuse(index: number): boolean {
    const { folder } = this;
    const stage = this.recipe.stages[index];
    const key = this.keys[index];
    const taken = folder.info.reuse === true ? reuseStage(folder, stage, key) : null;
    if (taken === null) return false;
    const { cost: reused, evaluation } = taken;
    if (evaluation !== undefined) this.hooks.emit({ type: "evaluation", evaluation });
    if (trains(stage)) this.model = openModel(join(folder.paths.models, stage.name));
    this.finished.push({ name: stage.name, key, reused });
    this.book.reuse(reused);
    this.notice(
      "info",
      `Stage ${stage.name} is taken from the run ${reused.run}: nothing that it follows from differs.`,
    );
    return true;
  }

  /** Saves the model of a training stage, where it is not the only one, for later stages and for people. */
  private async keepModel(name: string): Promise<void> {
    const { model, folder } = this;
    if (this.recipe.stages.filter(trains).length === 1) return;
    saveModel(join(folder.paths.models, name), await this.asFiles(model));
  }

  private async asFiles(model: Model): Promise<ModelFiles> {
    // What came with a model stays as it is.
    return { generation: { temperature: 0.6 }, ...model, parameters: await readParameters(model.parameters) };
  }

  private async advanceStage(
    index: number,
    options: ResolvedStage,
    stage: RunningStage,
  ): Promise<RunOutcome> {
    const { name } = options;
    const { everySteps } = this.recipe.checkpoint;
    const began = performance.now();
    const first = stage.done;
    while (stage.done < stage.totalSteps) {
      this.payer.step = stage.done + 1;
      const report = await stage.advance();
      this.charge(true);
      this.billTeacher(options);
      const secondsPerStep = (performance.now() - began) / 1000 / (stage.done - first);
      this.record(name, stage, report, secondsPerStep * (stage.totalSteps - stage.done));
      if (trains(options)) this.model = { ...this.model, parameters: stage.parameters() };
      const stopping = this.hooks.shouldStop();
      if (stage.done < stage.totalSteps && (stopping || stage.done % everySteps === 0)) {
        await this.save(index, stage.done, stage.snapshot());
        if (stopping) return "stopped";
      }
    }
    return "finished";
  }

  /** Saves the adapter of a LoRA stage, for those who have the base; the next stage's model has it merged in. */
  private async keepAdapter(name: string, stage: RunningStage): Promise<void> {
    const adapter = stage.adapter();
    if (adapter === null) return;
    const { model } = this.recipe;
    const folder = join(this.folder.paths.adapters, name);
    const base = "from" in model ? model.from : this.recipe.name;
    saveAdapter(folder, { lora: adapter.lora, tensors: await readParameters(adapter.tensors), base });
    this.notice("info", `The adapter of stage ${name} is in ${folder}, in PEFT's format.`);
  }

  /** The answers on the disk were paid, whatever became of the steps that asked for them. */
  private billTeacher(stage: ResolvedStage): void {
    if (stage.kind !== "sample" || stage.teacher === undefined) return;
    const { name, teacher } = stage;
    const spent = spentIn(this.folder.answersPath(name), teacher);
    this.book.teacher({ stage: name, model: teacher.model, ...spent });
  }

  private record(name: string, stage: RunningStage, report: StepReport, secondsLeft: number): void {
    const { folder, hooks } = this;
    const { "flops-per-second": speed, ...metrics } = report.metrics;
    const share = speed == null || this.matmulRate === 0 ? null : speed / this.matmulRate;
    // Above 1, the rate was measured while other programs computed: the quotient means nothing.
    metrics.mfu = share !== null && share > 1 ? null : share;
    const step = stage.done;
    const { totalSteps } = stage;
    if (report.rows !== undefined) folder.appendRows(name, report.rows);
    folder.appendMetrics({ stage: name, step, totalSteps, metrics });
    hooks.emit({ type: "metrics", stage: name, step, totalSteps, secondsLeft, metrics });
    if (report.groups.length > 0) {
      folder.appendSamples({ stage: name, step, groups: report.groups });
      hooks.emit({ type: "samples", stage: name, step, groups: report.groups });
    }
    for (const message of report.notices) this.notice("warning", message);
  }

  /**
   * Bills everything since the last charge to the payer: computing, verifying and saving alike. It is called before the
   * results are written, so that no result exists without its bill. @param ends whether a step ends with it
   */
  private charge(ends = false): void {
    if (this.unwritten !== null) throw this.unwritten;
    const { payer } = this;
    const { stage, step } = payer;
    const [now, work] = [performance.now(), payer.work()];
    const seconds = (now - this.clock) / 1000;
    const wattHours = this.meter?.take() ?? null;
    const usage = { stage, step, ends, seconds, wattHours, ...workSince(work, payer.charged) };
    this.clock = now;
    payer.charged = work;
    this.folder.appendCharge(this.book.charge(usage));
    this.hooks.emit({ type: "bill", bill: this.book.bill() });
    const taken = coreWatch.contended;
    if (taken !== this.coresTaken) this.hooks.emit({ type: "cores", taken });
    this.coresTaken = taken;
  }

  /** As `charge`, from a timer, where no caller would see a failure: the next charge throws it. */
  private chargeMeanwhile(): void {
    try {
      this.charge();
    } catch (error) {
      this.unwritten ??= error;
    }
  }

  /** An interrupted evaluation is not saved: a resumed run begins it again. */
  private async evaluate(stage: ResolvedEvaluate, model: Model): Promise<RunOutcome> {
    const { folder, hooks } = this;
    const sampler = await Sampler.create(model.config, hooks.engine);
    const interrupted = new Error("the evaluation was interrupted");
    try {
      this.payer.work = () => sampler.work;
      this.payer.step = 1;
      const { record } = await evaluate(
        { ...model, generate: sampler.with(model.parameters) },
        taskFrom(stage.task),
        {
          ...stage,
          sampling: { temperature: stage.temperature, topP: stage.topP, topK: stage.topK },
          signal: {
            throwIfAborted: () => {
              if (hooks.shouldStop()) throw interrupted;
            },
          },
        },
      );
      this.charge(true);
      folder.appendEvaluation(record);
      hooks.emit({ type: "evaluation", evaluation: record });
      return "finished";
    } catch (error) {
      if (error !== interrupted) throw error;
      this.charge();
      return "stopped";
    } finally {
      await sampler.release();
    }
  }

  private async save(stage: number, done: number, snapshot: StageSnapshot | null): Promise<void> {
    const { folder, model } = this;
    folder.writeFinishedStages(this.finished);
    const before = this.recipe.stages.slice(0, stage).reduce((total, { steps }) => total + steps, 0);
    const state: RunState = { stage, stageState: snapshot?.state ?? null, journals: folder.position() };
    const extra = [...(snapshot?.tensors ?? [])].filter(([name]) => !model.parameters.has(name));
    saveCheckpoint(folder.paths.checkpoints, before + done, {
      tensors: await readParameters(new Map(extra)),
      state,
      model: await this.asFiles(model),
    });
    pruneCheckpoints(folder.paths.checkpoints, this.recipe.checkpoint.keep);
    folder.writeBill(this.book.bill());
    this.charge();
  }

  private notice(level: "info" | "warning", message: string): void {
    this.hooks.emit({ type: "notice", level, message });
  }
}
