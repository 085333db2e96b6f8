/**
 * A Jinja template as a tree. The expressions inside its tags are read by `@huggingface/jinja`; what that library reads
 * otherwise than Jinja 3 as transformers sets it up (`trim_blocks`, `lstrip_blocks`, `loopcontrols`, the `generation`
 * tag) is done here: where tags begin and end, blanks beside them, `raw`, Python's spellings of strings and numbers,
 * and tests with arguments. Lines are kept as comments.
 */
import * as library from "@huggingface/jinja";
import { PYTHON_SPACE } from "./values.ts";

/** A node as the library builds it; `type` says which fields there are. */
export interface Node {
  type: string;
  [field: string]: unknown;
}

interface Token {
  type: string;
  value: string;
}

/** The library's own declarations do not resolve under `nodenext`. */
const { tokenize, parse } = library as unknown as {
  tokenize: (source: string) => Token[];
  parse: (tokens: readonly Token[]) => Node;
};

export class TemplateSyntaxError extends Error {
  readonly line: number;
  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

/** @throws TemplateSyntaxError */
export function parseTemplate(source: string): Node {
  const tokens: Token[] = [];
  const lines: number[] = [];
  const add = (line: number, more: readonly Token[]): void => {
    for (const token of more) {
      tokens.push(token);
      lines.push(line);
    }
  };
  for (const { line, text, tag } of segments(source)) {
    if (text !== "") add(line, [{ type: "Text", value: text }]);
    if (tag === null) continue;
    add(line, [{ type: "Comment", value: String(line) }]);
    try {
      add(line, tagTokens(tag));
    } catch (error) {
      throw new TemplateSyntaxError(line, (error as Error).message);
    }
  }
  try {
    return parse(tokens);
  } catch (first) {
    if (first instanceof RangeError) throw first;
    // The library keeps no positions: the token that it looked at last is where it failed.
    let furthest = 0;
    const watched = new Proxy(tokens, {
      get(target, key, receiver) {
        if (typeof key === "string" && /^\d+$/.test(key)) furthest = Math.max(furthest, Number(key));
        return Reflect.get(target, key, receiver);
      },
    });
    try {
      return parse(watched);
    } catch {
      const ended = furthest >= tokens.length;
      throw new TemplateSyntaxError(
        lines[Math.min(furthest, lines.length - 1)] ?? 1,
        ended ? "the template ends inside a block" : (first as Error).message,
      );
    }
  }
}

/** Text, and the tag behind it: "{{", "{%" and what is inside. */
interface Segment {
  line: number;
  text: string;
  tag: { kind: "{{" | "{%"; inside: string } | null;
}

const SPACES = new RegExp(`[${PYTHON_SPACE}]+`, "uy");
const RAW = new RegExp(
  `\\{%([-+]?)[${PYTHON_SPACE}]*raw[${PYTHON_SPACE}]*(?:-%\\}[${PYTHON_SPACE}]*|%\\})`,
  "uy",
);
const END_RAW = new RegExp(`\\{%([-+]?)[${PYTHON_SPACE}]*endraw[${PYTHON_SPACE}]*([-+]?)%\\}`, "gu");

/** Jinja's lexer (`Lexer.tokeniter` in jinja2/lexer.py) down to the tags. */
function* segments(given: string): Generator<Segment> {
  const source = given.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  const next = /\{[{%#]/g;
  let at = 0;
  let line = 1;
  let counted = 0;
  /** What was matched last ended with a line break. */
  let lineStarts = true;
  const lineAt = (position: number): number => {
    for (; counted < position; counted++) if (source[counted] === "\n") line++;
    return line;
  };
  const matchAt = (pattern: RegExp, position: number): RegExpExecArray | null => {
    pattern.lastIndex = position;
    return pattern.exec(source);
  };
  /** The position behind a tag whose end is at `end`, and the blanks that go with it. */
  const after = (end: number, sign: string, trims: boolean): number => {
    if (sign === "-") return end + (matchAt(SPACES, end)?.[0].length ?? 0);
    return trims && sign !== "+" && source[end] === "\n" ? end + 1 : end;
  };
  const before = (text: string, sign: string, block: boolean): string => {
    if (sign === "-") return trimEnd(text);
    if (sign === "+" || !block) return text;
    const start = text.lastIndexOf("\n") + 1;
    return (start > 0 || lineStarts) && isSpace(text.slice(start)) ? text.slice(0, start) : text;
  };
  const signAt = (position: number): string => (/[-+]/.test(source[position] ?? "") ? source[position] : "");

  while (at < source.length) {
    next.lastIndex = at;
    const open = next.exec(source)?.index ?? source.length;
    const text = source.slice(at, open);
    if (open === source.length) {
      yield { line: lineAt(open), text, tag: null };
      return;
    }
    const kind = source.slice(open, open + 2);
    const tagLine = lineAt(open);
    const raw = kind === "{%" ? matchAt(RAW, open) : null;
    if (raw !== null) {
      const from = open + raw[0].length;
      const end = matchAt(END_RAW, from);
      if (end === null) throw new TemplateSyntaxError(tagLine, "Missing end of raw directive");
      yield { line: tagLine, text: before(text, raw[1], true), tag: null };
      lineStarts = raw[0].endsWith("\n");
      yield { line: tagLine, text: before(source.slice(from, end.index), end[1], true), tag: null };
      at = after(end.index + end[0].length, end[2], true);
    } else {
      const sign = signAt(open + 2);
      const comment = kind === "{#";
      const close = comment ? source.indexOf("#}", open + 2) : tagEnd(source, open + 2 + sign.length, kind);
      if (close < 0)
        throw new TemplateSyntaxError(
          lineAt(source.length),
          `the tag that begins with ${kind} in line ${tagLine} has no end`,
        );
      const last = close - 1 > open + 1 && (close - 1 !== open + 2 || sign === "") ? signAt(close - 1) : "";
      // In an expression a plus is an operator.
      const ending = kind === "{{" && last === "+" ? "" : last;
      const inside = source.slice(open + 2 + sign.length, close - ending.length);
      yield {
        line: tagLine,
        text: before(text, sign, kind !== "{{"),
        tag: comment ? null : { kind: kind as "{{" | "{%", inside },
      };
      at = after(close + 2, ending, kind !== "{{");
    }
    lineStarts = source[at - 1] === "\n";
  }
}

const isSpace = (text: string): boolean => trimEnd(text) === "";

function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && SPACE.test(text[end - 1])) end--;
  return text.slice(0, end);
}
const SPACE = new RegExp(`[${PYTHON_SPACE}]`, "u");

/** Where the tag's end begins, outside of strings and brackets; -1: nowhere. */
function tagEnd(source: string, from: number, kind: string): number {
  const end = kind === "{{" ? "}}" : "%}";
  let depth = 0;
  for (let at = from; at < source.length; at++) {
    const character = source[at];
    if (depth === 0 && source.startsWith(end, at)) return at;
    if (character === "'" || character === '"') {
      at = stringEnd(source, at);
      if (at < 0) return -1;
    } else if ("([{".includes(character)) depth++;
    else if (")]}".includes(character)) depth--;
  }
  return -1;
}

function stringEnd(source: string, from: number): number {
  for (let at = from + 1; at < source.length; at++) {
    if (source[at] === "\\") at++;
    else if (source[at] === source[from]) return at;
  }
  return -1;
}

/** A call that renders its block: the tag marks what the assistant said, and `with` names values for a block. */
export const BLOCK = "(block)";
/** Brackets around a value, which the library forgets, and around a tuple, whose last comma it does not read. */
export const GROUP = "(group)";
export const TUPLE = "(tuple)";

function tagTokens({ kind, inside }: { kind: "{{" | "{%"; inside: string }): Token[] {
  const code = pythonSpelling(inside).trim();
  const word = kind === "{%" ? /^\w+/.exec(code)?.[0] : undefined;
  const blockCall = (opening: Token[]): Token[] => [
    ...[
      { type: "OpenStatement", value: "{%" },
      { type: "Identifier", value: "call" },
    ],
    ...opening,
    { type: "CloseStatement", value: "%}" },
  ];
  const paren = (tokens: Token[]): Token[] => [
    { type: "OpenParen", value: "(" },
    ...tokens,
    { type: "CloseParen", value: ")" },
  ];
  const name: Token = { type: "Identifier", value: BLOCK };
  if (word === "generation") return blockCall([name, ...paren([])]);
  if (word === "endgeneration" || word === "endwith") return tokenize("{% endcall %}");
  if (word === "with") {
    const [, ...tokens] = tokenize(`{% ${code} %}`).slice(0, -1);
    const names: Token[] = [];
    const values: Token[] = [];
    for (const [i, part] of splitAtCommas(tokens.slice(1)).entries()) {
      const comma = i === 0 ? [] : [{ type: "Comma", value: "," }];
      names.push(...comma, part[0]);
      values.push(...comma, ...part.slice(2));
    }
    return blockCall([...paren(names), name, ...paren(rewritten(values))]);
  }
  const close = kind === "{%" ? "%}" : "}}";
  return rewritten(tokenize(`${kind} ${code} ${close}`));
}

const rewritten = (tokens: readonly Token[]): Token[] => withTestArguments(withGroups(tokens));

const KEYWORDS = ["if", "elif", "else", "in", "is", "not", "and", "or", "for", "set"];

/** Marks the brackets that are no call's: `(a < b) == c` is no chain, `(a,)` and `()` are tuples. */
function withGroups(tokens: readonly Token[]): Token[] {
  const result: Token[] = [];
  const closes: { tuple: boolean }[] = [];
  for (const [at, token] of tokens.entries()) {
    const before = tokens[at - 1];
    const called =
      before !== undefined &&
      (before.type === "CloseParen" ||
        before.type === "CloseSquareBracket" ||
        (before.type === "Identifier" &&
          (!KEYWORDS.includes(before.value) || tokens[at - 2]?.type === "Dot")));
    if (token.type === "OpenParen") {
      const end = closing(tokens, at) - 1;
      const inside = tokens.slice(at + 1, end);
      const last = inside.at(-1)?.type === "Comma";
      const commas = splitAtCommas(inside).length > 1;
      const mark = called || (commas && !last) ? null : last || inside.length === 0 ? TUPLE : GROUP;
      // Names to set, or a block's parameters, are no values.
      if (mark !== null && !isTarget(tokens, end)) result.push({ type: "Identifier", value: mark });
      closes.push({ tuple: mark === TUPLE });
      result.push(token);
    } else if (token.type === "CloseParen") {
      if (closes.pop()?.tuple && result.at(-1)?.type === "Comma") result.pop();
      result.push(token);
    } else result.push(token);
  }
  return result;
}

const isTarget = (tokens: readonly Token[], end: number): boolean =>
  tokens[1]?.value === "set" && tokens.findIndex(({ type }) => type === "Equals") > end;

function splitAtCommas(tokens: readonly Token[]): Token[][] {
  const parts: Token[][] = [[]];
  let depth = 0;
  for (const token of tokens) {
    depth += depthOf(token);
    if (token.type === "Comma" && depth === 0) parts.push([]);
    else parts[parts.length - 1].push(token);
  }
  return parts.filter((part) => part.length > 0);
}

const depthOf = ({ type }: Token): number =>
  /^Open(Paren|S|C)/.test(type) ? 1 : /^Close(Paren|S|C)/.test(type) ? -1 : 0;

/** Python's strings and numbers in the library's spelling. */
function pythonSpelling(code: string): string {
  let result = "";
  for (let at = 0; at < code.length; ) {
    const character = code[at];
    if (character === "'" || character === '"') {
      const end = stringEnd(code, at);
      if (end < 0) throw new Error("a string has no end");
      const text = unescapePython(code.slice(at + 1, end));
      result += `"${text.replace(/[\\"]/g, "\\$&")}"`;
      at = end + 1;
      continue;
    }
    const number = /(?:0x[\da-f_]+|0o[0-7_]+|0b[01_]+|\d[\d_]*(?:\.\d[\d_]*)?(?:e[-+]?\d+)?)/iy;
    number.lastIndex = at;
    const found = /[\w.]/.test(code[at - 1] ?? "") ? null : number.exec(code)?.[0];
    if (found) {
      const value = Number(found.replaceAll("_", ""));
      const isFloat = /[.e]/i.test(found) && !/^0x/i.test(found);
      result += isFloat && Number.isInteger(value) ? `${BigInt(value)}.0` : decimal(value);
      at += found.length;
    } else {
      result += character;
      at++;
    }
  }
  return result;
}

const decimal = (value: number): string =>
  /e/.test(String(value)) ? value.toFixed(20).replace(/0+$/, "") : String(value);

const ESCAPES: Record<string, string> = {
  ...{ n: "\n", t: "\t", r: "\r", a: "\x07", b: "\b", f: "\f", v: "\v" },
  ...{ "\\": "\\", "'": "'", '"': '"', "\n": "" },
};

/** As Python's `unicode-escape` reads it: what is no escape stays. */
function unescapePython(text: string): string {
  return text.replace(
    /\\(?:x([\dA-Fa-f]{2})|u([\dA-Fa-f]{4})|U([\dA-Fa-f]{8})|([0-7]{1,3})|([\s\S]))/g,
    (whole, x, u, long, octal, other) => {
      const code = x ?? u ?? long;
      if (code !== undefined) return String.fromCodePoint(Number.parseInt(code, 16));
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
      return Object.hasOwn(ESCAPES, other) ? ESCAPES[other] : whole;
    },
  );
}

const BEGINS_ARGUMENT = [
  "Identifier",
  "StringLiteral",
  "NumericLiteral",
  "OpenSquareBracket",
  "OpenCurlyBracket",
];
const NO_ARGUMENT = ["else", "or", "and", "is", "if", "in", "not", "recursive"];

/** `x is divisibleby 3` as the filter `x | is divisibleby(3)`: the library's tests have no arguments. */
function withTestArguments(tokens: readonly Token[]): Token[] {
  const result: Token[] = [];
  for (let at = 0; at < tokens.length; at++) {
    const is = (offset: number, value: string): boolean =>
      tokens[at + offset]?.type === "Identifier" && tokens[at + offset].value === value;
    const follows =
      tokens[at - 1] !== undefined && !["Dot", "Pipe", "OpenStatement"].includes(tokens[at - 1].type);
    if (!is(0, "is") || !follows || tokens[at + 1]?.type === "Equals") {
      result.push(tokens[at]);
      continue;
    }
    const negated = is(1, "not");
    if (negated) at++;
    at++;
    const name = tokens[at];
    if (name === undefined) break;
    result.push({ type: "Pipe", value: "|" });
    result.push({ type: "Identifier", value: `is ${negated ? "not " : ""}${name.value}` });
    const argument = tokens[at + 1];
    if (argument === undefined || !BEGINS_ARGUMENT.includes(argument.type)) continue;
    if (argument.type === "Identifier" && NO_ARGUMENT.includes(argument.value)) continue;
    const end = operandEnd(tokens, at + 1);
    result.push({ type: "OpenParen", value: "(" });
    result.push(...withTestArguments(tokens.slice(at + 1, end)));
    result.push({ type: "CloseParen", value: ")" });
    at = end - 1;
  }
  return result;
}

/** Behind one name, literal or bracket with what is looked up in it. */
function operandEnd(tokens: readonly Token[], from: number): number {
  let at = closing(tokens, from);
  for (;;) {
    const type = tokens[at]?.type;
    if (type === "Dot") at += 2;
    else if (type === "OpenSquareBracket" || type === "OpenParen") at = closing(tokens, at);
    else return at;
  }
}

function closing(tokens: readonly Token[], from: number): number {
  let depth = 0;
  for (let at = from; at < tokens.length; at++) {
    depth += depthOf(tokens[at]);
    if (depth <= 0) return at + 1;
  }
  return tokens.length;
}
