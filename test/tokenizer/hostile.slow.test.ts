/** A `tokenizer.json` from anywhere: bounded time, bounded length, and any spelling of a control token works. */
import { Tokenizer as Official } from "tokenizers";
import { describe, expect, it } from "vitest";
import { SPLIT_RULES } from "../../src/checkpoint/gguf/splits.ts";
import { plainDocument } from "../../src/data/examples.ts";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { bpeJson } from "../../src/tokenizer/bpe-json.ts";
import { encodeChat, renderChat } from "../../src/tokenizer/chat.ts";
import { ChatTemplate } from "../../src/tokenizer/chat-template.ts";
import { clocked, OutOfTime } from "../../src/tokenizer/hostile.ts";
import { encodePieces, FIM_TOKENS, promptPieces } from "../../src/tokenizer/infill.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";
import { sentencePiece, sentencePieceJson } from "./sentencepiece.ts";

const json = trainBpe([], { vocabSize: 259 });
const split = (regex: string) => ({
  type: "Sequence",
  pretokenizers: [
    { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false },
    { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
  ],
});
const seconds = (run: () => unknown): number => {
  const start = performance.now();
  run();
  return (performance.now() - start) / 1000;
};
const withTokens = (...tokens: { content: string; lstrip?: boolean; rstrip?: boolean }[]) => {
  const made = trainBpe([], { vocabSize: 259 + tokens.length, extra: tokens.map(({ content }) => content) });
  const added = (made.added_tokens as { content: string }[]).map((token) => ({
    ...token,
    ...tokens.find(({ content }) => content === token.content),
  }));
  return { ...made, added_tokens: added };
};
const plain = (source: string) => ({ template: new ChatTemplate(source), tokens: {} });
const EACH = "{% for m in messages %}<|im|>{{ m.content }}{% endfor %}";

describe("time", () => {
  it("an expression that never ends is stopped in words", () => {
    const tokenizer = new BpeTokenizer({ ...json, pre_tokenizer: split("(x+x+)+y") });
    const taken = seconds(() =>
      expect(() => tokenizer.encode("x".repeat(60))).toThrow(
        /read a text in one go, found more than 2 s for 60/,
      ),
    );
    expect(taken).toBeLessThan(20);
    // Nothing stays stopped.
    expect(tokenizer.encode("xxy")).toHaveLength(3);
  });

  it("so is one in the normalizer", () => {
    const normalizer = { type: "Replace", pattern: { Regex: "(x+x+)+y" }, content: "" };
    const tokenizer = new BpeTokenizer({ ...json, normalizer });
    expect(() => tokenizer.encode("x".repeat(60))).toThrow(/read a text in one go/);
  });

  it("a clock inside another one: each has its own time, and what fails fails as it is", () => {
    const forever = (): never => {
      for (;;);
    };
    expect(() => clocked(() => clocked(forever, 50), 60_000)).toThrow(OutOfTime);
    expect(() => clocked(() => clocked(forever, 60_000, true), 50)).toThrow(OutOfTime);
    expect(clocked(() => clocked(() => 1, 50) + 1, 60_000)).toBe(2);
    expect(() =>
      clocked(() => {
        throw new RangeError("mine");
      }, 50),
    ).toThrow(RangeError);
  });
});

describe("length", () => {
  const twice = { type: "Replace", pattern: { String: "x" }, content: "xx" };
  const of = (normalizers: unknown[]) =>
    new BpeTokenizer({ ...json, normalizer: { type: "Sequence", normalizers } });
  it("26 replacements that double a text are refused when the file is read", () => {
    expect(() => of(Array(26).fill(twice))).toThrow(
      /normalizer: .*at most 64 times as long, found 6.7e\+7 times/,
    );
    expect(() => of([{ type: "Replace", pattern: { Regex: "|x" }, content: "y".repeat(100) }])).toThrow(
      /64 times/,
    );
    expect(() => of([{ type: "Replace", pattern: { String: "" }, content: "y".repeat(100) }])).toThrow(
      /64 times/,
    );
  });
  it("what published files do is not", () => {
    const honest = [
      { type: "Prepend", prepend: "▁" },
      { type: "Replace", pattern: { String: " " }, content: "▁" },
    ];
    expect(of([...honest, twice]).decode(of([...honest, twice]).encode("x y"))).toBe("▁xx▁y");
  });
  it("a replacement is text, whatever JavaScript reads in it", () => {
    const normalizer = { type: "Replace", pattern: { String: "x" }, content: "$&$`$$" };
    const tokenizer = new BpeTokenizer({ ...json, normalizer });
    expect(tokenizer.decode(tokenizer.encode("ax"))).toBe("a$&$`$$");
  });
});

describe("control tokens", () => {
  it.each(["<|end-of-turn|>", "<a.b*c+d?e^f$g(h)i{j}k|l\\m/n>", "[-]", "<\u{1F600}>", "<a&&b~~c>"])(
    "%s is one, in a template alone",
    (content) => {
      const tokenizer = new BpeTokenizer(withTokens({ content }));
      const source = `{% for m in messages %}{{ m.content + ${JSON.stringify(content)} }}{% endfor %}`;
      const ids = encodeChat(tokenizer, plain(source), [{ role: "user", content: `a${content}` }]);
      expect(ids.filter((id) => id === 3)).toHaveLength(1);
      expect(ids.at(-1)).toBe(3);
      expect(tokenizer.decode(ids)).toBe(`a${content}${content}`);
    },
  );

  it("swallow the blanks beside them, as in the official library", async () => {
    const made = withTokens({ content: "<|im|>", lstrip: true, rstrip: true }, { content: "<|b|>" });
    const tokenizer = new BpeTokenizer(made);
    const official = Official.fromString(JSON.stringify(made));
    for (const text of ["a \n\u00A0", " \u0085b \u2003", "  ", "", " x <|b|> y "]) {
      const source = `${text.replace("<|b|>", "{{ '<|b|>' }}")}<|im|>${text.replace("<|b|>", "{{ '<|b|>' }}")}<|im|>!`;
      const rendered = renderChat(plain(source), []);
      expect(encodeChat(tokenizer, plain(source), [])).toEqual((await official.encode(rendered)).getIds());
    }
  });

  it("many blanks before one that swallows them take linear time", () => {
    const tokenizer = new BpeTokenizer(withTokens({ content: "<|im|>", lstrip: true, rstrip: true }));
    const content = `${" ".repeat(200_000)}x`;
    const taken = seconds(() => encodeChat(tokenizer, plain(EACH), [{ role: "user", content }]));
    expect(taken).toBeLessThan(20);
  });

  it("the longest at a place counts", () => {
    const tokenizer = new BpeTokenizer(withTokens({ content: "<a>" }, { content: "<a>>" }));
    expect(encodeChat(tokenizer, plain("<a>>{{ '' }}<a>"), [])).toEqual([4, 3]);
  });
});

describe("a template", () => {
  const render = (source: string, content = ""): string =>
    renderChat(plain(source), [{ role: "user", content }]);
  const message = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      return (error as Error).message;
    }
    return "nothing thrown";
  };

  it.each([
    [
      "texts kept in a list",
      "{% set ns = namespace(l=[]) %}{% for i in range(1500) %}{% set ns.l = ns.l + ['x' * 1000000] %}{% endfor %}",
    ],
    ["texts thrown away", "{% for i in range(1500) %}{% set x = 'x' * 1000000 %}{% endfor %}"],
    [
      "lists of lists",
      "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = ns.l + [1] * 9999 %}{% endfor %}",
    ],
    ["a format that pads", "{{ '%999999999d' % 1 }}"],
    ["another", "{{ '{:>999999999}'.format(1) }}"],
    ["a method that pads", "{{ 'x'.center(999999999) }}"],
    ["JSON with deep blanks", "{{ [[[[1]]]] | tojson(indent=99999999) }}"],
    ["replacements", "{{ ('x' * 10000) | replace('x', 'y' * 10000) }}"],
    ["joins", "{{ range(10000) | join('y' * 10000) }}"],
    ["macros in macros", "{% macro f(x) %}{{ x * 1000 }}{% endmacro %}{{ f(f(f(f('xxxx')))) }}"],
    ["a slice of slices", "{{ range(100) | slice(99999999) | list }}"],
  ])("%s: all that it builds has one bound", (_, source) => {
    const before = process.memoryUsage().rss;
    expect(message(() => render(source))).toMatch(/asks for too much|more than 2000 ms/);
    expect(process.memoryUsage().rss - before).toBeLessThan(700 * 2 ** 20);
  });

  it("with many tags, whole or broken, is read inside the clock", () => {
    for (const source of [
      "{{".repeat(200_000),
      "{{ x }}{%".repeat(50_000),
      `${"{{ 'a' }}".repeat(20_000)}{% if %}`,
      "{% if x %}".repeat(100_000),
    ]) {
      const taken = seconds(() => expect(message(() => new ChatTemplate(source))).toMatch(/chat template/));
      expect(taken).toBeLessThan(20);
    }
    const line = `{% raise %}${"{{ x }} ".repeat(50_000)}`;
    expect(message(() => new ChatTemplate(line))).toMatch(/line 1: unknown tag .raise./);
  });

  it("whose own words are long is cut short", () => {
    const source = "{{ raise_exception(messages[0].content * 1000) }}";
    const taken = seconds(() => {
      const words = message(() => render(source, "word word ".repeat(1000)));
      expect(words).toMatch(/refuses this conversation: word word/);
      expect(words.length).toBeLessThan(1200);
    });
    expect(taken).toBeLessThan(20);
  });

  it("an honest one has room for a long conversation", () => {
    const content = "x".repeat(1 << 20);
    expect(
      render("{% for m in messages %}{{ '<' + m.content | trim + '>' }}{% endfor %}", content),
    ).toHaveLength((1 << 20) + 2);
  });
});

