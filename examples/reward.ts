/** A reward of one's own, with the verbs of RL: right answers earn 1, and lose a little for each token. */
import { completionDatum, loadModel } from "sputnik-r1";
import { taskFrom } from "sputnik-r1/tasks";
import { advantages } from "sputnik-r1/train";

const steps = Number(process.argv[2] ?? 20);
const task = await taskFrom({ kind: "countdown", numbers: [3] });
const model = await loadModel();
const { tokenizer } = model.session;
const trainer = await model.trainer();

for (let step = 0; step < steps; step++) {
  const problems = [0, 1, 2, 3].map((i) => task.generate({ seed: 1, split: "train", index: 4 * step + i }));
  const prompts = problems.map(({ prompt }) => tokenizer.encode(prompt, { specials: true }));
  const groups = await trainer.sampleEach(prompts, { count: 8, maxNewTokens: 200, seed: step });
  const data = groups.flatMap((group, i) => {
    const rewards = group.map(({ ids }) => {
      const { value } = task.verify(problems[i], tokenizer.decode(ids));
      return (value ?? 0) - 0.002 * ids.length;
    });
    const weighed = advantages["dr-grpo"](rewards).map((advantage) => advantage / 32);
    return group.map(({ ids, logProbs }, k) =>
      completionDatum(prompts[i], ids, { sampled: logProbs, advantages: weighed[k] }),
    );
  });
  await trainer.forwardBackward(data, "importance_sampling");
  const { norm } = await trainer.optimStep({ lr: 2e-4 });
  const tokens = groups.flat().reduce((sum, { ids }) => sum + ids.length, 0) / 32;
  console.log(`step ${step + 1}: ${tokens.toFixed(1)} tokens a completion, gradient ${norm.toFixed(3)}`);
}
