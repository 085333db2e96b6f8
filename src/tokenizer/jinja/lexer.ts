/**
 * Jinja's lexer as transformers sets it up (`trim_blocks`, `lstrip_blocks`): a template as texts and tags
 * (`Lexer.tokeniter` in jinja2/lexer.py).
 */
import { PYTHON_SPACE } from "./values.ts";

export class TemplateSyntaxError extends Error {
  readonly line: number;
  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

/** A text and the tag that follows it: its kind and what is inside. */
export interface Segment {
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

/** @throws TemplateSyntaxError for a tag without an end */
export function* segments(given: string): Generator<Segment> {
  const source = given.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  const next = /\{[{%#]/g;
  let at = 0;
  let line = 1;
  let counted = 0;
  /** Whether the last match ended with a line break. */
  let lineStarts = true;
  const lineAt = (position: number): number => {
    for (; counted < position; counted++) if (source[counted] === "\n") line++;
    return line;
  };
  const matchAt = (pattern: RegExp, position: number): RegExpExecArray | null => {
    pattern.lastIndex = position;
    return pattern.exec(source);
  };
  /** The position after a tag that ends at `end`, and after the blanks that the tag removes. */
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

/** Where the string that begins at `from` ends; -1: nowhere. */
export function stringEnd(source: string, from: number): number {
  for (let at = from + 1; at < source.length; at++) {
    if (source[at] === "\\") at++;
    else if (source[at] === source[from]) return at;
  }
  return -1;
}
