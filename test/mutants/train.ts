/** Mutants of training: GRPO, language modelling, the step, the bill and what a resume goes on from. */
import { type Mutant, testFile } from "./mutant.ts";

const mutant =
  (file: string, tests: string) =>
  (find: string, replace: string, test = tests): Mutant => ({
    file,
    find,
    replace,
    test: testFile(test),
  });

const grpo = mutant("src/train/grpo.ts", "train/grpo-step");
const parts = mutant("src/train/grpo-parts.ts", "train/grpo");
const progress = mutant("src/train/grpo-progress.ts", "train/grpo-step");
const stage = mutant("src/train/training-stage.ts", "train/language-model-step");
const rollouts = mutant("src/train/rollout.ts", "train/grpo-step");
const conversations = mutant("src/data/conversation.ts", "data/conversation");
const language = mutant("src/train/language-model-stage.ts", "train/language-model-step");
const rows = mutant("src/train/grpo-rows.ts", "train/grpo-step");
const measure = mutant("src/train/grpo-metrics.ts", "train/grpo-step");
const optimizer = mutant("src/train/optimizer.ts", "train/grpo-step");
const step = mutant("src/train/step.ts", "train/golden-step");
const trace = mutant("src/train/trace-step.ts", "train/golden-step");
const policy = mutant("src/train/policy.ts", "train/lora");
const loss = mutant("src/train/grpo-loss.ts", "train/grpo-loss");
const distillLoss = mutant("src/train/distill-loss.ts", "train/distill-loss");
const distill = mutant("src/train/distill-stage.ts", "train/distill-stage");
const teachers = mutant("src/train/teachers.ts", "train/distill-stage");
const average = mutant("src/train/merge-stage.ts", "run/distill-stage");
const run = mutant("src/run/run.ts", "run/bill");
const resume = mutant("src/checkpoint/resume.ts", "checkpoint/resume");
const resolve = mutant("src/recipe/resolve.ts", "run/bill");
const folder = mutant("src/run/folder.ts", "run/folder");

