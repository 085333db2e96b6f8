/**
 * The equations that a thought states, and whether they are true: an outcome reward cannot see a thought
 * that computes wrongly and guesses right, so the share of true equations is a metric of its own.
 *
 * An equation is a side, "=", a side; a side is numbers (decimals too), + - * / and parentheses, with an
 * optional minus in front; at least one of the two sides has an operation. Both are compared exactly. In a
 * chain "a = b = c" each neighbouring pair is one. What surrounds an equation on its line (words, commas,
 * an unmatched parenthesis, a list's "-") is not part of it; an algebraic one ("2*x + 3 = 7") is none. A
 * comma always separates, so "1,234" is two numbers here. An equation without a value (7/0 = 7, 03+4 = 7)
 * counts as false.
 */
import { expression, isDigit, OPERATORS } from "./expression.ts";

export interface StatedEquation {
  /** Where it begins, in characters (UTF-16 units) from the start of the text. */
  index: number;
  /** The equation as written. */
  text: string;
  holds: boolean;
}

type Kind = "number" | "word" | "operator" | "(" | ")" | "=" | "line" | "mark";

interface Token {
  kind: Kind;
  start: number;
  end: number;
}

const EXACT = { decimals: true, sign: true } as const;

/** All of them, in order. Linear in the text: each token is looked at by at most two "=". */
export function equations(text: string): StatedEquation[] {
  const tokens = tokenize(text);
  const found: StatedEquation[] = [];
  tokens.forEach((token, at) => {
    if (token.kind !== "=") return;
    const left = leftSide(text, tokens, at);
    const right = left && rightSide(text, tokens, at);
    if (!left || !right || !(left.operation || right.operation)) return;
    const a = expression(text.slice(left.start, left.end), EXACT);
    const b = expression(text.slice(right.start, right.end), EXACT);
    found.push({
      index: left.start,
      text: text.slice(left.start, right.end),
      holds: a.ok && b.ok && a.value.equals(b.value),
    });
  });
  return found;
}

interface Side {
  start: number;
  end: number;
  operation: boolean;
}

function leftSide(text: string, tokens: Token[], equals: number): Side | null {
  const { last, loose } = reach(tokens, equals - 1, -1);
  if (last === null) return null;
  let start = tokens[last]!.start;
  if (loose !== null) {
    if (!outside(tokens[loose - 1])) return null;
    // "-5 + 3" has a sign; "- 5 + 3" is the item of a list.
    const { start: at, end } = tokens[loose]!;
    if (end === start && OPERATORS.get(text[at]!) === "-") start = at;
  }
  return { start, end: tokens[equals - 1]!.end, operation: last < equals - 1 };
}

function rightSide(text: string, tokens: Token[], equals: number): Side | null {
  const next = tokens[equals + 1];
  const signed = next?.kind === "operator" && OPERATORS.get(text[next.start]!) === "-";
  const first = equals + (signed ? 2 : 1);
  const { last, loose } = reach(tokens, first, 1);
  if (last === null || (loose !== null && !outside(tokens[loose + 1]))) return null;
  return { start: tokens[equals + 1]!.start, end: tokens[last]!.end, operation: last > first };
}

/** May this token stand next to a side's loose operator without being part of the equation? */
function outside(token: Token | undefined): boolean {
  return token === undefined || token.kind === "line" || token.kind === "mark";
}

/**
 * Walks over `operand { operator operand }` as far as it goes, forwards or backwards.
 * `last` is the last token of the last operand; `loose` an operator after it that has no operand.
 */
function reach(tokens: Token[], from: number, step: 1 | -1): { last: number | null; loose: number | null } {
  let last: number | null = null;
  let loose: number | null = null;
  for (let at = from; ; ) {
    const operand = operandEnd(tokens, at, step);
    if (operand === null) return { last, loose };
    last = operand;
    loose = null;
    at = operand + step;
    if (tokens[at]?.kind !== "operator") return { last, loose };
    loose = at;
    at += step;
  }
}

/** The last token of the operand at `at`: a number, or parentheses that match on this line. */
function operandEnd(tokens: Token[], at: number, step: 1 | -1): number | null {
  const open = step === 1 ? "(" : ")";
  const close = step === 1 ? ")" : "(";
  let depth = 0;
  for (let i = at; ; i += step) {
    const kind = tokens[i]?.kind;
    if (kind === open) depth++;
    else if (kind === close) depth--;
    else if (kind !== "number" && !(kind === "operator" && depth > 0)) return null;
    if (depth === 0) return i;
    if (depth < 0) return null;
  }
}

const SINGLE: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ["(", "("],
  [")", ")"],
  ["=", "="],
  ["\n", "line"],
]);

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < text.length; ) {
    const character = text[at]!;
    if (character === " " || character === "\t" || character === "\r") {
      at++;
      continue;
    }
    const start = at;
    let digitsOnly = true;
    while (isWordCharacter(text, at)) {
      digitsOnly &&= isDigit(text[at]) || text[at] === ".";
      at++;
    }
    if (at > start) {
      tokens.push({ kind: digitsOnly ? "number" : "word", start, end: at });
      continue;
    }
    const kind = SINGLE.get(character) ?? (OPERATORS.has(character) ? "operator" : "mark");
    tokens.push({ kind, start, end: ++at });
  }
  return tokens;
}

/** What is common and no letter: spares the slow Unicode test. */
const OTHER_ASCII = new Set(" \t\r\n+-*/=(),;:!?<>{}\\#");

/** A letter, a digit, an underscore, or a point inside a number. */
function isWordCharacter(text: string, at: number): boolean {
  const character = text[at];
  if (character === undefined) return false;
  if (character === ".") return isDigit(text[at - 1]) && isDigit(text[at + 1]);
  return isDigit(character) || (!OTHER_ASCII.has(character) && /[\p{L}\p{N}_]/u.test(character));
}
