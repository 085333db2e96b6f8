/** D9: what a model wrote stays text in report.md. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fenced, htmlText, inlineText } from "../../src/run/report/markdown-text.ts";

const ATTACKS = "\r\n\u2028\u2029\v\f\u0085\t\u001b\u202e<>&\"'`*_[]()~|#\\$@^{}:!-+=1. a/";

/** What HTML's and CommonMark's parsers read where `text` stands: entities resolved, `<br>` a line end. */
const read = (text: string): string =>
  text
    .replaceAll("<br>", "\n")
    .replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)))
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&");

describe("in HTML", () => {
  it("every kind of line end is <br>, so that no blank line ends the block", () => {
    expect(htmlText("a\rb\r\rc\nd\r\ne\u2028f\u2029g\vh\fi\u0085j")).toBe(
      "a<br>b<br><br>c<br>d<br>e<br>f<br>g<br>h<br>i<br>j",
    );
  });

  it("marks are characters", () => {
    expect(htmlText("<b>[x](javascript:alert)</b>")).toBe(
      "&lt;b&gt;&#91;x&#93;(javascript&#58;alert)&lt;/b&gt;",
    );
    expect(htmlText("`*_~|#\\$@^{}'")).toBe(
      "&#96;&#42;&#95;&#126;&#124;&#35;&#92;&#36;&#64;&#94;&#123;&#125;&#39;",
    );
    expect(htmlText("82 - 27 = 55, (yes)!")).toBe("82 - 27 = 55, (yes)!");
  });

  it("of any text: one line, no mark left outside an entity, the text itself when it is read", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...ATTACKS), { maxLength: 60 }), (characters) => {
        const text = characters.join("");
        const shown = htmlText(text);
        const outside = shown.replaceAll("<br>", "").replace(/&(#\d+|lt|gt|amp|quot);/g, "");
        // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them is left
        expect(outside).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e<>&"'`*_[\]~|#\\$@^{}:]/);
        const expected = text
          .replaceAll("\r\n", "\n")
          .replace(/[\r\v\f\u0085\u2028\u2029]/g, "\n")
          .replaceAll("\t", " ")
          .replaceAll("\u001b", "\ufffd")
          .replaceAll("\u202e", "\ufffd");
        expect(read(shown)).toBe(expected);
      }),
    );
  });
});

describe("in a paragraph or a cell", () => {
  it("is one line that begins no block", () => {
    expect(inlineText("# Mine\r\r<script>\n| x |")).toBe("&#35; Mine &lt;script&gt; &#124; x &#124;");
    expect(inlineText("- a")).toBe("&#45; a");
    expect(inlineText("1. a")).toBe("&#49;. a");
    expect(inlineText("===")).toBe("&#61;==");
  });
});

it("a block of code is closed by its own fence alone", () => {
  expect(fenced("a\n```\nb\r````", "yaml")).toBe("`````yaml\na\n```\nb\r````\n`````");
  expect(fenced("plain", "sh")).toBe("```sh\nplain\n```");
});
