/**
 * What someone outside the repository meets: the library, tasks of their own, and how our verifiers judge beside others'.
 * `--quick` leaves out the comparison with reasoning-gym and the training; `--gain` trains alone.
 */
import { readFileSync } from "node:fs";
import { firstToken } from "./library-first-token.ts";
import { agreeWithReasoningGym } from "./library-reasoning-gym.ts";
import { gainOf } from "./reward-gain.ts";
import type { Row } from "./rows.ts";

/** Non-empty lines of an example, imports and comments included. */
function lines(name: string): Row {
  const text = readFileSync(`examples/${name}.ts`, "utf8");
  const value = text.split("\n").filter((line) => line.trim() !== "").length;
  return { name: `library/new-${name}-lines`, value, unit: "lines", atMost: 30, note: `examples/${name}.ts` };
}

/** What a new model learns of a task that is none of ours: examples/task.ts, by the recipe that the README names. */
function moduleTaskGain(): Row[] {
  const { row, minutes } = gainOf("examples/task-new-model.yaml", "library/module-task-gain");
  return [row, { name: "library/module-task-minutes", value: minutes, unit: "min", atMost: 15 }];
}

export async function benchLibrary(words: readonly string[]): Promise<Row[]> {
  if (words.includes("--gain")) return moduleTaskGain();
  const rows = [...["task", "reward", "loss"].map(lines), firstToken()];
  return words.includes("--quick")
    ? rows
    : [...rows, ...(await agreeWithReasoningGym()), ...moduleTaskGain()];
}