it("80,000 emoji are no more arguments than a function takes", () => {
  const tokenizer = new BpeTokenizer(withTokens({ content: "<|im|>" }));
  const content = "😀".repeat(80_000);
  const ids = encodeChat(tokenizer, plain(EACH), [{ role: "user", content }]);
  expect(ids).toHaveLength(1 + 4 * 80_000);
});

it("200,000 added tokens in front of the words", () => {
  const added = Array.from({ length: 200_000 }, (_, id) => ({ id, content: `<${id}>`, special: true }));
  const preTokenizer = SPLIT_RULES["gpt-2"].pre_tokenizer;
  const { model } = bpeJson({ added, vocab: [["x", 200_000]], merges: [], preTokenizer });
  expect((model as { vocab: Record<string, number> }).vocab["<199999>"]).toBe(199_999);
});

describe("a stretch after a control token", () => {
  // With "first", only the text's beginning gets a blank; with the others, as the official library too.
  it.each(["Llama 2", "Gemma", "Metaspace, always", "Metaspace, first", "Metaspace, never"])(
    "%s, as the official library",
    async (name) => {
      const tokenizer = sentencePiece(name);
      const official = Official.fromString(JSON.stringify(sentencePieceJson(name)));
      for (const source of [
        "[INST]the quick[/INST]fox[INST] the fox",
        "fox[INST]fox",
        "<s>[INST]fox[/INST]",
        "the fox",
      ]) {
        const ids = encodeChat(tokenizer, plain(source), []);
        expect(ids).toEqual((await official.encode(source, null, { addSpecialTokens: false })).getIds());
      }
    },
  );
});

