/** `sputnik new task NAME`: the file of a small task that works, and its test. */
import { existsSync, writeFileSync } from "node:fs";
import color from "picocolors";
import { onDisk } from "../lib/disk.ts";
import { usageError } from "../lib/errors.ts";
import { commandLine } from "./screen.ts";

const NAME = /^[a-z][a-z0-9-]{0,60}$/;

/** Writes `NAME.ts` and `NAME.test.ts` into the working folder. @throws UserError where one is there, or for another name */
export function newTask(what: string, name: string): void {
  if (what !== "task")
    throw usageError(`There is nothing called "${what}" to make.`, "Write: sputnik new task NAME");
  if (!NAME.test(name))
    throw usageError(
      `A task cannot be called ${JSON.stringify(name)}.`,
      "Use lowercase letters, digits and -, such as letter-count.",
    );
  const files = { [`${name}.ts`]: taskText(name), [`${name}.test.ts`]: testText(name) };
  const there = Object.keys(files).filter((file) => existsSync(file));
  if (there.length > 0)
    throw usageError(`${there.join(" and ")} exist already.`, "Choose another name, or move them away.");
  for (const [file, text] of Object.entries(files))
    onDisk(file, () => writeFileSync(file, text, { flag: "wx" }));
  console.log(`wrote ${color.bold(`${name}.ts`)} and ${color.bold(`${name}.test.ts`)}

${color.dim("see its problems and attack its verifier")}   ${commandLine(`task try ${name}.ts`)}
${color.dim("see how a model does")}                       ${commandLine(`eval MODEL --task ${name}.ts`)}
${color.dim("train on it: in a recipe")}                   task: { module: ./${name}.ts, difficulty: 1 }`);
}

const taskText = (
  name: string,
): string => `/** A task: what the model is asked, and what a right answer is. Try it: sputnik task try ${name}.ts */
import { answerIn, defineTask, Random } from "sputnik-r1/tasks";

export default defineTask({
  name: "${name}",

  // Equal seeds give equal problems, so all chance comes from the seed. The recipe chooses the difficulty.
  generate(seed, difficulty) {
    const random = new Random(seed);
    const [a, b] = [random.integer(1, 10 ** difficulty), random.integer(1, 10 ** difficulty)];
    return { question: \`What is \${a} + \${b}?\`, a, b };
  },

  // true, false, or a number from 0 to 1. answerIn gives what stands between <answer> and </answer>, or null.
  verify({ a, b }, completion) {
    return answerIn(completion) === String(a + b);
  },

  // Optional: the lowest and the highest difficulty, so that a recipe may say difficulty: { target: 0.5 }.
  levels: [1, 6],

  // Optional: a right answer, for the attacks on verify, and for a stage that trains on solved problems (data: { kind: task }).
  solve: ({ a, b }) => String(a + b),

  // Optional: further rewards from -1 to 1, which a recipe weighs by these names.
  rewards: {
    short: (_, { tokens, maxNewTokens }) => 1 - tokens / maxNewTokens,
  },
});
`;

const testText = (name: string): string => `/**
 * Run it in a folder with sputnik-r1 (npm install sputnik-r1):
 *   node --test ${name}.test.ts        from Node 22.18 on
 *   npx tsx --test ${name}.test.ts     before
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { attackTask, completionWith, taskOf } from "sputnik-r1/tasks";
import definition from "./${name}.ts";

const task = taskOf(definition, { difficulty: 2 });
const problems = Array.from({ length: 100 }, (_, index) => task.generate({ seed: 1, split: "train", index }));

test("the solver's answers are right", () => {
  for (const problem of problems)
    assert.equal(task.verify(problem, completionWith(task.solve!(problem))).value, 1, problem.question);
});

test("other answers are wrong", () => {
  for (const problem of problems) {
    const wrong = String(problem.a + problem.b + 1);
    assert.equal(task.verify(problem, completionWith(wrong)).value, 0, problem.question);
  }
});

test("no attack on the verifier passes", () => {
  const found = attackTask(task, problems.slice(0, 20)).filter(({ passed, failed }) => passed + failed > 0);
  assert.deepEqual(found, []);
});
`;