export const trainMutants: readonly Mutant[] = [
  // Rollouts and dynamic sampling.
  grpo("rounds <= (dynamicSampling?.maxRounds ?? 0) &&", "rounds <= 0 &&"),
  grpo("rounds <= (dynamicSampling?.maxRounds ?? 0) &&", "rounds < (dynamicSampling?.maxRounds ?? 0) &&"),
  grpo("&& kept.length < problemsPerStep)", ")"),
  grpo("if (hasSignal(scores)) kept.push(rewarded);", "if (!hasSignal(scores)) kept.push(rewarded);"),
  grpo("if (dynamicSampling === undefined) kept = [...all];", "kept = [...all];"),
  grpo("kept.slice(0, problemsPerStep)", "kept"),
  progress("() => this.nextProblem++", "(_, i) => this.nextProblem + i"),
  grpo("advantages[options.advantage](scores)", 'advantages["rloo"](scores)'),
  rollouts(
    "return [...all.filter(teaches), ...all.filter((one) => !teaches(one))]",
    "return [...all.filter(teaches), ...all]",
  ),
  // The update.
  rows("onOwn(sample, () => advantages[i], 0)", "onOwn(sample, () => -(advantages[i] as number), 0)"),
  rows(
    "onOwn(sample, () => weights[i], 0)",
    "onOwn(sample, () => weights[i], weights[i])",
    "train/environment",
  ),
  rows("own(sample.logProbs), level", "sample.logProbs, level", "train/environment"),
  conversations('[...key, "turn", turn]', "key"),
  conversations("ids.map(() => 0) }, 0);", "ids.map(() => 0) }, 1);"),
  rows("sample.reward !== null && !masked(sample)", "sample.reward !== null"),
  rows("sample.reward !== null && !masked(sample)", "!masked(sample)"),
  rows("miniBatchesOf(samples, options.miniBatches)", "miniBatchesOf(samples, 1)"),
  grpo("for (let epoch = 0; epoch < options.epochs; epoch++)", "for (let epoch = 0; epoch < 1; epoch++)"),
  rows("onOwn(sample, () => weights[i], 0)", "onOwn(sample, () => weights[0] as number, 0)"),
  grpo("scalar(1 / options.temperature)", "scalar(1)", "train/grpo-step"),
  optimizer(
    'lr: factor * (kind === "muon" ? optimizer.adamLr : lr)',
    'lr: kind === "muon" ? optimizer.adamLr : lr',
  ),
  grpo("compare: updates === 0 });", "compare: true });"),
  measure("total + (scalars[name] ?? 0)", "(scalars[name] ?? 0)"),
  measure('meter.mean("loss", sum("loss"));', 'meter.mean("loss", -sum("loss"));'),
  grpo("batches.flat().some(hasAdvantage)", "true", "train/grpo"),
  grpo("if (updates > 0) await policy.merge();", "", "train/lora"),
  rows(
    "(logProbs) => ({ reference: logProbs })",
    "(_, { logProbs }) => ({ reference: logProbs })",
    "train/grpo",
  ),
  grpo("done % options.referenceEvery === 0", "done % options.referenceEvery === 1", "train/grpo"),
  {
    ...rows("return { old, importance:", "return { importance:"),
    equivalent: "sampler and trainer agree to 1e-6, below what a test of the loss can tell",
  },
  rows("return { old, importance: onOwn(sample, (i) => weights[i], 1) };", "return { old };"),
  grpo("this.trained += fedTokens(micro);", "", "train/grpo-step"),
  // What a snapshot holds.
  stage("updates: policy.step.stepCount,", "updates: 0,", "train/grpo"),
  progress("this.nextProblem = nextProblem;", "this.nextProblem = 0;", "train/grpo"),
  parts("(start ?? copyParameters(model.parameters))", "copyParameters(model.parameters)", "train/grpo"),
  progress("this.learning = { idleSteps,", "this.learning = { idleSteps: 0,"),
  policy("return updates ?? done;", "return done;", "train/language-model-step"),
  language("packing: this.batches.snapshot()", "packing: undefined as never", "train/step"),
  // Language modelling.
  language("batch.weights.map((w) => w / tokens)", "batch.weights.map((w) => w)"),
  language("mtpFeeds(over(Math.max(1, mtpTrained)))", "mtpFeeds(over(trained))"),
  language("if (trained > 0) await this.update(", "if (trained >= 0) await this.update(", "train/step"),
  language("value * batches[i].trained, batches[i].trained)", "value, 1 / batches.length)"),
  language(
    "...(this.options.documentMask && {",
    "...(this.options.documentMask && batches.length < 0 && {",
    "train/step",
  ),
  stage("lr: factor * optimizer.lr,", "lr: learningRates(optimizer, factor).lr,"),
  language("tokens: (this.done + 1) * tokens,", "tokens,"),
  language("(options.v3?.biasRate ?? V3_FACTORS.biasRate)", "0", "train/v3-stage"),
  // The step.
  step("stepScalarValues(this.stepCount + 1,", "stepScalarValues(this.stepCount,"),
  trace("clip === null ?", "clip !== null ?"),
  trace(
    '"f32", shape), gradients.get(name) as Tensor);',
    '"f32", shape), mul(constant(graph, 0), gradients.get(name) as Tensor));',
    "train/step",
  ),
  step(
    "const before = sums.batches === 0 ? sums.zeros : sums.buffer.feeds();",
    "const before = sums.buffer.feeds();",
    "train/step",
  ),
  step("sums.buffer.swap();\n", "", "train/step"),
  trace("epsilon, weightDecay };", "epsilon, weightDecay: 0 };"),
  step(
    "if (name in scalars && !Number.isFinite(scalars[name]))",
    "if (name in scalars && Number.isNaN(-1))",
    "train/step",
  ),
  policy("this.merging?.frozen ?? []", "[] as [string, Value][]", "train/lora"),
  // The objective, as it is traced.
  loss("mul(ratio, advantage)", "mul(ratio, neg(advantage))"),
  loss("LOG_RATIO_BOUND = 20", "LOG_RATIO_BOUND = 200"),
  // Distillation, and averages of weights.
  distillLoss("mul(exp(student), sub(student, teachers))", "mul(exp(teachers), sub(teachers, student))"),
  distillLoss("const present = greater(weights, 0);", "const present = greater(weights, 1);"),
  distill("weights[i] * (logProbs[t] - old[t])", "weights[i] * (old[t] - logProbs[t])"),
  distill("count: 1, width, to: i * width", "count: 1, width, to: 0"),
  distill("const first = this.done * problemsPerStep;", "const first = 0;"),
  teachers("judges: [teacher, ...ofAll]", "judges: [teacher]"),
  teachers("scored });", "scored: 0 });"),
  average("part.weight, 0);", "1, 0);"),
  average("?? { done: 0 };", "&& { done: 0 };"),
  // The bill.
  run("this.payer.step = stage.done + 1;", "this.payer.step = stage.done;"),
  run("payer.charged = work;", ""),
  run("this.clock = now;\n    payer", "payer"),
  run(
    "const report = await stage.advance();\n      this.charge(true);",
    "const report = await stage.advance();\n      this.charge();",
  ),
  resolve("const seed = stageSeed(recipe.seed, stage.name);", "const { seed } = recipe;"),
  run('this.charge();\n      return "stopped";', 'return "stopped";'),
  // Checkpoints and journals.
  resume("b.step - a.step", "a.step - b.step"),
  resume("if (problem === null) return { step, path };", "return { step, path };"),
  resume("const oldest = complete[keep - 1];", "const oldest = complete[keep];"),
  resume(
    "const complete = saved.filter(({ path }) => checkManifest(path, { quick: true }) === null);",
    "const complete = saved;",
  ),
  folder("this.#metrics.truncateTo(metrics) +", "0 +"),
  folder("if (differ.length === 0) return;", "if (previous !== null) return;"),
];
