/** A person's training rows: what each form trains, and what is wrong with a row in words (U3, D5, D6). */
import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readFolder } from "../../src/checkpoint/folder.ts";
import { readExamples, usualTemplate } from "../../src/data/examples.ts";
import { fileExamples } from "../../src/data/sources.ts";
import { checkData } from "../../src/recipe/check-data.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { recipeShape } from "../../src/recipe/model.ts";
import type { PretrainStage, SftStage } from "../../src/recipe/schema.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

const chatModel = readFolder("test/fixtures/golden-folder");
const plainModel = { tokenizer: new CompactTokenizer() };
const folder = temporaryFolder();

function rowsFile(...rows: unknown[]): string {
  const path = join(folder, "rows.jsonl");
  fs.writeFileSync(path, rows.map((row) => (typeof row === "string" ? row : JSON.stringify(row))).join("\n"));
  return path;
}

const readFixture = (): string => fs.readFileSync("recipes/smoke.yaml", "utf8");
const PAIR = { prompt: "2 + 2?", completion: "4" };
const TALK = [
  { role: "user", content: "2 + 2?" },
  { role: "assistant", content: "4" },
];

it.each([
  [null, "null"],
  [5, "the number 5"],
  [["a"], "a list"],
])("a text that is %j is named for what it is", (text, found) => {
  expect(() => readExamples(rowsFile({ text }), plainModel, "plain")).toThrow(
    `field "text": ${found}, not text`,
  );
});

