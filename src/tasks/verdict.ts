/** What all verifiers do: extract the answer, check it, limit the completion, and turn faults into verdicts. */
import type { Fraction } from "fraction.js";
import { type Extraction, extract } from "./extract.ts";
import { clip, NUMBER_LIMITS, type NumberOptions, parseNumber, showNumber } from "./number.ts";
import type { Problem, Task, Verdict } from "./problem.ts";

/**
 * Characters of a completion: a longer one has the value 0 and is not read. All verifiers are linear, and take
 * milliseconds at this size.
 */
export const COMPLETION_LIMIT = 1_000_000;

/** Characters of the extracted answer, and of its canonical form, that a verdict keeps. */
export const EXTRACTED_LIMIT = 1000;

/** Characters of a right answer: the fraction of a decimal number of `NUMBER_LIMITS.length` characters fits. */
const GOLD_LIMIT = 2 * NUMBER_LIMITS.length;

/** What a check found: `canonical` is `null` where no single answer could be read, and `right` then is false. */
export interface Finding {
  right: boolean;
  extracted: string | null;
  canonical: string | null;
  reason: string;
}

/** A finding without an answer that could be compared. */
export function unparsed(extracted: string | null, reason: string): Finding {
  return { right: false, extracted, canonical: null, reason };
}

/** The verdict on a completion whose size alone decides, or `null`. */
export function oversized(completion: string): Verdict | null {
  if (completion.length <= COMPLETION_LIMIT) return null;
  return exceeded(`completion longer than ${COMPLETION_LIMIT} characters`);
}

/** The verdict on a completion that exceeded a limit: 0, not unscored. */
export function exceeded(reason: string): Verdict {
  return { value: 0, kind: "unparsed", extracted: null, canonical: null, format: false, reason };
}

/**
 * Extracts and checks the answer. Never throws: where `check` throws, the verifier failed and the sample is unscored.
 * The prompts of all tasks here end in `<think>`, so a completion begins inside the thought.
 */
export function verifyCompletion(completion: string, check: (found: Extraction) => Finding): Verdict {
  const tooLong = oversized(completion);
  if (tooLong) return tooLong;
  try {
    const found = extract(completion, { thoughtOpen: true });
    const { right, extracted, canonical, reason } = check(found);
    return {
      value: right ? 1 : 0,
      kind: right ? "right" : canonical === null ? "unparsed" : "wrong",
      extracted: extracted === null ? null : clip(extracted, EXTRACTED_LIMIT),
      canonical: canonical === null ? null : clip(canonical, EXTRACTED_LIMIT),
      format: found.format,
      reason,
    };
  } catch (error) {
    return fault(error);
  }
}

/** The verdict without a score, which is left out of every mean. */
export function unscored(reason: string): Verdict {
  return { value: null, kind: "unscored", extracted: null, canonical: null, format: false, reason };
}

const FAULT = "verifier fault: ";

/** Unscored: the verifier failed, not the completion. */
export function fault(error: unknown): Verdict {
  const message = error instanceof Error ? error.message : String(error);
  return unscored(`${FAULT}${clip(message, 300)}`);
}

/** What failed, of a verdict by `fault`; else `null`. */
export const faultIn = ({ kind, reason }: Verdict): string | null =>
  kind === "unscored" && reason.startsWith(FAULT) ? reason.slice(FAULT.length) : null;

/** Unscored: the verifier took too much time or memory, and its thread was ended. */
export const ended = (why: "timeout" | "memory"): Verdict => unscored(why);

export const wasEnded = ({ kind, reason }: Verdict): boolean =>
  kind === "unscored" && (reason === "timeout" || reason === "memory");

/**
 * `verifyCompletion` for answers that are numbers. If the right answer is no number (blank, NaN, no string, a list), the
 * sample is unscored, whatever the completion says.
 */
export function verifyAgainst(
  gold: unknown,
  completion: string,
  check: (found: Extraction, right: Fraction) => Finding,
): Verdict {
  if (typeof gold !== "string") return unscored(`gold not usable: ${typeof gold}, not a string`);
  const right = parseNumber(gold, { length: GOLD_LIMIT });
  if (!right.ok) return unscored(`gold not usable: ${right.reason} ("${clip(gold, 40)}")`);
  return verifyCompletion(completion, (found) => check(found, right.value));
}

/** Compares the number of the one answer block exactly with the right value: for tasks without other forms. */
export function checkBlock({ answer, shown, reason }: Extraction, right: Fraction): Finding {
  return answer === null ? unparsed(shown, reason) : checkNumber(answer, right);
}

/** Compares one numeric answer exactly with the right value. */
export function checkNumber(answer: string, right: Fraction, options: NumberOptions = {}): Finding {
  const parsed = parseNumber(answer, options);
  if (!parsed.ok) return unparsed(answer, parsed.reason);
  const canonical = parsed.value.toFraction();
  if (parsed.value.equals(right)) return { right: true, extracted: answer, canonical, reason: "right" };
  const reason = `answer is ${showNumber(parsed.value)}, not ${showNumber(right)}`;
  return { right: false, extracted: answer, canonical, reason };
}

/** A verdict of a verifier that may be wrong: fields left out are filled in; an error or a value outside 0..1 is a fault. */
export function checkedVerdict(verify: () => unknown): Verdict {
  try {
    const given = verify() as Partial<Verdict> | null;
    if (typeof given !== "object" || given === null) throw new Error(`its verdict is ${String(given)}`);
    const { value = null, canonical } = given;
    if (value !== null && !(typeof value === "number" && value >= 0 && value <= 1))
      throw new Error(`the value of its verdict is ${String(value)}, neither null nor from 0 to 1`);
    const extracted = typeof given.extracted === "string" ? given.extracted : null;
    return {
      value,
      // The kind follows the value, so that an evaluation counts as the reward does.
      kind:
        value === null
          ? "unscored"
          : value === 1
            ? "right"
            : given.kind === "unparsed"
              ? "unparsed"
              : "wrong",
      extracted,
      canonical: canonical === undefined ? extracted : typeof canonical === "string" ? canonical : null,
      format: given.format === true,
      reason: String(given.reason ?? ""),
    };
  } catch (error) {
    return fault(error);
  }
}

/** A verdict for each completion, in their order; a verifier that may hang runs in threads that can be ended. */
export async function verdictsOf(
  task: Pick<Task, "verify" | "verifyAll">,
  items: { problem: Problem; completion: string }[],
): Promise<Verdict[]> {
  return (
    (await task.verifyAll?.(items)) ??
    items.map(({ problem, completion }) => checkedVerdict(() => task.verify(problem, completion)))
  );
}
