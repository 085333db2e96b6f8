/** A task whose verifier does what it is told, for the pool's tests. */
import { setTimeout } from "node:timers/promises";
import type { Problem, Task } from "../../src/tasks/problem.ts";

export function naughtyTask(options: { right: string }): Task {
  return {
    name: "naughty",
    generate: ({ index }): Problem => ({ id: `naughty/${index}`, prompt: "" }),
    verify(problem, completion) {
      if (completion === "hang") for (;;);
      if (completion === "slow") for (const end = Date.now() + 60; Date.now() < end; );
      if (completion === "throw") throw new Error("a bug");
      if (completion === "exit") process.exit(3);
      if (completion === "memory") for (const hoard: number[][] = []; ; ) hoard.push(new Array(1e5).fill(1));
      if (completion === "nan") return { value: Number.NaN } as never;
      if (completion === "plain") return { value: 1 } as never;
      if (completion === "unscored")
        return {
          value: null,
          kind: "unscored",
          extracted: null,
          canonical: null,
          format: false,
          reason: "no idea",
        };
      const right = completion === options.right;
      return {
        value: right ? 1 : 0,
        kind: right ? "right" : "wrong",
        extracted: completion,
        canonical: completion,
        format: true,
        reason: problem.id,
      };
    },
  };
}

export async function slowTask(options: { right: string }): Promise<Task> {
  await setTimeout(20);
  return naughtyTask(options);
}

export function brokenTask(): Task {
  throw new Error("no such data set");
}
