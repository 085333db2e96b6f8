/** The arithmetic of a thought as tokens: numbers, operators in all their spellings, words and marks. */
import { isDigit, OPERATORS } from "./expression.ts";

export type Kind = "number" | "word" | "operator" | "(" | ")" | "=" | "line" | "mark";

export interface Token {
  kind: Kind;
  /** In characters (UTF-16 units) from the start of the text. */
  start: number;
  end: number;
  /** A number without thousands commas, an operator as "+", "-", "*", "/", "^" or "√", else the text itself. */
  text: string;
}

const SIGNS: ReadonlyMap<string, string> = new Map([
  ...OPERATORS,
  ["–", "-"],
  ["·", "*"],
  ["⋅", "*"],
  ["∙", "*"],
  ["∗", "*"],
  ["∕", "/"],
  ["^", "^"],
  ["√", "√"],
]);

/** LaTeX commands by their operator; "" is skipped. */
const LATEX: ReadonlyMap<string, string> = new Map([
  ["times", "*"],
  ["cdot", "*"],
  ["div", "/"],
  ["left", ""],
  ["right", ""],
  ["quad", ""],
]);

const SINGLE: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ["(", "("],
  [")", ")"],
  ["=", "="],
  ["\n", "line"],
]);

const BLANKS = " \t\r";
const CURRENCIES = "$€£";

/** Linear in the text. */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  const put = (kind: Kind, start: number, end: number, as = text.slice(start, end)) => {
    tokens.push({ kind, start, end, text: as });
    return end;
  };
  for (let at = 0; at < text.length; ) {
    const character = text[at]!;
    if (BLANKS.includes(character)) at++;
    else if (isWordCharacter(text, at)) at = word(text, at, put);
    else if (character === "\\") at = latex(text, at, put);
    else if (CURRENCIES.includes(character) && isWordCharacter(text, at + 1)) at++;
    else if (character === "*" && text[at + 1] === "*") {
      // Tight on one side only it is bold type; else Python's power.
      const bold = isBlank(text[at - 1]) !== isBlank(text[at + 2]);
      at = put(bold ? "mark" : "operator", at, at + 2, bold ? "**" : "^");
    } else {
      const sign = SIGNS.get(character);
      at = put(sign ? "operator" : (SINGLE.get(character) ?? "mark"), at, at + 1, sign);
    }
  }
  return withTimes(withThousands(tokens));
}

type Put = (kind: Kind, start: number, end: number, as?: string) => number;

function word(text: string, start: number, put: Put): number {
  let end = start;
  while (isWordCharacter(text, end)) end++;
  const read = text.slice(start, end);
  if (/^\d+(?:\.\d+)?$/.test(read)) return put("number", start, end);
  return /^\.\d+$/.test(read) ? put("number", start, end, `0${read}`) : put("word", start, end);
}

function latex(text: string, start: number, put: Put): number {
  let end = start + 1;
  while (end < text.length && /[a-zA-Z]/.test(text[end]!)) end++;
  if (end === start + 1) {
    const next = text[end] ?? "";
    // A space; the beginning and the end of mathematics; \$, \% and the like are what they escape.
    if (",;:! ".includes(next)) return end + 1;
    return "()[]".includes(next) ? put("mark", start, end + 1, ";") : end;
  }
  const meant = LATEX.get(text.slice(start + 1, end));
  if (meant === "") return end;
  return put(meant === undefined ? "mark" : "operator", start, end, meant);
}

/** 1,234 as one number, but not in "=111,111-5=94", where one equation ends and the next begins. */
function withThousands(tokens: Token[]): Token[] {
  const merged: Token[] = [];
  tokens.forEach((token, i) => {
    const [comma, before] = [merged.at(-1), merged.at(-2)];
    const isGroup =
      comma?.text === "," &&
      before !== undefined &&
      /^[1-9]\d*$/.test(before.text) &&
      (before.end - before.start <= 3 || before.text.length < before.end - before.start) &&
      /^\d{3}(?:\.\d+)?$/.test(token.text) &&
      before.end === comma.start &&
      comma.end === token.start;
    if (isGroup && !(endsSide(merged, merged.length - 2) && leadsToEquals(tokens, i))) {
      merged.length -= 2;
      merged.push({ kind: "number", start: before.start, end: token.end, text: before.text + token.text });
    } else merged.push(token);
  });
  return merged;
}

/** Whether this number belongs to the right side of a "=". */
function endsSide(tokens: Token[], at: number): boolean {
  let i = at;
  while (isArithmetic(tokens[i])) i--;
  return tokens[i]?.kind === "=";
}

/** Whether arithmetic that begins here ends at a "=". */
export function leadsToEquals(tokens: Token[], at: number): boolean {
  let i = at;
  while (isArithmetic(tokens[i])) i++;
  return tokens[i]?.kind === "=";
}

export function isArithmetic(token: Token | undefined): boolean {
  return (
    token !== undefined && (token.kind === "number" || token.kind === "operator" || "()".includes(token.kind))
  );
}

/** An x alone between two operands is a multiplication sign. */
function withTimes(tokens: Token[]): Token[] {
  tokens.forEach((token, i) => {
    const [before, after] = [tokens[i - 1]?.kind, tokens[i + 1]?.kind];
    const operands = (before === "number" || before === ")") && (after === "number" || after === "(");
    if (/^[xX]$/.test(token.text) && operands) tokens[i] = { ...token, kind: "operator", text: "*" };
  });
  return tokens;
}

function isBlank(character: string | undefined): boolean {
  return character === undefined || character === "\n" || BLANKS.includes(character);
}

/** What is common and no letter: spares the slow Unicode test. */
// Stryker disable next-line StringLiteral: without it the same is true, later
const OTHER_ASCII = new Set(" \t\r\n+-*/=(),;:!?<>{}\\#");

/** A letter, a digit, an underscore, or a point before a digit that does not end a sentence. */
function isWordCharacter(text: string, at: number): boolean {
  const character = text[at];
  if (character === undefined) return false;
  if (character === ".") return isDigit(text[at + 1]) && !/[\p{L}_)]/u.test(text[at - 1] ?? "");
  return isDigit(character) || (!OTHER_ASCII.has(character) && /[\p{L}\p{N}_]/u.test(character));
}
