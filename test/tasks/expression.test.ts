import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EXPRESSION_LIMITS, expression, named } from "../../src/tasks/expression.ts";
import { anyText, textOf } from "./any-text.ts";

const value = (text: string) => {
  const found = expression(text);
  return found.ok ? found.value.toFraction() : found.reason;
};

describe("expression", () => {
  it.each([
    ["7", "7"],
    ["0", "0"],
    ["1+2*3", "7"],
    ["(1+2)*3", "9"],
    ["10-4-3", "3"],
    ["64/8/2", "4"],
    ["7/2", "7/2"],
    ["1/3+1/6", "1/2"],
    ["2-5", "-3"],
    [" 8 \t/ ( 3 -\n8 / 3 ) ", "24"],
    ["6 × 7", "42"],
    ["84 ÷ 2", "42"],
    ["50 − 8", "42"],
    ["((((5))))", "5"],
    ["9007199254740993 - 9007199254740992", "1"],
    ["1/900000000000000000000000000001*900000000000000000000000000001", "1"],
  ])("%j is %s", (text, right) => {
    expect(value(text)).toBe(right);
  });

  it.each([
    ["", "number expected, found the end"],
    ["  ", "number expected, found the end"],
    ["1+", "number expected, found the end"],
    ["+1", 'number expected, found "+"'],
    ["-1", 'number expected, found "-"'],
    ["3*-2", 'number expected, found "-"'],
    ["2**3", 'number expected, found "*"'],
    ["7//2", 'number expected, found "/"'],
    ["2.5*4", 'unexpected "."'],
    [".5", 'number expected, found "."'],
    ["1e3", 'unexpected "e"'],
    ["0x10", 'unexpected "x"'],
    ["0b1", 'unexpected "b"'],
    ["1_000", 'unexpected "_"'],
    ["1,000", 'unexpected ","'],
    ["2^3", 'unexpected "^"'],
    ["5!", 'unexpected "!"'],
    ["7%4", 'unexpected "%"'],
    ["1=1", 'unexpected "="'],
    ["8 2", 'unexpected "2"'],
    ["(1)(2)", 'unexpected "("'],
    ["2(3)", 'unexpected "("'],
    ["(1+2", '")" expected, found the end'],
    ["1+2)", 'unexpected ")"'],
    ["()", 'number expected, found ")"'],
    ["1/0", "division by zero"],
    ["1/(2-2)", "division by zero"],
    ["007", "number with a leading zero: 007"],
    ["00", "number with a leading zero: 00"],
    ["NaN", 'number expected, found "N"'],
    ["Infinity", 'number expected, found "I"'],
    ["process.exit(1)", 'number expected, found "p"'],
    ["1;2", 'unexpected ";"'],
    ["٣+٤", "number expected, found U+0663"],
    ["１+2", "number expected, found U+FF11"],
    ["𝟏+2", "number expected, found U+1D7CF"],
    ["²", "number expected, found U+00B2"],
    ["1\u200b+2", "unexpected U+200B"],
    ["1\u00a0+2", "unexpected U+00A0"],
    ["1∕2", "unexpected U+2215"],
    ["1\u0000", "unexpected U+0000"],
    ["\ud800", "number expected, found U+D800"],
    ["9".repeat(31), "number longer than 30 digits"],
    [`${"(".repeat(51)}1${")".repeat(51)}`, "parentheses nested deeper than 50"],
    ["(".repeat(900), "parentheses nested deeper than 50"],
    ["(".repeat(10_000), "expression longer than 1000 characters"],
    [`${"1+".repeat(600)}1`, "expression longer than 1000 characters"],
  ])("%j is refused: %s", (text, reason) => {
    expect(expression(text)).toEqual({ ok: false, reason });
  });

  it("has limits that are allowed themselves", () => {
    const ones = `1${"+1".repeat(499)}`;
    expect(value(`${ones} `)).toBe("500");
    expect(value(`${ones}  `)).toBe("expression longer than 1000 characters");
    expect(value(`${"(".repeat(50)}1${")".repeat(50)}`)).toBe("1");
    // Beside each other they are not nested.
    expect(value(`${"(1)+".repeat(59)}(1)`)).toBe("60");
    expect(value("9".repeat(30))).toBe("9".repeat(30));
  });

  it("names characters by themselves or by their code", () => {
    const names = ["!", "~", " ", "\x7f", "é"].map((text) => named(text, 0));
    expect(names).toEqual(['"!"', '"~"', "U+0020", "U+007F", "U+00E9"]);
  });

  it("lists the literals in their order, as written", () => {
    expect(expression("(82 - 27) * 11 / 27")).toMatchObject({ ok: true, literals: ["82", "27", "11", "27"] });
  });

  it("values the largest allowed products at once", () => {
    const nines = "9".repeat(EXPRESSION_LIMITS.digits);
    const product = Array.from({ length: 32 }, () => nines).join("*");
    expect(product.length).toBeLessThanOrEqual(EXPRESSION_LIMITS.length);
    expect(value(product)).toBe((BigInt(nines) ** 32n).toString());
  });

  it("agrees with an independent form: a random tree, shown with parentheses everywhere", () => {
    // JavaScript's own grammar is the twin: the tree's text uses only what both share, on small integers.
    const tree = fc.letrec<{ node: string }>((tie) => ({
      node: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        fc.integer({ min: 0, max: 20 }).map(String),
        fc
          .tuple(tie("node"), fc.constantFrom("+", "-", "*"), tie("node"))
          .map(([a, op, b]) => `(${a} ${op} ${b})`),
      ),
    })).node;
    fc.assert(
      fc.property(tree, (text) => {
        const twin = new Function(`return BigInt(${text.replace(/\d+/g, "$&n")})`)() as bigint;
        const found = expression(text);
        if (text.length > EXPRESSION_LIMITS.length || !found.ok) return !found.ok;
        return found.value.d === 1n && found.value.s * found.value.n === twin;
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  it("never throws", () => {
    const known = textOf(..."0123456789+-*/() .×÷−=x٣\u200b");
    fc.assert(
      fc.property(fc.oneof(anyText, known), (text) => {
        const { ok } = expression(text);
        return typeof ok === "boolean";
      }),
      { numRuns: 400, seed: 1 },
    );
  });
});
