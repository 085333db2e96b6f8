/** Effort as a number in the prompt, as DeepSeek-V4.1 takes it: how long the model should think. */
import { z } from "zod";
import type { Problem } from "./problem.ts";

export const effortLevel = z.int().min(0).max(100);

/**
 * The same problem at an effort: a line with the number alone before the prompt, which every vocabulary can spell, or in a
 * chat a line `Effort: N` at the end of the system's message.
 */
export function atEffort<P extends Problem>(problem: P, effort: number | undefined): P {
  if (effort === undefined) return problem;
  const { messages } = problem;
  if (messages === undefined) return { ...problem, effort, prompt: `${effort}\n${problem.prompt}` };
  const line = `Effort: ${effort}`;
  const [first, ...rest] = messages;
  const asked =
    first?.role === "system"
      ? [{ ...first, content: `${first.content}\n${line}` }, ...rest]
      : [{ role: "system" as const, content: line }, ...messages];
  return { ...problem, effort, messages: asked };
}