describe("a stretch inside a text", () => {
  // As if both had been encoded in one: no blank is put between them, whatever the scheme.
  it.each(["Llama 2", "Gemma", "Metaspace, always", "Metaspace, first", "Metaspace, never"])("%s", (name) => {
    const tokenizer = sentencePiece(name);
    for (const [text, more] of [
      ["the quick", " fox"],
      ["3 + 4 =", " 7"],
      ["x", "fox"],
      ["fox\n", "    x"],
    ])
      expect([...tokenizer.encode(text), ...tokenizer.encode(more, { after: "text" })]).toEqual(
        tokenizer.encode(text + more),
      );
    expect(tokenizer.encode("fox")).toEqual(tokenizer.encode("fox", { after: undefined }));
  });

  it("a byte-level BPE that puts a blank before a text", () => {
    const step = { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true };
    const tokenizer = new BpeTokenizer({ ...json, pre_tokenizer: step });
    expect(tokenizer.decode(tokenizer.encode("a"))).toBe(" a");
    expect(tokenizer.decode(tokenizer.encode("a", { after: "text" }))).toBe("a");
  });

  it("SFT documents and infilling have none between their parts", () => {
    const tokenizer = sentencePiece("Llama 2");
    const { ids, trainFrom } = plainDocument({ tokenizer, tokenizerConfig: {} } as never, "3 + 4 =", " 7");
    expect(ids).toEqual([1, ...tokenizer.encode("3 + 4 = 7"), 2]);
    expect(trainFrom).toBe(ids.length - 2);
    const made = trainBpe([], { vocabSize: 262, extra: Object.values(FIM_TOKENS) });
    const step = { type: "Metaspace", replacement: "_", prepend_scheme: "first", split: false };
    const marked = new BpeTokenizer({ ...made, pre_tokenizer: step });
    const text = marked.decode(encodePieces(marked, promptPieces("a", "b", "spm")));
    expect(text).toBe(`${FIM_TOKENS.begin}${FIM_TOKENS.hole}b${FIM_TOKENS.end}a`);
  });
});
