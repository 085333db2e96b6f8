/** Two models on the same problems, compared problem by problem: `npx tsx examples/compare.ts MODEL [OTHER]` */
import { evaluate, loadModel } from "sputnik-r1";
import { compareEvaluations } from "sputnik-r1/eval";

const [first, second] = process.argv.slice(2);
const task = { kind: "countdown" as const, numbers: [3] };
const options = { problems: 50, samples: 1, seed: 1 };

const records = [];
for (const [path, temperature] of [[first, 1] as const, [second, 0] as const]) {
  const model = await loadModel(path);
  const record = await evaluate(model, task, { ...options, temperature });
  const [low, high] = record.interval.map((share) => (100 * share).toFixed(1));
  console.log(`${model.path} at ${temperature}: ${(100 * record.passAt1).toFixed(1)} % [${low}, ${high}]`);
  records.push(record);
  await model.release();
}
const compared = compareEvaluations(records[0], records[1]);
if (!compared.paired) throw new Error(compared.why);
const { mean, interval, significant } = compared.difference;
const points = [mean, ...interval].map((share) => (100 * share).toFixed(1));
console.log(
  `difference ${points[0]} points [${points[1]}, ${points[2]}]: ${significant ? "real" : "may be chance"}`,
);
