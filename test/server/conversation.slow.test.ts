/** Conversations with a chat model of random weights: how it is asked and answers, not what. */

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { saveModel } from "../../src/checkpoint/folder.ts";
import { exportGguf } from "../../src/checkpoint/gguf/model.ts";
import { SPLIT_RULES } from "../../src/checkpoint/gguf/splits.ts";
import { allParameters } from "../../src/models/architectures.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { initialise } from "../../src/models/layers.ts";
import type { ChatEvent, ConversationRequest, Message } from "../../src/server/chat.ts";
import { ThreadChat } from "../../src/server/chat-service.ts";
import { readConversation } from "../../src/server/conversation.ts";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { chatOf, encodeChat } from "../../src/tokenizer/chat.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { asParameters } from "../support/parameters.ts";

/** ChatML, as SmolLM2 and Qwen have it. */
const TEMPLATE =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const tokenizer = new BpeTokenizer({
  ...trainBpe([], { vocabSize: 261, extra: ["<|im_start|>", "<|im_end|>"] }),
  // GGUF files have no name for the rule of our own tokenizers.
  pre_tokenizer: SPLIT_RULES.smollm.pre_tokenizer,
});
const config: DecoderConfig = {
  ...{
    vocabSize: tokenizer.vocabSize,
    layers: 1,
    hiddenSize: 16,
    heads: 2,
    kvHeads: 2,
    headDim: 8,
    intermediateSize: 32,
  },
  ...{ maxPositions: 200, ropeTheta: 10000, normEps: 1e-6, tieEmbeddings: false },
};
const model = { config, tokenizer, tokenizerConfig: { chat_template: TEMPLATE } };
const said = (...contents: string[]): Message[] =>
  contents.map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content }));

describe("what the model reads", () => {
  const read = async (messages: Message[], rest: Partial<ConversationRequest> = {}) => {
    const turn = await readConversation(model, { messages, ...rest });
    return { ...turn, text: tokenizer.decode(turn.prompt) };
  };

  test("all of a short conversation, by the template", async () => {
    const { text, dropped, thoughtOpen, maxNewTokens, prompt } = await read(said("Hi", "Ho", "Hu"));
    expect(text).toBe(
      "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n<|im_start|>user\nHu<|im_end|>\n<|im_start|>assistant\n",
    );
    expect([dropped, thoughtOpen, maxNewTokens]).toEqual([0, false, 200 - prompt.length]);
    expect((await read(said("Hi"), { maxTokens: 7 })).maxNewTokens).toBe(7);
  });

  test("of a long one the newest turns, and always the system's message", async () => {
    const system: Message = { role: "system", content: "Be kind." };
    const long = said("one ".repeat(10), "1", "two ".repeat(10), "2", "three");
    const { text, dropped, prompt } = await read([system, ...long]);
    expect(dropped).toBe(2);
    expect(text).toContain("Be kind.");
    expect(text).not.toContain("one");
    expect(text).toContain("two");
    // A quarter of the positions is left for the answer.
    expect(prompt.length).toBeLessThanOrEqual(150);
    expect((await read([system, ...long], { maxTokens: 1 })).dropped).toBe(0);
  });

  test("a last question may take the answer's room, and no more", async () => {
    const frame = (await read(said(""))).prompt.length;
    expect((await read(said("x".repeat(199 - frame)))).maxNewTokens).toBe(1);
    await expect(read(said("x".repeat(200 - frame)))).rejects.toThrow("takes 200 tokens");
  });

  test("a thought that the template opens", async () => {
    const opening = TEMPLATE.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}");
    const open = async (messages: Message[], chat_template = opening) =>
      (await readConversation({ ...model, tokenizerConfig: { chat_template } }, { messages })).thoughtOpen;
    expect(await open(said("Hi"))).toBe(true);
    // What a person writes opens and closes nothing.
    expect(await open(said("</think>"))).toBe(true);
    expect(await open(said("<think>"), TEMPLATE)).toBe(false);
  });

  test("a model without a template, and one with a broken one, say so", async () => {
    await expect(
      readConversation({ ...model, tokenizerConfig: {} }, { messages: said("Hi") }),
    ).rejects.toThrow(/can't hold a conversation/);
    const chat_template = `${TEMPLATE}{% for m in messages %}{% if m.role == 'tool' %}{{ m | nonsense }}{% endif %}{% endfor %}`;
    await expect(
      readConversation({ ...model, tokenizerConfig: { chat_template } }, { messages: said("Hi") }),
    ).rejects.toThrow(/nonsense/);
  });

  describe("of a long talk", () => {
    const turns = (count: number, words: number): Message[] => [
      ...Array.from({ length: count }, (_, i) => said(`q${i} ${"word ".repeat(words)}`, `a${i}`)).flat(),
      { role: "user", content: "last?" },
    ];
    /** The rule, one turn after another: what is kept is as long as can be. */
    const slowly = (messages: Message[], reserve: number): { prompt: number[]; dropped: number } => {
      const chat = chatOf(model.tokenizerConfig)!;
      const system = messages.filter(({ role }) => role === "system");
      const talk = messages.filter(({ role }) => role !== "system");
      for (let from = 0; ; from += 2) {
        const kept = [...system, ...talk.slice(from)].map((message) => ({ ...message }));
        const prompt = encodeChat(tokenizer, chat, kept, { addGenerationPrompt: true });
        if (prompt.length + (from + 1 >= talk.length ? 1 : reserve) <= config.maxPositions)
          return { prompt, dropped: from };
      }
    };

    test("whatever its length, the same as turn by turn", async () => {
      const system: Message = { role: "system", content: "S" };
      for (const [count, words] of [
        [0, 1],
        [1, 3],
        [2, 4],
        [3, 6],
        [5, 1],
        [8, 2],
        [13, 0],
      ])
        for (const messages of [turns(count, words), [system, ...turns(count, words)]]) {
          const { prompt, dropped } = await read(messages);
          expect({ prompt, dropped }).toEqual(slowly(messages, 50));
        }
    });

    test("each message is encoded once, and those of the question before not again", async () => {
      let encodings: string[] = [];
      const counting = Object.create(tokenizer) as typeof tokenizer;
      counting.encode = (text, options) => {
        encodings.push(text);
        return tokenizer.encode(text, options);
      };
      const wide = { ...model, config: { ...config, maxPositions: 4096 }, tokenizer: counting };
      const ask = async (messages: Message[]) => (await readConversation(wide, { messages })).dropped;
      expect(await ask(turns(400, 60))).toBeGreaterThan(700);
      expect(new Set(encodings).size).toBe(encodings.length);
      // The model has room for some 10 turns: no more than twice as many are looked at.
      const first = encodings.length;
      expect(first).toBeLessThan(150);
      encodings = [];
      await ask([
        ...turns(400, 60),
        { role: "assistant", content: "yes" },
        { role: "user", content: "more?" },
      ]);
      expect(encodings.length).toBeLessThan(20);
    });

    test("400 turns are read in far less than the time of one answer, others get their turn, and leaving ends it", async () => {
      const wide = { ...model, config: { ...config, maxPositions: 2 ** 20 } };
      const messages = turns(400, 500);
      expect(JSON.stringify(messages).length).toBeGreaterThan(1_000_000);
      const leaving = new AbortController();
      let waited = 0;
      const timer = setInterval(() => {
        if (++waited === 3) leaving.abort();
      }, 1);
      const reading = readConversation(wide, { messages }, leaving.signal);
      await expect(reading).rejects.toThrow(/abort/i);
      clearInterval(timer);
      expect(waited).toBeGreaterThanOrEqual(3);
      const start = performance.now();
      expect((await readConversation(wide, { messages: turns(400, 8) })).dropped).toBe(0);
      // 5 s before, on a quiet machine.
      expect(performance.now() - start).toBeLessThan(4000);
    });
  });
});