describe("rows of a chat model", () => {
  it("of prompt and completion are a question and its answer, in SFT alone", () => {
    const [pair, talk, lists] = readExamples(
      rowsFile(PAIR, { messages: TALK }, { prompt: [TALK[0]], completion: [TALK[1]] }),
      chatModel,
      "chat",
    );
    expect(pair.document).toEqual(talk.document);
    expect(lists.document).toEqual(talk.document);
    expect([pair, talk, lists].map(({ place }) => place)).toEqual(["line 1", "line 2", "line 3"]);
    const [plain] = readExamples(rowsFile(PAIR), chatModel, "plain");
    expect(plain.document.ids).not.toEqual(pair.document.ids);
    expect(usualTemplate(chatModel, "sft")).toBe("chat");
    expect(usualTemplate(chatModel, "pretrain")).toBe("plain");
    expect(usualTemplate(plainModel, "sft")).toBe("plain");
  });

  it("a recipe may say plain, or chat", () => {
    const file = rowsFile(PAIR);
    const read = (stage: "pretrain" | "sft", template?: "chat" | "plain") =>
      fileExamples({ kind: "jsonl", file, template }, chatModel, stage)[0].document.ids;
    expect(read("sft")).toEqual(read("sft", "chat"));
    expect(read("sft", "plain")).toEqual(read("pretrain"));
    expect(read("pretrain", "chat")).toEqual(read("sft"));
  });

  it("of text are trained from their first token on", () => {
    const [{ document }] = readExamples(rowsFile({ text: "2 + 2 = 4" }), chatModel, "chat");
    expect(chatModel.tokenizer.decode(document.ids, { skipSpecials: true })).toBe("2 + 2 = 4");
    expect(document.trainFrom).toBe(1);
  });

  const talk = (...messages: unknown[]) => ({ messages });
  it.each<[string, unknown, RegExp]>([
    [
      "a tool's result",
      talk(TALK[0], { role: "tool", content: "4" }, TALK[1]),
      /message 2 is a tool's result/,
    ],
    ["a tool's call", talk(TALK[0], { ...TALK[1], tool_calls: [{}] }), /message 2 is a tool's call/],
    [
      "an unknown role",
      talk({ role: "human", content: "x" }, TALK[1]),
      /message 1 has the role the text "human"/,
    ],
    ["no role", talk({ from: "gpt", value: "x" }), /message 1 has no role/],
    ["null for a message", talk(null, TALK[1]), /message 1 has no role/],
    ["no answer", talk(TALK[0]), /the last message is not the assistant's/],
    ["no messages", talk(), /a conversation without messages/],
    ["messages that are no list", { messages: "hi" }, /field "messages": the text "hi", not a list/],
    ["content in parts", talk({ role: "user", content: [] }, TALK[1]), /message 1 has a list as its content/],
    ["no content", talk(TALK[0], { role: "assistant" }), /message 2 has no content/],
    [
      "an empty answer",
      talk(TALK[0], { role: "assistant", content: " " }),
      /message 2 is an answer without text/,
    ],
    ["a number", { prompt: "2 + 2", completion: 4 }, /field "completion": the number 4, not text/],
    ["no completion", { prompt: "2 + 2" }, /field "completion": nothing, not text/],
    ["an empty completion", { prompt: "2", completion: "" }, /field "completion": an empty text/],
    ["other keys", { instruction: "2", output: "4" }, /the keys are instruction, output/],
    ["ShareGPT's", { conversations: [] }, /the keys are conversations.*Write conversations as messages/],
    ["null", null, /null, not an object/],
  ])("%s is named, with its line", (_, row, message) => {
    const file = rowsFile(PAIR, row);
    expect(() => readExamples(file, chatModel, "chat")).toThrow(message);
    expect(() => readExamples(file, chatModel, "chat")).toThrow(`${file}, line 2: `);
  });

  it("what the template refuses is named with its line", () => {
    const strict = `{% if messages[0].role == 'system' %}{{ raise_exception('no system messages') }}{% endif %}x`;
    const model = { ...chatModel, tokenizerConfig: { ...chatModel.tokenizerConfig, chat_template: strict } };
    const file = rowsFile(talk({ role: "system", content: "x" }, ...TALK));
    expect(() => readExamples(file, model, "chat")).toThrow(
      /line 1: the model's chat template refuses.*no system/,
    );
  });
});

describe("rows of a model without a chat template", () => {
  it("are as they stand", () => {
    const [{ document }] = readExamples(
      rowsFile({ prompt: "3, 4 make 7\n", completion: "3 + 4 = 7" }),
      plainModel,
      "plain",
    );
    expect(plainModel.tokenizer.decode(document.ids)).toBe("3, 4 make 7\n3 + 4 = 7");
    expect([document.ids[0], document.ids.at(-1)]).toEqual([1, 2]);
    expect(plainModel.tokenizer.decode(document.ids.slice(document.trainFrom))).toBe("3 + 4 = 7");
  });

  it.each<[string, unknown, RegExp]>([
    [
      "a conversation",
      { messages: TALK },
      /line 1: a conversation, and the model has no chat template.*instruct model/,
    ],
    [
      "a character without a token",
      { prompt: "x", completion: "1" },
      /line 1: the vocabulary has no token for "x"/,
    ],
  ])("%s is named", (_, row, message) => {
    expect(() => readExamples(rowsFile(row), plainModel, "plain")).toThrow(message);
  });
});

describe("the data of a stage, before the run", () => {
  function notes(kind: "sft" | "pretrain", data: string, sequence: number, positions = 64): string[] {
    const recipe = parseRecipe(
      `name: y
seed: 1
model: { layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 32, maxPositions: ${positions} }
tokenizer: { kind: compact }
task: { kind: countdown, numbers: [2] }
stages:
  - { name: s, kind: ${kind}, data: ${data}, sequence: ${sequence}, batch: 1, steps: 2, optimizer: { kind: adamw, lr: 1.0e-4 }, schedule: { kind: constant } }
checkpoint: { everySteps: 10, keep: 1 }
`,
      "r.yaml",
    );
    const stage = recipe.stages[0] as SftStage | PretrainStage;
    return checkData(stage, recipe, recipeShape(recipe)).map(({ level, message }) => `${level} ${message}`);
  }
  // Of 13, 11 and 27 ids with BOS and EOS, so of 12, 10 and 26 positions.
  const rows = ["3, 4 make 7\n", "9 make 9\n", `${"1, 2, ".repeat(4)}5 make 7\n`].map((prompt) => ({
    prompt,
    completion: "1 + 2 = 3",
  }));
  const jsonl = (): string => `{ kind: jsonl, file: ${JSON.stringify(rowsFile(...rows))} }`;

  it("SFT shows the first row with what is trained of it, control tokens as they are spelt", () => {
    const file = rowsFile(rows[0]);
    expect(notes("sft", `{ kind: jsonl, file: ${JSON.stringify(file)} }`, 32)).toEqual([
      'info Stage "s" sees this first (the row holds 1 more); it trains what is between » and «:\n<bos>3, 4 make 7\n»1 + 2 = 3<eos>«',
    ]);
  });

  it("SFT counts and names the examples that fit no row (D5)", () => {
    const [long, shown] = notes("sft", jsonl(), 16);
    expect(long).toMatch(
      /warning Stage "s": 1 of 3 examples of .*rows\.jsonl are longer than its rows of 16 tokens/,
    );
    expect(long).toContain("are left out (line 3). The longest takes 26. A sequence of 26 trains them all.");
    expect(shown).toMatch(/info Stage "s" sees this first/);
    expect(notes("sft", jsonl(), 26)).toHaveLength(1);
    expect(notes("sft", jsonl(), 25)).toHaveLength(2);
    expect(notes("sft", jsonl(), 16, 20)[0]).toContain("The model has 20 positions, which bound sequence.");
  });

  it("only pretraining takes a stream, and lets documents see one another", () => {
    const masked = (kind: string) => {
      const text = readFixture().replace("kind: pretrain", `kind: ${kind}`);
      return (parseRecipe(text, "r.yaml").stages[0] as SftStage).documentMask;
    };
    expect(masked("sft")).toBe(true);
    expect(masked("pretrain")).toBe(false);
  });

  it("SFT of examples of which none fits is refused (D6)", () => {
    expect(() => notes("sft", jsonl(), 8)).toThrow(
      /rows\.jsonl: all 3 examples are longer than a row of stage "s", which has 8 tokens.* longest takes 26/,
    );
  });

  it("pretraining says that it cuts, and which prompts fill a row (D6)", () => {
    const [cut, fill] = notes("pretrain", jsonl(), 16);
    expect(cut).toMatch(
      /warning Stage "s" pretrains: the 3 documents of .* cut where a row of 16 tokens ends, so some/,
    );
    expect(fill).toMatch(/warning .*1 of 3 prompts .* fill a row of 16 tokens alone \(line 3\)/);
    const text = join(folder, "t.txt");
    fs.writeFileSync(text, "1 + 2 = 3\n\n2 + 2 = 4\n");
    expect(notes("pretrain", `{ kind: text, file: ${JSON.stringify(text)} }`, 16)).toEqual([
      expect.stringMatching(
        /^info Stage "s" pretrains: the 2 documents of .* are cut where a row of 16 tokens ends\.$/,
      ),
    ]);
    fs.writeFileSync(text, "1 + 2 = 3\n\n\n2 + x\n");
    expect(() => notes("pretrain", `{ kind: text, file: ${JSON.stringify(text)} }`, 16)).toThrow(
      /t\.txt, line 4: the vocabulary has no token for "x"/,
    );
  });
});
