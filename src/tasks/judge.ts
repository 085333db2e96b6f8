/** The frame of every verifier: limits and faults around one check of the extracted answer. */
import type { Fraction } from "fraction.js";
import { type Extraction, extract } from "./extract.ts";
import { clip, parseNumber, showNumber } from "./number.ts";
import type { Verdict } from "./problem.ts";

/**
 * Characters of a completion that are looked at: above it the value is 0, at no cost. All verifiers are
 * linear, and take milliseconds at this size.
 */
export const COMPLETION_LIMIT = 1_000_000;

/** Characters of the extracted answer that a verdict keeps. */
const EXTRACTED_LIMIT = 1000;

/** What a check found. */
export interface Finding {
  right: boolean;
  extracted: string | null;
  reason: string;
}

/** The verdict on a completion whose size alone decides, or `null`. */
export function oversized(completion: string): Verdict | null {
  if (completion.length <= COMPLETION_LIMIT) return null;
  const reason = `completion longer than ${COMPLETION_LIMIT} characters`;
  return { value: 0, extracted: null, format: false, reason };
}

/**
 * Extracts and checks. Never throws: a check that does is a verifier's fault, and the sample is unscored.
 * The prompts of all tasks here end in `<think>`, so a completion begins inside the thought.
 */
export function judge(completion: string, check: (found: Extraction) => Finding): Verdict {
  const tooLong = oversized(completion);
  if (tooLong) return tooLong;
  try {
    const found = extract(completion, { thoughtOpen: true });
    const { right, extracted, reason } = check(found);
    return {
      value: right ? 1 : 0,
      extracted: extracted === null ? null : clip(extracted, EXTRACTED_LIMIT),
      format: found.format,
      reason,
    };
  } catch (error) {
    return fault(error);
  }
}

/** Unscored: the verifier failed, not the completion. */
export function fault(error: unknown): Verdict {
  const message = error instanceof Error ? error.message : String(error);
  return { value: null, extracted: null, format: false, reason: `verifier fault: ${clip(message, 200)}` };
}

/** Compares one numeric answer exactly with the right value. */
export function checkNumber(answer: string, right: Fraction): Finding {
  const parsed = parseNumber(answer);
  if (!parsed.ok) return { right: false, extracted: answer, reason: parsed.reason };
  if (parsed.value.equals(right)) return { right: true, extracted: answer, reason: "right" };
  const reason = `answer is ${showNumber(parsed.value)}, not ${showNumber(right)}`;
  return { right: false, extracted: answer, reason };
}