describe("the chat's thread", () => {
  const folder = join(temporaryFolder(), "model");
  let chat: ThreadChat;
  const request: ConversationRequest = { messages: said("Hi"), seed: 4, maxTokens: 30 };

  async function events(of: ThreadChat, asked: ConversationRequest): Promise<ChatEvent[]> {
    const all: ChatEvent[] = [];
    for await (const event of of.ask(asked, new AbortController().signal)) all.push(event);
    return all;
  }
  const text = (all: ChatEvent[]): string =>
    all.map((event) => (event.type === "token" ? event.text : "")).join("");

  beforeAll(() => {
    const parameters = asParameters(initialise(allParameters(config), 1));
    saveModel(folder, { ...model, parameters, generation: { temperature: 0.9, top_k: 40 } });
    exportGguf(folder, `${folder}.gguf`);
    chat = new ThreadChat({ model: { folder, run: null, step: null } });
  });
  afterAll(() => chat.close());

  test("a chat model is known by its template, in a folder and in a GGUF file", async () => {
    expect(chat.models()).toMatchObject([{ id: "model", kind: "conversation" }]);
    const gguf = new ThreadChat({ model: { folder: `${folder}.gguf`, run: null, step: null } });
    expect(gguf.models()[0]?.kind).toBe("conversation");
    expect((await events(gguf, request)).at(-1)).toMatchObject({ type: "done" });
    await gguf.close();
  });

  test("an answer: the turn, tokens, the end; the seed repeats it", async () => {
    const all = await events(chat, request);
    const { prompt } = await readConversation(model, request);
    expect(all[0]).toEqual({ type: "turn", tokens: prompt.length, dropped: 0 });
    expect(all.at(-1)).toMatchObject({ type: "done", tokens: 30, finish: "length" });
    expect(all.some((event) => event.type === "token" && event.thought === false)).toBe(true);
    expect(text(all)).not.toBe("");
    expect(text(await events(chat, request))).toBe(text(all));
    expect(text(await events(chat, { ...request, seed: 5 }))).not.toBe(text(all));
    expect(text(await events(chat, { ...request, messages: said("Hi", "Ho", "Hi") }))).not.toBe(text(all));
  });

  test("the model's own temperature counts, until another is asked for", async () => {
    const all = text(await events(chat, request));
    expect(text(await events(chat, { ...request, temperature: 0.9 }))).toBe(all);
    const cold = await events(chat, { ...request, temperature: 0 });
    expect(text(cold)).not.toBe(all);
    expect(text(await events(chat, { ...request, temperature: 0, seed: 9 }))).toBe(text(cold));
  });

  test("it counts at int8 too, whose answers are others", async () => {
    const int8 = new ThreadChat({ model: { folder, run: null, step: null }, precision: "int8" });
    const [own, same] = [
      text(await events(int8, request)),
      text(await events(int8, { ...request, temperature: 0.9 })),
    ];
    expect(own).toBe(same);
    expect(own).not.toBe(text(await events(int8, { ...request, temperature: 0 })));
    await int8.close();
  });

  test("a conversation that goes on is answered as if it were new", async () => {
    const first = text(await events(chat, request));
    const next = { ...request, temperature: 0, messages: said("Hi", first, "And then?") };
    const other = new ThreadChat({ model: { folder, run: null, step: null } });
    expect(text(await events(chat, next))).toBe(text(await events(other, next)));
    await other.close();
  });

  test("what cannot be asked is explained", async () => {
    const all = await events(chat, { ...request, messages: said("x".repeat(300)) });
    expect(all).toMatchObject([{ type: "error", remedy: "Send a shorter one." }]);
  });
});
