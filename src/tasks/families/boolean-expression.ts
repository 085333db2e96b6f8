/** The value of a Boolean expression, or for how many values of its variables it is true. */
import type { Random } from "../../lib/random.ts";
import { type Drawn, family } from "./family.ts";
import { readWhole, readWord } from "./readers.ts";

export interface BooleanExpression {
  /** Operators with two sides are in parentheses, except the outermost; so no precedence is needed, but that of "not". */
  expression: string;
  /** All that it has: none, or "A", "B", "C" and so on. */
  variables: string[];
}

interface Level {
  variables: string[];
  /** Operators with two sides, from and to. */
  size: [number, number];
  operators: string[];
  text: string;
}

const PLAIN = ["and", "or"];
const WITH_XOR = [...PLAIN, "xor"];

const LEVELS: readonly Level[] = [
  { variables: [], size: [3, 4], operators: PLAIN, text: "the value, 3 or 4 operators beside `not`" },
  { variables: [], size: [6, 7], operators: PLAIN, text: "6 or 7 operators" },
  { variables: [], size: [9, 11], operators: WITH_XOR, text: "9 to 11 operators, also `xor`" },
  {
    variables: ["A", "B", "C"],
    size: [4, 6],
    operators: WITH_XOR,
    text: "how many of 8 assignments make it true",
  },
  { variables: ["A", "B", "C", "D"], size: [7, 9], operators: WITH_XOR, text: "how many of 16 assignments" },
];

export const booleanExpression = family<"boolean-expression", BooleanExpression>({
  kind: "boolean-expression",
  levels: LEVELS.map(({ text }) => text),
  example: {
    data: { expression: "not (True and False)", variables: [] },
    thought: "True and False is False. not False is True.",
  },
  draw,
  question({ expression, variables }) {
    if (variables.length === 0) return `What is the value of ${expression}? Answer with True or False.`;
    const names = `${variables.slice(0, -1).join(", ")} and ${variables.at(-1)}`;
    return `Each of ${names} is True or False. How many of the ${2 ** variables.length} combinations make ${expression} True? Answer with a number.`;
  },
  read: (text, { variables }) =>
    variables.length === 0 ? readWord(text, ["True", "False"]) : readWhole(text),
  solve({ expression, variables }) {
    const values = Array.from({ length: 2 ** variables.length }, (_, row) =>
      evaluate(expression, new Map(variables.map((name, i) => [name, Math.floor(row / 2 ** i) % 2 === 1]))),
    );
    const count = values.filter(Boolean).length;
    return variables.length > 0 ? String(count) : count === 1 ? "True" : "False";
  },
});

function evaluate(expression: string, variables: ReadonlyMap<string, boolean>): boolean {
  const tokens = expression.match(/\w+|[()]/g) ?? [];
  let at = 0;
  const operand = (): boolean => {
    const token = tokens[at++]!;
    if (token === "not") return !operand();
    if (token !== "(") return variables.get(token) ?? token === "True";
    const value = both();
    at++;
    return value;
  };
  const both = (): boolean => {
    const left = operand();
    if (at === tokens.length || tokens[at] === ")") return left;
    const operator = tokens[at++];
    const right = operand();
    return operator === "and" ? left && right : operator === "or" ? left || right : left !== right;
  };
  return both();
}

/** A part of an expression with its truth table: bit `i` is its value in row `i`. */
interface Part {
  text: string;
  table: number;
  /** Whether it is in one piece: "not" binds it without parentheses. */
  closed: boolean;
}

/** The generator knows the table of every part as it puts them together. */
function draw(random: Random, level: number): Drawn<BooleanExpression> | null {
  const { variables, size, operators } = LEVELS[level - 1]!;
  const rows = 2 ** variables.length;
  const full = 2 ** rows - 1;
  const names = variables.length > 0 ? variables : ["True", "False"];
  const leaf = (): Part => {
    const text = random.pick(names);
    const table = variables.length > 0 ? column(variables.indexOf(text), rows) : text === "True" ? 1 : 0;
    return { text, table, closed: true };
  };
  const build = (size: number): Part => {
    if (size === 0) return negated(leaf());
    const left = random.integer(0, size - 1);
    const [a, b] = [build(left), build(size - 1 - left)];
    const operator = random.pick(operators);
    const table =
      operator === "and" ? a.table & b.table : operator === "or" ? a.table | b.table : a.table ^ b.table;
    return negated({ text: `${inner(a)} ${operator} ${inner(b)}`, table, closed: false });
  };
  const negated = (part: Part): Part =>
    random.integer(0, 3) > 0 ? part : { text: `not ${inner(part)}`, table: full - part.table, closed: true };
  const inner = ({ text, closed }: Part) => (closed ? text : `(${text})`);

  const { text, table } = build(random.integer(...size));
  const data = { expression: text, variables };
  if (variables.length === 0) {
    // As often true as false.
    return table === random.integer(0, 1) ? { data, answer: table === 1 ? "True" : "False" } : null;
  }
  const count = table.toString(2).replaceAll("0", "").length;
  const varies = count > 0 && count < rows && variables.every((name) => text.includes(name));
  return varies ? { data, answer: String(count) } : null;
}

/** The table of variable `i`, which is true in the rows that have bit `i`. */
function column(i: number, rows: number): number {
  let table = 0;
  for (let row = 0; row < rows; row++) if ((row >> i) & 1) table |= 1 << row;
  return table;
}
