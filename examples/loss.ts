/** A loss of one's own: supervised training in which a token counts less the surer the model is (focal loss, 1708.02002). */
import { completionDatum, defineLoss, loadModel } from "sputnik-r1";
import { exp, mul, neg, sub } from "sputnik-r1/graph";

const focal = defineLoss({
  inputs: ["weights"],
  settings: { floor: 0.1 },
  perToken: ({ logProbs, inputs }, { floor }) => {
    const doubt = sub(1 + floor, exp(logProbs));
    return neg(mul(mul(inputs.weights, doubt), logProbs));
  },
});

const model = await loadModel();
const { tokenizer } = model.session;
const trainer = await model.trainer({ lora: { rank: 8 } });
const prompt = tokenizer.encode("2, 3, 4 make 14\n<think>\n", { specials: true });
const text = "3 * 4 = 12, 12 + 2 = 14, yes!\n</think>\n<answer>3 * 4 + 2</answer>";
const answer = tokenizer.encode(text, { specials: true });
const data = [completionDatum(prompt, answer, { weights: 1 / answer.length })];

for (let step = 0; step < 10; step++) {
  const { loss } = await trainer.forwardBackward(data, focal);
  await trainer.optimStep({ lr: 2e-3 });
  console.log(`step ${step + 1}: loss ${loss.toFixed(4)}`);
}
