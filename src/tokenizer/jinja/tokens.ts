/** The tokens inside a tag, and a reader of them. */
import { stringEnd } from "./lexer.ts";
import { PYTHON_SPACE } from "./values.ts";

export interface Token {
  type: "name" | "string" | "integer" | "float" | "operator";
  /** A string without its quotes and escapes, a number in JavaScript's spelling. */
  text: string;
}

const LEXEMES = new RegExp(
  [
    `(?<space>[${PYTHON_SPACE}]+)`,
    "(?<float>(?<!\\.)\\d[\\d_]*(?:\\.\\d[\\d_]*(?:e[-+]?\\d+)?|e[-+]?\\d+))",
    "(?<integer>0x[\\da-f_]+|0o[0-7_]+|0b[01_]+|\\d[\\d_]*)",
    "(?<name>[\\p{L}\\p{M}\\p{N}_]+)",
    "(?<operator>\\*\\*|//|[=!<>]=|[-+*/%~()[\\]{}<>=.:|,])",
  ].join("|"),
  "iuy",
);

/** The tokens inside a tag. @throws Error for a text that is not Jinja */
export function tokenize(code: string): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < code.length; ) {
    if (code[at] === "'" || code[at] === '"') {
      const end = stringEnd(code, at);
      if (end < 0) throw new Error("a string has no end");
      tokens.push({ type: "string", text: unescapePython(code.slice(at + 1, end)) });
      at = end + 1;
      continue;
    }
    LEXEMES.lastIndex = at;
    const groups = LEXEMES.exec(code)?.groups;
    if (groups === undefined) throw new Error(`unexpected character ${JSON.stringify(code[at])}`);
    at = LEXEMES.lastIndex;
    for (const type of ["float", "integer", "name", "operator"] as const) {
      const text = groups[type];
      if (text === undefined) continue;
      tokens.push({ type, text: type === "float" || type === "integer" ? text.replaceAll("_", "") : text });
      break;
    }
  }
  return tokens;
}

const ESCAPES: Record<string, string> = {
  ...{ n: "\n", t: "\t", r: "\r", a: "\x07", b: "\b", f: "\f", v: "\v" },
  ...{ "\\": "\\", "'": "'", '"': '"', "\n": "" },
};

/** As Python's `unicode-escape` reads it: an unknown escape keeps its backslash. */
function unescapePython(text: string): string {
  return text.replace(
    /\\(?:x([\dA-Fa-f]{2})|u([\dA-Fa-f]{4})|U([\dA-Fa-f]{8})|([0-7]{1,3})|([\s\S]))/g,
    (all, x, u, long, octal, other) => {
      const code = x ?? u ?? long;
      if (code !== undefined) return String.fromCodePoint(Number.parseInt(code, 16));
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
      return Object.hasOwn(ESCAPES, other) ? ESCAPES[other] : all;
    },
  );
}

/** Reads tokens one after the other; what does not fit is an `Error`. */
export class TokenReader {
  protected at = 0;
  private readonly tokens: readonly Token[];

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }

  protected get token(): Token | undefined {
    return this.tokens[this.at];
  }

  get atEnd(): boolean {
    return this.at >= this.tokens.length;
  }

  is(text: string, ahead = 0): boolean {
    const token = this.tokens[this.at + ahead];
    return (token?.type === "operator" || token?.type === "name") && token.text === text;
  }

  /** Steps over this operator or name if it comes next. */
  skip(text: string): boolean {
    const found = this.is(text);
    if (found) this.at++;
    return found;
  }

  expect(text: string): void {
    if (!this.skip(text)) this.fail(`expected '${text}', found ${this.found()}`);
  }

  name(): string {
    const token = this.token;
    if (token?.type !== "name") return this.fail(`expected a name, found ${this.found()}`);
    this.at++;
    return token.text;
  }

  end(): void {
    if (!this.atEnd) this.fail(`unexpected ${this.found()}`);
  }

  protected found(): string {
    return this.token === undefined ? "the end of the tag" : `'${this.token.text}'`;
  }

  protected fail(message: string): never {
    throw new Error(message);
  }

  /** Reads `one` between commas up to `close`, which ends the list. */
  list<T>(close: string, one: () => T): T[] {
    const items: T[] = [];
    while (!this.skip(close)) {
      if (items.length > 0) {
        this.expect(",");
        if (this.skip(close)) break;
      }
      items.push(one());
    }
    return items;
  }
}
