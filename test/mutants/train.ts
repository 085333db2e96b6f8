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
const language = mutant("src/train/language-model-stage.ts", "train/language-model-step");
const optimizer = mutant("src/train/optimizer.ts", "train/grpo-step");
const step = mutant("src/train/step.ts", "train/golden-step");
const policy = mutant("src/train/policy.ts", "train/lora");
const loss = mutant("src/train/grpo-loss.ts", "train/grpo-loss");
const run = mutant("src/run/run.ts", "run/bill");
const resume = mutant("src/checkpoint/resume.ts", "checkpoint/resume");
const resolve = mutant("src/recipe/resolve.ts", "run/bill");
const folder = mutant("src/run/folder.ts", "run/folder");

export const trainMutants: readonly Mutant[] = [
  // Rollouts and dynamic sampling.
  grpo("result.rounds <= this.redraws &&", "result.rounds <= 0 &&"),
  grpo("result.rounds <= this.redraws &&", "result.rounds < this.redraws &&"),
  grpo("&& result.kept.length < options.problemsPerStep)", ")"),
  grpo(
    "if (hasSignal(rewards)) result.kept.push(judged);",
    "if (!hasSignal(rewards)) result.kept.push(judged);",
  ),
  grpo("if (this.redraws === 0) result.kept = [...result.all];", "result.kept = [...result.all];"),
  grpo("result.kept.splice(options.problemsPerStep);", ""),
  grpo("this.nextProblem += options.problemsPerStep;", ""),
  grpo("advantages[options.advantage](rewards)", 'advantages["rloo"](rewards)'),
  grpo(
    "return [...all.filter(teaches), ...all.filter((one) => !teaches(one))]",
    "return [...all.filter(teaches), ...all]",
  ),
  // The update.
  grpo("advantage: a[i] })),", "advantage: -(a[i] as number) })),"),
  grpo('!(options.overlong?.mode === "mask" && sample.finish === "length")', "true"),
  grpo("sample.reward !== null && !(", "!("),
  grpo("miniBatchesOf(rows, options.miniBatches)", "miniBatchesOf(rows, 1)"),
  grpo("for (let epoch = 0; epoch < options.epochs; epoch++)", "for (let epoch = 0; epoch < 1; epoch++)"),
  grpo("row.weight = weights[i];", "row.weight = weights[0] as number;"),
  grpo("scalar(1 / options.temperature)", "scalar(1)", "train/grpo-step"),
  optimizer(
    'lr: factor * (kind === "muon" ? optimizer.adamLr : lr)',
    'lr: kind === "muon" ? optimizer.adamLr : lr',
  ),
  grpo("if (!moved) totals.compared = signal;", "totals.compared = signal;"),
  grpo("loss += result.loss;", "loss = result.loss;"),
  grpo("totals.losses.push(loss);", "totals.losses.push(-loss);"),
  grpo("const taught = rows.some((row) => row.advantage !== 0);", "const taught = true;", "train/grpo"),
  grpo("if (totals.norms.length > 0) await this.policy.merge();", "", "train/lora"),
  grpo("row.reference = logProbs;", "row.reference = row.sampled;", "train/grpo"),
  grpo("this.done % options.referenceEvery === 0", "this.done % options.referenceEvery === 1", "train/grpo"),
  {
    ...grpo("row.old = logProbs;", ""),
    equivalent: "sampler and trainer agree to 1e-6, below what a test of the loss can tell",
  },
  grpo("row.importance = weights;", ""),
  grpo("this.trained += fedTokens(bundles);", "", "train/grpo-step"),
  // What a snapshot holds.
  grpo("updates: this.step.stepCount, signals };", "updates: 0, signals };", "train/grpo"),
  grpo("this.nextProblem = state?.nextProblem ?? 0;", "this.nextProblem = 0;", "train/grpo"),
  grpo(': tensorsUnder(resume.tensors, "reference.");', ": copy(model.parameters);", "train/grpo"),
  grpo("this.idleSteps = state?.idleSteps ?? 0;", "this.idleSteps = 0;"),
  language("updates: state?.updates ?? (state as State).done", "updates: (state as State).done"),
  language("packing: this.batches.snapshot()", "packing: undefined as never", "train/step"),
  // Language modelling.
  language("batch.weights.map((w) => w / tokens)", "batch.weights.map((w) => w)"),
  language("furtherFeeds(over(Math.max(1, further)))", "furtherFeeds(over(trained))"),
  language(
    "trained === 0 ? { loss: null, norm: null, measured: {} }",
    "trained < 0 ? { loss: null, norm: null, measured: {} }",
    "train/step",
  ),
  language('name === "balance" ? (value * batch.trained) / trained : value', "value"),
  language(
    "if (options.documentMask) feeds.mask",
    "if (options.documentMask && micro.length < 0) feeds.mask",
    "train/step",
  ),
  language("rate: factor * options.optimizer.lr,", "rate: rates.lr,"),
  language("tokens: this.done * tokens,", "tokens,"),
  language("(options.v3?.biasRate ?? V3_FACTORS.biasRate)", "0", "train/v3-stage"),
  // The step.
  step("this.stepCount + 1, rates.lr", "this.stepCount, rates.lr"),
  step("optimizer.clip === null ?", "optimizer.clip !== null ?"),
  step(
    '"f32", shape), gradients.get(name) as Tensor);',
    '"f32", shape), mul(constant(graph, 0), gradients.get(name) as Tensor));',
    "train/step",
  ),
  step(
    "const before = this.accumulated === 0 ? this.sums.zeros : this.sums.buffers.feeds();",
    "const before = this.sums.buffers.feeds();",
    "train/step",
  ),
  step("this.accumulated = 0;\n    this.stepCount++;", "this.stepCount++;", "train/step"),
  step("weightDecay: optimizer.weightDecay };", "weightDecay: 0 };"),
  step(
    "if (what in results && !Number.isFinite(results[what])) {",
    "if (what in results && Number.isNaN(-1)) {",
    "train/step",
  ),
  policy("this.merging?.frozen ?? []", "[] as [string, Value][]", "train/lora"),
  // The objective, as it is traced.
  loss("mul(ratio, advantage)", "mul(ratio, neg(advantage))"),
  loss("LOG_RATIO_BOUND = 20", "LOG_RATIO_BOUND = 200"),
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
