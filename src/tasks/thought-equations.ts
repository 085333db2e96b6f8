/**
 * The equations that a thought states, and whether they are true. An outcome reward does not see a thought that computes
 * wrongly and guesses the right answer, so the fraction of true equations is a separate metric.
 *
 * An equation is a side, "=", a side; a side is arithmetic (thought-value.ts: decimals, + - * / in their
 * spellings, x between numbers, signs, powers, exact roots, parentheses); at least one of the two sides has
 * an operation. Both are compared exactly. In a chain "a = b = c" each neighbouring pair is one.
 *
 * Only what is certainly a complete equation counts. Words, commas, an unmatched parenthesis or a list's "-" may
 * surround it on its line. Next to an unknown character ("±", "%", "12:30"), a number, a word that computes
 * ("5 mod 3 + 1 = 3") or an operator with something else after it ("2*x + 3 = 7"), a side may be a part of something
 * larger, and there is no equation. An equation without a value (7/0 = 7, 03+4 = 7) counts as false.
 */

import { changesValue } from "./number.ts";
import { isArithmetic, leadsToEquals, type Token, tokenize } from "./thought-tokens.ts";
import { areEqual, sideValue } from "./thought-value.ts";

export interface StatedEquation {
  /** Where it begins, in characters (UTF-16 units) from the start of the text. */
  index: number;
  /** The equation as written. */
  text: string;
  holds: boolean;
}

/** Characters of one side. More are a list, or a way to cost time. */
const SIDE_LIMIT = 300;

/** First and last token of a side. */
type Side = [number, number];

/** All equations in order. Linear in the text: at most two "=" read a token. */
export function equations(text: string): StatedEquation[] {
  const tokens = tokenize(text);
  const found: StatedEquation[] = [];
  /** Last token of the right side of the last "=": the next equation may follow it directly. */
  let previous = -1;
  tokens.forEach((token, at) => {
    if (token.kind !== "=") return;
    const left = leftSide(tokens, at, previous);
    const right = rightSide(tokens, at);
    previous = right?.[1] ?? -1;
    if (!left || !right || !isFollowed(tokens, right[1]) || hasRemainder(tokens, left, right[1])) return;
    const [a, b] = [left, right].map(([from, to]) =>
      tokens[to]!.end - tokens[from]!.start > SIDE_LIMIT ? null : sideValue(tokens.slice(from, to + 1)),
    );
    if (!a || !b || !(a.operation || b.operation)) return;
    const [index, end] = [tokens[left[0]]!.start, tokens[right[1]]!.end];
    found.push({ index, text: text.slice(index, end), holds: areEqual(a.value, b.value) });
  });
  return found;
}

const isOperator = (token: Token | undefined, signs = "+-*/^√"): boolean =>
  token?.kind === "operator" && signs.includes(token.text);
const isBinary = (token: Token | undefined): boolean => isOperator(token, "+-*/^");

function leftSide(tokens: Token[], equals: number, previous: number): Side | null {
  let first: number | null = null;
  for (let at = equals - 1; ; at -= 2) {
    let start = operandEnd(tokens, at, -1);
    if (start === null) break;
    // Roots, and signs without an operand before them: "3 + -4".
    while (
      isOperator(tokens[start - 1], "√") ||
      (isOperator(tokens[start - 1], "-") && isOperator(tokens[start - 2]))
    )
      start--;
    first = start;
    at = start;
    if (!isBinary(tokens[start - 1])) break;
  }
  if (first === null) return null;
  const loose = tokens[first - 1];
  if (loose === undefined || !isBinary(loose))
    return isPreceded(tokens, first, previous) ? [first, equals - 1] : null;
  // "-5 + 3" has a sign; "- 5 + 3" is the item of a list.
  if (!isOperator(loose, "-+*") || !mayStandBesideOperator(tokens[first - 2])) return null;
  const signed = loose.text === "-" && loose.end === tokens[first]!.start;
  return [signed ? first - 1 : first, equals - 1];
}

/** The longest side that begins after "=". */
function rightSide(tokens: Token[], equals: number): Side | null {
  let last: number | null = null;
  for (let at = equals + 1; ; at = last + 2) {
    while (isOperator(tokens[at], "-√")) at++;
    const end = operandEnd(tokens, at, 1);
    if (end === null) break;
    last = end;
    if (!isBinary(tokens[end + 1])) break;
  }
  return last === null ? null : [equals + 1, last];
}

/** The other end of the operand at `at`: a number, or parentheses that match on this line. */
function operandEnd(tokens: Token[], at: number, step: 1 | -1): number | null {
  const open = step === 1 ? "(" : ")";
  let depth = 0;
  for (let i = at; ; i += step) {
    const token = tokens[i];
    if (!isArithmetic(token)) return null;
    if (token!.kind === "(" || token!.kind === ")") depth += token!.kind === open ? 1 : -1;
    else if (depth === 0 && token!.kind !== "number") return null;
    if (depth === 0) return i;
    if (depth < 0) return null;
  }
}

