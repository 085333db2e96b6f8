/** X7: text that is not ours does not steer the terminal. */
import fs from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { renderMarkdown } from "../../src/cli/markdown.ts";
import { pipeable, printable, printableJson } from "../../src/cli/printable.ts";
import { fail } from "../../src/cli/screen.ts";
import { usageError } from "../../src/lib/errors.ts";
import { SHIPPED } from "../../src/run/find-model.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { sputnik } from "./command.ts";

/** ESC, CSI as one character, an operating system command, direction and tag characters. */
const TITLE = "\u001b]0;pwned\u0007";
const STEERING = `${TITLE}\u009b31m\u202e\u2066\u200f\u{e0041}\u007f\r`;

it("a stranger's report says in no way of Markdown what steers", () => {
  const shown = renderMarkdown("a &#27;]0;pwned&#7; &lt;b&gt; &#65563;[2J &#155;31m &#42;c&#42;");
  expect(shown).toBe("a ]0;pwned <b> [2J 31m *c*");
});

describe("printable", () => {
  it("keeps text, newlines and tabs, in every script", () => {
    const text = "a\tb\nΔx ≤ 7, 漢字, नमस्ते, 👩‍👧 e\u0301, שלום";
    expect(printable(text)).toBe(text);
  });

  it("drops what steers, character by character", () => {
    expect(printable(`a${STEERING}b`)).toBe("a]0;pwned31mb");
    expect(pipeable("a\u001b[1mb\r\nc")).toBe("a[1mb\r\nc");
  });

  it("does so in whatever pieces the text comes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...STEERING, "x", "\n", "[", "漢"), { maxLength: 40 }),
        (pieces) => {
          const shown = pieces.map(printable).join("");
          expect(shown).toBe(printable(pieces.join("")));
          // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them is left
          expect(shown).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
        },
      ),
    );
  });

  it("loses nothing in JSON, and leaves none in it", () => {
    const value = { text: `a${STEERING}b`, "\u009b": 1 };
    expect(JSON.parse(printableJson(value))).toEqual(value);
    expect(printable(printableJson(value))).toBe(printableJson(value));
  });
});

test("an error's message and remedy are printed without it", () => {
  const written: string[] = [];
  const [log, error] = [console.log, console.error];
  console.error = console.log = (text: string) => void written.push(text);
  try {
    fail(usageError(`no ${TITLE}`, `see \u009b2J`), true);
  } finally {
    [console.log, console.error] = [log, error];
  }
  expect(written.slice(0, 2).join("\n")).toContain("no ]0;pwned");
  expect(written.slice(0, 2).join("\n")).toContain("see 2J");
  expect(written.join("")).not.toContain("\u001b]");
  expect(written.join("")).not.toContain("\u009b");
});

describe("a model whose token for </think> steers", () => {
  const model = join(temporaryFolder(), "model");
  fs.cpSync(SHIPPED, model, { recursive: true });
  const file = join(model, "tokenizer.json");
  const text = fs.readFileSync(file, "utf8");
  fs.writeFileSync(file, text.replaceAll("</think>\\n", JSON.stringify(STEERING).slice(1, -1)));
  const prompt = "82, 27, 11 make 44\n<think>\n";

  test.each([
    ["chat", ["chat", model], "82 27 11 = 44\n", "]0;pwned31m<answer>"],
    ["complete", ["complete", model], prompt, "]0;pwned31m\r<answer>"],
    ["complete --json", ["complete", model, "--json"], prompt, "\\u001b]0;pwned\\u0007\\u009b31m\\u202e"],
  ])("%s shows its text", async (_, args, input, shown) => {
    const { stdout, stderr } = await sputnik(args, { cwd: temporaryFolder(), input });
    expect(stdout).toContain(shown);
    expect(printable(stdout + stderr)).toBe((stdout + stderr).replaceAll("\r", ""));
  });
});

test("a chat template's own words, in its refusal", async () => {
  const model = join(temporaryFolder(), "model");
  fs.cpSync(SHIPPED, model, { recursive: true });
  const template = `{{ raise_exception("${STEERING.replaceAll("\r", "")}") }}`;
  fs.writeFileSync(join(model, "chat_template.jinja"), template);
  const { code, stdout, stderr } = await sputnik(["chat", model], { cwd: model, input: "Hello\n" });
  expect(code).toBe(1);
  expect(stderr).toContain("]0;pwned31m");
  expect(printable(stdout + stderr)).toBe(stdout + stderr);
});

test("no command prints JSON by other means", () => {
  const folder = fileURLToPath(new URL("../../src/cli", import.meta.url));
  const others = fs
    .readdirSync(folder)
    .filter((name) =>
      /console\.(log|error)\(\s*JSON\.stringify/.test(fs.readFileSync(join(folder, name), "utf8")),
    );
  // Nothing in it is a stranger's.
  expect(others).toEqual(["schema.ts"]);
});
