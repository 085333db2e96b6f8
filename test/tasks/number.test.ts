import fc from "fast-check";
import { Fraction } from "fraction.js";
import { describe, expect, it } from "vitest";
import { changesValue, clip, parseNumber, showNumber } from "../../src/tasks/number.ts";
import { anyText, textOf } from "./any-text.ts";

const value = (text: string) => {
  const found = parseNumber(text);
  return found.ok ? found.value.toFraction() : null;
};

describe("parseNumber", () => {
  it.each([
    ["42", "42"],
    [" \n42\t", "42"],
    ["0", "0"],
    ["-0", "0"],
    ["-3", "-3"],
    ["−3", "-3"],
    ["+3", "3"],
    ["1,234", "1234"],
    ["12,345,678", "12345678"],
    ["0.5", "1/2"],
    [".5", "1/2"],
    ["2.50", "5/2"],
    ["-1,234.5", "-2469/2"],
    ["3/4", "3/4"],
    ["6 / 8", "3/4"],
    ["-3/4", "-3/4"],
    ["\\frac{1}{2}", "1/2"],
    ["-\\dfrac{3}{4}", "-3/4"],
    ["\\tfrac{-3}{4}", "-3/4"],
    ["$42", "42"],
    ["-$5", "-5"],
    ["$-5", "-5"],
    ["\\$5.25", "21/4"],
    ["€7", "7"],
    ["$42$", "42"],
    ["$\\frac{1}{2}$", "1/2"],
    ["\\(42\\)", "42"],
    ["50%", "50"],
    ["50 %", "50"],
    ["50\\%", "50"],
    ["42.", "42"],
    ["50%.", "50"],
    ["9007199254740993", "9007199254740993"],
  ])("%j is %s", (text, right) => {
    expect(value(text)).toBe(right);
  });

  it.each([
    "",
    "   ",
    "-",
    "$",
    "%",
    ".",
    "--3",
    "+-3",
    "-$-5",
    "42..",
    "4.2.1",
    "1,23",
    "1,2345",
    "12,34,567",
    ",234",
    "0,234",
    "1, 234",
    "1 234",
    "1_234",
    "4,5",
    "1,3,5",
    "1, 3, 5, \\ldots",
    "a=4,5",
    "a=3,5",
    "12:30",
    "1:30",
    "\\pm 5",
    "±5",
    "5±0",
    "\\frac{1}{900!}",
    "2^{-90}",
    "2^{-91}",
    "2**3",
    "9^{9^{9^9}}",
    "(1+x)^{100000}",
    "1-\\sqrt{3}",
    "\\sqrt{4}",
    "(2, \\frac{\\pi}{3})",
    "\\frac{1}{0}",
    "1/0",
    "1/2/3",
    "3/-4",
    "1.5/2",
    "\\frac{1.5}{2}",
    "\\frac12",
    "1 1/2",
    "1e3",
    "1E3",
    "1e999999999",
    "0x2A",
    "0b101010",
    "0o52",
    "042",
    "00",
    "42n",
    "NaN",
    "Infinity",
    "-Infinity",
    "null",
    "forty-two",
    "5 thousand",
    "5k",
    "5 dozen",
    "42 apples",
    "42 or 43",
    "42\n43",
    "42 43",
    "x = 42",
    "6*7",
    "21+21",
    "٤٢",
    "４２",
    "𝟒𝟐",
    "42\u200b",
    "4\u200b2",
    "\u00a042",
    "&#52;2",
    "<b>42</b>",
    "'42'",
    "[42]",
    "{42}",
    "42;process.exit(1)",
    "50%%",
    "50% 60%",
  ])("%j is no number", (text) => {
    expect(parseNumber(text)).toMatchObject({ ok: false });
  });

  it.each([
    ["$$42$$", "42"],
    ["\\[42\\]", "42"],
    ["**42**", "42"],
    ["__42__", "42"],
    ["*42*", "42"],
    ["`42`", "42"],
    ["\\text{42}", "42"],
    ["\\textbf{42}", "42"],
    ["\\mathbf{-42}", "-42"],
    ["\\mathrm{42}", "42"],
    ["**$1{,}234$**.", "1234"],
    ["$\\textbf{42.}$", "42"],
    ["**42.**", "42"],
    ["\\,42\\;", "42"],
    ["~42~", "42"],
    ["\\:42\\!", "42"],
    ["1{,}234{,}567", "1234567"],
    ["1\\,234", "1234"],
    ["1\\ 234", "1234"],
    ["1\\:234", "1234"],
    ["1\\;234", "1234"],
    ["1{\\,}234", "1234"],
    ["1~234", "1234"],
    ["1,\\!234.5", "2469/2"],
    ["£7", "7"],
    ["¥ 7", "7"],
    ["7 €", "7"],
    ["7£", "7"],
    ["-$7", "-7"],
    ["$-7", "-7"],
    ["7\\$", "7"],
    ["(7).", null],
    ["$$", null],
    ["**", null],
    ["****", null],
    ["``", null],
    ["\\text{}", null],
    ["**42", null],
    ["42**", null],
    ["*42**", null],
    ["\\text{4} \\text{2}", null],
    ["**4** **2**", null],
    ["1{,}23", null],
    ["1{,}2345", null],
    ["12{,}34{,}567", null],
    ["{,}234", null],
    ["0{,}234", null],
    ["$7$ €", null],
    ["$7€", null],
    ["€7€", null],
    ["42\\text{ km}", null],
    ["90^\\circ", null],
  ])("with type, commas or currency, %j is %j", (text, right) => {
    expect(value(text)).toBe(right);
  });

  it.each([
    ["42\\text{ km}", "42"],
    ["42\\,\\mathrm{km/h}", "42"],
    ["42 \\textrm{m}^2", "42"],
    ["42~\\mbox{m}^{3}", "42"],
    ["90^\\circ", "90"],
    ["90^{\\circ}", "90"],
    ["90°", "90"],
    ["$42\\text{ km}$.", "42"],
    ["\\$42\\text{ each}", "42"],
    ["42\\text{ hundred}", null],
    ["42\\text{ km}^4", null],
    ["42\\text{2}", null],
    ["42\\text{}", null],
    ["42^2", null],
    ["42 km", null],
    ["\\text{km}42", null],
    ["42\\text{ m}\\text{ m}", null],
  ])("where units are allowed, %j is %j", (text, right) => {
    const found = parseNumber(text, { units: true });
    expect(found.ok ? found.value.toFraction() : null).toBe(right);
  });

  it("says why there is none", () => {
    expect(parseNumber(" ")).toEqual({ ok: false, reason: "empty answer" });
    expect(parseNumber("x")).toEqual({ ok: false, reason: "answer is not one plain number" });
    expect(parseNumber("1/0")).toEqual({ ok: false, reason: "division by zero" });
    expect(parseNumber("42", { length: 1 })).toEqual({
      ok: false,
      reason: "answer longer than 1 characters",
    });
    expect(parseNumber("42", { length: 2 })).toMatchObject({ ok: true });
  });

  it("has a limit, and is exact up to it", () => {
    expect(value("9".repeat(200))).toBe("9".repeat(200));
    expect(parseNumber("9".repeat(201))).toEqual({ ok: false, reason: "answer longer than 200 characters" });
    expect(parseNumber("{".repeat(10_000))).toMatchObject({ ok: false });
  });

  it("reads every number in its usual spellings", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 9999 }), (above, below) => {
        const found = parseNumber(`${above}/${below}`);
        expect(value(String(above))).toBe(String(above === 0 ? 0 : above));
        expect(value(above.toLocaleString("en-US"))).toBe(String(above === 0 ? 0 : above));
        return found.ok && found.value.n * BigInt(below) === BigInt(Math.abs(above)) * found.value.d;
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  it("never throws", () => {
    const known = textOf(..."0123456789+-$%.,/{}\\ frac()");
    fc.assert(
      fc.property(fc.oneof(anyText, known), (text) => {
        return typeof parseNumber(text).ok === "boolean";
      }),
      { numRuns: 400, seed: 1 },
    );
  });
});

