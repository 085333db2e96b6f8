/** How a page shows the steps of a thought: which equations are true, and whether an attempt reaches the target. */
import { equations } from "./thought-equations.ts";

export interface Segment {
  text: string;
  /** Whether the equation holds; `null` for text that is none. */
  holds: boolean | null;
}

/** The line's text in order, equations marked as the verifier reads them; joined again it is the line. */
export function segments(line: string): Segment[] {
  const parts: Segment[] = [];
  let from = 0;
  for (const { index, text, holds } of equations(line)) {
    // In a chain an equation begins inside of the one before.
    const start = Math.max(from, index);
    if (start > from) parts.push({ text: line.slice(from, start), holds: null });
    from = index + text.length;
    parts.push({ text: line.slice(start, from), holds });
  }
  if (from < line.length) parts.push({ text: line.slice(from), holds: null });
  return parts;
}

export type Ending = "hit" | "miss" | null;

/** How an attempt's line ends, in the words that the default recipe's thoughts use. */
export function ending(line: string): Ending {
  if (/\byes!\s*$/.test(line)) return "hit";
  return /\bno\.\s*$/.test(line) ? "miss" : null;
}

export interface Claims {
  /** The problem's target; `null` if unknown. */
  target: string | null;
  /** The verifier did not find the answer right. */
  refuted: boolean;
}

/** The number after `=`, an arrow or "make" at a problem's end. */
export const targetOf = (problem: string): string | null =>
  /(?:=|→|\bmake)\s*(-?\d+)\s*$/.exec(problem)?.[1] ?? null;

/**
 * Whether a "yes!" is true: a hit if the line's equations hold and the last one ends in the target, and the verifier has
 * not refuted the answer; else a claim.
 */
export function endingOf(line: string, { target, refuted }: Claims): Ending | "claim" {
  const end = ending(line);
  if (end !== "hit") return end;
  const stated = segments(line).filter(({ holds }) => holds !== null);
  const sides = stated.at(-1)?.text.split("=") ?? [];
  const values = sides.flatMap((side) => (side.trim() === "" ? [] : [Number(side.replaceAll(",", ""))]));
  const reached = target === null || stated.length === 0 || values.includes(Number(target));
  return reached && !refuted && stated.every(({ holds }) => holds) ? "hit" : "claim";
}
