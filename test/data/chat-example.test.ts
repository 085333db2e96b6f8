/** What SFT trains is what `chat` feeds before an answer, and the answer (U3). */
import { describe, expect, it } from "vitest";
import { readFolder } from "../../src/checkpoint/folder.ts";
import { chatDocuments } from "../../src/data/chat-example.ts";
import { type Document, isTrained } from "../../src/data/packing.ts";
import { type Chat, type ChatMessage, chatOf, encodeChat } from "../../src/tokenizer/chat.ts";

const model = readFolder("test/fixtures/golden-folder");
const { tokenizer } = model;

const user = (content: string): ChatMessage => ({ role: "user", content });
const assistant = (content: string): ChatMessage => ({ role: "assistant", content });

function documents(template: string | null, messages: ChatMessage[], from?: number): Document[] {
  const chat = chatOf({ ...model.tokenizerConfig, ...(template !== null && { chat_template: template }) });
  if (chat === null) throw new Error("the fixture has a template");
  return chatDocuments(model, chat, messages, from);
}

/** The trained stretches, as ids. */
function trained(document: Document): number[][] {
  const stretches: number[][] = [];
  document.ids.forEach((id, i) => {
    if (!isTrained(document, i)) return;
    if (i > 0 && isTrained(document, i - 1)) stretches.at(-1)?.push(id);
    else stretches.push([id]);
  });
  return stretches;
}

/** What `chat` feeds the model (test/server/conversation.test.ts). */
const feeds = (template: string | null, messages: ChatMessage[]): number[] => {
  const config = { ...model.tokenizerConfig, ...(template !== null && { chat_template: template }) };
  return encodeChat(tokenizer, chatOf(config) as Chat, messages, { addGenerationPrompt: true });
};

const TURN = "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}";
const CHATML = `{% for m in messages %}${TURN}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`;
/** Opens a thought, and shows earlier answers without theirs, as DeepSeek-R1's and Qwen3's do. */
const THINKING = `{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\\n' + m.content.split('</think>')[-1] + '<|im_end|>\\n' }}{% else %}${TURN}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}`;

const stopOf = (ids: readonly number[]): boolean => tokenizer.stopIds.has(ids.at(-1) as number);

describe.each([
  ["the fixture's own template", null],
  ["ChatML", CHATML],
])("%s", (_, template) => {
  it("one question: chat's prompt, untrained, then the answer and its end", () => {
    for (const answer of ["It is 4.", "4", " 4", "two\n\nlines"]) {
      const [document, ...rest] = documents(template, [user("2 + 2?"), assistant(answer)]);
      expect(rest).toEqual([]);
      const prompt = feeds(template, [user("2 + 2?")]);
      expect(document.ids.slice(0, document.trainFrom)).toEqual(prompt);
      const ids = document.ids.slice(document.trainFrom);
      expect(stopOf(ids)).toBe(true);
      expect(tokenizer.decode(ids.slice(0, -1)).trim()).toBe(answer.trim());
      expect(document.untrained ?? []).toEqual([]);
    }
  });

  it("several: one document that trains the answers alone", () => {
    const talk = [user("2 + 2?"), assistant("4"), user("and 1?"), assistant("It is 5.")];
    const [document, ...rest] = documents(template, talk);
    expect(rest).toEqual([]);
    expect(trained(document).map((ids) => tokenizer.decode(ids.slice(0, -1)).trim())).toEqual([
      "4",
      "It is 5.",
    ]);
    expect(trained(document).every(stopOf)).toBe(true);
    const prompt = feeds(template, talk.slice(0, 3));
    expect(document.ids.slice(0, prompt.length)).toEqual(prompt);
    expect(document.ids.slice(prompt.length)).toEqual(trained(document)[1]);
  });

  it("answers before `from` are context", () => {
    const talk = [user("a"), assistant("b"), user("c"), assistant("d")];
    const [document] = documents(template, talk, 3);
    expect(trained(document).map((ids) => tokenizer.decode(ids.slice(0, -1)).trim())).toEqual(["d"]);
  });

  it("control tokens in a message are text, and train nothing by themselves", () => {
    const [document] = documents(template, [user("<|im_end|>"), assistant("no <|im_end|> here")]);
    expect(trained(document)).toHaveLength(1);
    const [ids] = trained(document);
    expect(ids.filter((id) => tokenizer.stopIds.has(id))).toHaveLength(1);
    expect(tokenizer.decode(ids.slice(0, -1))).toContain("<|im_end|> here");
  });
});

describe("a template that opens a thought and hides earlier ones", () => {
  it("begins each answer where the prompt leaves off, a document an answer", () => {
    const talk = [user("2?"), assistant("<think>\ntwo\n</think>\n2"), user("3?"), assistant("3")];
    const found = documents(THINKING, talk);
    expect(found).toHaveLength(2);
    found.forEach((document, i) => {
      const prompt = feeds(THINKING, talk.slice(0, 2 * i + 1));
      expect(document.ids.slice(0, document.trainFrom)).toEqual(prompt);
      expect(document.untrained ?? []).toEqual([]);
    });
    const texts = found.map(({ ids, trainFrom }) => tokenizer.decode(ids.slice(trainFrom, -1)));
    expect(texts[0]).toBe("two\n</think>\n2");
    // An answer without a thought leaves the thought that the prompt has opened empty.
    expect(texts[1].trim()).toBe("</think>\n\n3");
  });

  it("takes a thought from reasoning_content", () => {
    const [{ ids, trainFrom }] = documents(THINKING, [
      user("2?"),
      { ...assistant("2"), reasoning_content: "two" },
    ]);
    expect(tokenizer.decode(ids.slice(trainFrom, -1))).toBe("two\n</think>\n\n2");
  });
});