describe("changesValue", () => {
  const words =
    "hundred hundreds thousand million billion trillion dozen scores half halves third quarters tenth hundredths k K " +
    "squared cubed factorial lakh crore gross bn mn pair plus minus times over point divided or to by";
  it.each([...words.split(" "), "and a half", "and quarter", " Thousand dollars", ". million"])(
    "%j",
    (text) => {
      expect(changesValue(text)).toBe(true);
    },
  );
  it.each([
    "",
    "apples",
    "km",
    "halfway",
    "toes",
    "orders",
    "and that is all",
    "and a bit",
    "x thousand",
    "kg",
  ])("not %j", (text) => {
    expect(changesValue(text)).toBe(false);
  });
});

it("cuts long texts and values for messages", () => {
  expect(clip("abc", 3)).toBe("abc");
  expect(clip("abcd", 3)).toBe("abc…");
  expect(showNumber(new Fraction(-7, 2))).toBe("-7/2");
  expect(showNumber(new Fraction(10n ** 39n))).toBe(`1${"0".repeat(39)}`);
  expect(showNumber(new Fraction(10n ** 40n))).toBe(`1${"0".repeat(39)}…`);
});

it.each([
  ["\\frac{10}{25}", "2/5"],
  ["\\frac{3}{-4}", "-3/4"],
  ["\\frac{-3}{-4}", "3/4"],
  ["\\frac{-3}{4}", "-3/4"],
])("%s is %s", (text, right) => {
  const parsed = parseNumber(text);
  expect(parsed.ok && parsed.value.toFraction()).toBe(right);
});

it.each([
  ...["2\\frac{3}{4}", "\\frac{3}{4}2", "\\frac{3}{x4}", "\\frac{03}{4}", "\\frac{3}{04}", "03/4", "3/04"],
  ...["4€2", "5%0", "42\\a\\text{km}", "1234{,}567", "**42.**.", "$$", "`", "**"],
])("%s is no number", (text) => {
  expect(parseNumber(text, { units: true })).toEqual({
    ok: false,
    reason: "answer is not one plain number",
  });
});

it.each([
  ..."hundred hundreds thousand thousands million millions billion billions trillion trillions".split(" "),
  ..."dozen dozens score scores half halves third thirds quarter quarters tenth tenths".split(" "),
  ..."hundredth hundredths k squared cubed factorial lakh lakhs crore crores gross bn mn".split(" "),
  ..."pair pairs plus minus times over point divided or to by".split(" "),
  ...["and half", "and a third", "and an quarter", " . Thousand"],
  ..."thirds fifths sixths sevenths eighths ninths elevenths twelfths twentieths".split(" "),
  ..."thousandths millionths billionths quadrillion quintillions tens grand fold".split(" "),
  ..."halved doubled tripled twice mod modulo".split(" "),
  ...["out of ten", "in base eight", "and a fifth", "(thousand)", "~thousand", "M", " B"],
])("%s changes the number before it", (words) => {
  expect(changesValue(words)).toBe(true);
});

it.each(["scoreboards", "thousandfold", "apples", "and a lot", "is half", "kg"])("%s does not", (words) => {
  expect(changesValue(words)).toBe(false);
});
