/**
 * What is inside of a template's tag, in the tokens of `@huggingface/jinja`: Python's spellings of strings and numbers,
 * tests with arguments, tuples, and the statements that the library does not know, as others that it does.
 */
import * as library from "@huggingface/jinja";

export interface Token {
  type: string;
  value: string;
}

/** The library's own declarations do not resolve under `nodenext`. */
const { tokenize } = library as unknown as { tokenize: (source: string) => Token[] };

/** Where the string that begins at `from` ends; -1: nowhere. */
export function stringEnd(source: string, from: number): number {
  for (let at = from + 1; at < source.length; at++) {
    if (source[at] === "\\") at++;
    else if (source[at] === source[from]) return at;
  }
  return -1;
}

/** A call that renders its block: what the assistant said, and `with`, which names values for a block. */
export const BLOCK = "(block)";
/** Brackets around a value, which the library forgets, and around a tuple, whose last comma it does not read. */
export const GROUP = "(group)";
export const TUPLE = "(tuple)";
/** Around what a loop runs over that may call itself. */
export const RECURSIVE = "(recursive)";
/** A name for what a `filter` block holds. */
const FILTERED = "(filtered)";

const name = (value: string): Token => ({ type: "Identifier", value });
const call = (callee: string, args: readonly Token[]): Token[] => [
  ...[name(callee), { type: "OpenParen", value: "(" }],
  ...args,
  { type: "CloseParen", value: ")" },
];
const statement = (tokens: readonly Token[]): Token[] => [
  { type: "OpenStatement", value: "{%" },
  ...tokens,
  { type: "CloseStatement", value: "%}" },
];
const isName = (token: Token | undefined, value: string): boolean =>
  token?.type === "Identifier" && token.value === value;

/** The tokens of one tag, as the library's parser takes them. @throws Error for what is no Jinja */
export function tagTokens({ kind, inside }: { kind: "{{" | "{%"; inside: string }): Token[] {
  const code = pythonSpelling(inside).trim();
  const tokens = tokenize(kind === "{%" ? `{% ${code} %}` : `{{ ${code} }}`).slice(1, -1);
  if (kind === "{{") return expression(tokens);
  const rest = tokens.slice(1);
  switch (/^\w+/.exec(code)?.[0]) {
    case "autoescape":
      // Chats are no HTML: there is nothing to turn off.
      if (!/^autoescape\s+[Ff]alse$/.test(code)) break;
      return statement([name("call"), ...call(BLOCK, [])]);
    case "generation":
    case "block":
      return statement([name("call"), ...call(BLOCK, [])]);
    case "with":
      return opened(rest);
    case "endautoescape":
    case "endgeneration":
    case "endblock":
    case "endwith":
      return statement([name("endcall")]);
    case "print":
      return splitAtCommas(rest).flatMap(expression);
    case "filter":
      return rewritten(statement([name("set"), name(FILTERED), { type: "Pipe", value: "|" }, ...rest]));
    case "endfilter":
      return [...statement([name("endset")]), ...expression([name(FILTERED)])];
    case "for":
      return rewritten(statement(loop(tokens)));
  }
  return rewritten(statement(tokens));
}

/** Values beside one another are a tuple. */
function listed(tokens: readonly Token[]): readonly Token[] {
  const last = tokens.at(-1)?.type === "Comma";
  if (!last && splitAtCommas(tokens).length < 2) return tokens;
  return call(TUPLE, last ? tokens.slice(0, -1) : tokens);
}

const expression = (tokens: readonly Token[]): Token[] =>
  rewritten([
    { type: "OpenExpression", value: "{{" },
    ...listed(tokens),
    { type: "CloseExpression", value: "}}" },
  ]);

/** `with a = 1, b = 2` as a call of a block with these names. */
function opened(tokens: readonly Token[]): Token[] {
  const names: Token[] = [];
  const values: Token[] = [];
  for (const [i, part] of splitAtCommas(tokens).entries()) {
    const comma = i === 0 ? [] : [{ type: "Comma", value: "," }];
    names.push(...comma, part[0]);
    values.push(...comma, ...part.slice(2));
  }
  return statement([...call("call", names), ...call(BLOCK, rewritten(values))]);
}

/** `for x in 1, 2 if x recursive`: what it runs over is between `in` and `if`. */
function loop(tokens: readonly Token[]): Token[] {
  const recursive = isName(tokens.at(-1), "recursive");
  const end = recursive ? tokens.length - 1 : tokens.length;
  const top = (value: string, from: number): number => {
    for (let at = from, depth = 0; at < end; at++) {
      depth += depthOf(tokens[at]);
      if (depth === 0 && isName(tokens[at], value)) return at;
    }
    return end;
  };
  const from = top("in", 1) + 1;
  const to = top("if", from);
  const over = listed(tokens.slice(from, to));
  return [
    ...tokens.slice(0, from),
    ...(recursive ? call(RECURSIVE, over) : over),
    ...tokens.slice(to, Math.max(to, end)),
  ];
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
    const is = (offset: number, value: string): boolean => isName(tokens[at + offset], value);
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
