/** What the grammar of jinja2/parser.py makes of tags that few templates have; the texts are Jinja 3's. */
import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../../../src/tokenizer/chat-template.ts";

const render = (source: string): string => new ChatTemplate(source).render({});

describe("expressions", () => {
  it.each([
    ["{{ 'a' 'b' ~ 'c' }}", "abc"],
    ["{{ 1 < 2 < 3, 1 < 3 < 2 }}", "(True, False)"],
    ["{{ -2 ** 2, 2 ** 3 ** 2 }}", "(4, 64)"],
    ["{{ 1 ~ 3 * 4 + 'x' }}", "112x"],
    ["{{ [1, 2, 3, 4][1:], [1, 2, 3, 4][::-2], [1, 2, 3][:2], }}", "([2, 3, 4], [4, 2], [1, 2])"],
    ["{{ {'a': {'b': 7}}.a['b'] }}", "7"],
    ["{{ 7 is divisibleby 7 and not 8 is odd }}", "True"],
    ["{{ 3 is not in([1, 2]) and 3 not in [1, 2] }}", "True"],
    ["{{ 0x1f + 0b11 + 1_000, 1e3, .5 is defined }}", null],
    ["{{ 0x1f + 0b11 + 1_000, 1e3 }}", "(1034, 1000.0)"],
    ["{% for (a, b), c in [((1, 2), 3)] if c %}{{ a + b + c }}{% endfor %}", "6"],
    ["{% macro f(a, b=a) %}{{ a }}{{ b }}{{ varargs }}{% endmacro %}{{ f(*[1, 2, 3]) }}", "12(3,)"],
    ["{% macro f() %}<{{ caller(7) }}>{% endmacro %}{% call(x) f() %}{{ x }}{% endcall %}", "<7>"],
    ["{% set a, b = 1, 2 %}{% filter upper %}x{{ a + b }}{% endfilter %}", "X3"],
  ])("%s", (source, expected) => {
    if (expected === null) expect(() => render(source)).toThrow(/line 1: unexpected/);
    else expect(render(source)).toBe(expected);
  });
});

describe("faults name their line and what is there", () => {
  it.each([
    ["a\n{{ f(a=1, 2) }}", "line 2: a positional argument follows a named one"],
    ["{% call 1 %}x{% endcall %}", "line 1: expected a call"],
    ["{% if a %}\nx\n", "line 1: the template ends inside a block"],
    ["{{ a b }}", "line 1: unexpected 'b'"],
    ["\n\n{{ (1, 2 }}", "line 3: the tag that begins with {{ in line 3 has no end"],
    ["{{ a. }}", "line 1: expected a name or a number, found the end of the tag"],
    ["{{ a[] }}", "line 1: expected a key"],
    ["{{ § }}", 'line 1: unexpected character "§"'],
  ])("%j", (source, message) => {
    expect(() => render(source)).toThrow(message);
  });
});