/** Punctuation and relations: a side may end before them and begin after them. */
const SEPARATORS = new Set([...',;:.!?[]|<>#&_$~`"“”«»…→⇒∴≈≠≤≥—', "**"]);

/** A list's sign or a dash begins or ends a line, or follows punctuation. */
function mayStandBesideOperator(token: Token | undefined): boolean {
  return token === undefined || token.kind === "line" || ",;:.?".includes(token.text);
}

/** Words that compute with the number beside them. */
const COMPUTES =
  /^(?:mod|modulo|plus|minus|times|over|by|of|per|div|rem|remainder|root|sqrt|log(?:_\w+|\d+)?|ln|sin|cos|tan|exp|abs|max|min|choose|percent|[b-hj-zB-HJ-Z])$/i;

/** After a result: it is not exact, or the result of another arithmetic. */
const INEXACT = /^(?:approx(?:imately)?|roughly|rounded|rounding|truncated|mod|modulo)$/i;
/** After a quotient: it has a remainder. */
const REMAINDER = /^(?:r\d*|rem|remainders?|rest|left|leftover|remaining)$/i;
/** Tokens after a quotient that may name a remainder: "3 with a remainder". */
const REMAINDER_WITHIN = 4;

/** Whether a side may begin at `first`, with nothing before it that could be part of it. */
function isPreceded(tokens: Token[], first: number, previous: number): boolean {
  const [before, farther, own] = [tokens[first - 1], tokens[first - 2], tokens[first]!];
  switch (before?.kind) {
    case "number":
      return first - 1 === previous && !isOperator(tokens[first + 1], "/");
    case "word":
      // "floor(7/2)" is a function's value.
      return !COMPUTES.test(before.text) && !(own.kind === "(" && before.end === own.start);
    case ")":
      return before.end < own.start && isLabel(tokens, first - 1);
    case "mark":
      return SEPARATORS.has(before.text) && (first - 2 === previous || !isTight(farther, before, own));
    default:
      return true;
  }
}

/** "1)", "a)" or "(2)" rather than a product's factor. */
function isLabel(tokens: Token[], at: number): boolean {
  return tokens[at - 2]?.kind === "(" || operandEnd(tokens, at, -1) === null;
}

/** "12:30", "1,23" and "x.5": a mark between two without a blank. */
function isTight(a: Token | undefined, mark: Token, b: Token | undefined): boolean {
  return a?.kind === "number" && b?.kind === "number" && a.end === mark.start && mark.end === b.start;
}

/** "0.333..." and "0.33…": a decimal number whose digits are cut off. */
function goesOn(tokens: Token[], last: number): boolean {
  const [own, ...points] = tokens.slice(last, last + 4) as [Token, ...Token[]];
  if (!own.text.includes(".") || own.end !== points[0]?.start) return false;
  return points[0].text === "…" || points.map(({ text }) => text).join("") === "...";
}

/** "13 / 4 = 3 remainder 1", "3 with a remainder of 1", "3 R1". */
function hasRemainder(tokens: Token[], [from, to]: Side, last: number): boolean {
  if (!tokens.slice(from, to).some((token) => isOperator(token, "/"))) return false;
  const after = tokens.slice(last + 1, last + 1 + REMAINDER_WITHIN);
  const end = after.findIndex(({ kind }) => kind === "line" || kind === "=");
  return after.slice(0, end === -1 ? undefined : end).some(({ text }) => REMAINDER.test(text));
}

/** Whether a side may end at `last`. */
function isFollowed(tokens: Token[], last: number): boolean {
  const [own, after, farther] = [tokens[last]!, tokens[last + 1], tokens[last + 2]];
  switch (after?.kind) {
    case "number":
      // Not the fraction of a mixed number, "3/2 = 1 1/2", nor the last digits of a long one, "12 000".
      return !isOperator(farther, "/") && (!/^\d{3}$/.test(after.text) || leadsToEquals(tokens, last + 1));
    case "word":
      return !COMPUTES.test(after.text) && !INEXACT.test(after.text) && !changesValue(after.text);
    case "operator":
      return isOperator(after, "-*") && mayStandBesideOperator(farther);
    case "(":
      return own.end < after.start && !(farther?.kind === "word" && INEXACT.test(farther.text));
    case "mark":
      if (!SEPARATORS.has(after.text) || goesOn(tokens, last)) return false;
      if (after.text === "!" && own.end === after.start)
        return !isArithmetic(farther) && farther?.kind !== "=";
      return !isTight(own, after, farther) || (after.text !== ":" && leadsToEquals(tokens, last + 2));
    default:
      return true;
  }
}
