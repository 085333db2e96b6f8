/**
 * `sputnik-r1/ai`: a provider for Vercel's AI SDK that computes in this process, with reasoning apart from text:
 * `generateText({ model: sputnik("runs/mine"), prompt: "..." })`. The AI SDK (version 7) needs Node 22; this module needs its
 * types alone.
 */
import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4Content,
  LanguageModelV4FinishReason,
  LanguageModelV4StreamPart,
  LanguageModelV4Usage,
  SharedV4Warning,
} from "@ai-sdk/provider";
import { chatOf, opensThought } from "../tokenizer/chat.ts";
import { ThoughtSplitter, tagStart } from "../tokenizer/thought.ts";
import {
  type GenerateTextOptions,
  type LanguageModel,
  type LoadOptions,
  loadModel,
  type Message,
} from "./model.ts";

/** Open models by name and options: an application names its model in many places. */
const open = new Map<string, Promise<LanguageModel>>();

/**
 * A model for `generateText` and `streamText`, opened by its first call and kept until the process ends.
 * @param nameOrPath what `loadModel` takes; without it the small reasoning model that comes with the package
 */
export function sputnik(nameOrPath?: string, options: LoadOptions = {}): LanguageModelV4 {
  const load = (): Promise<LanguageModel> => {
    const key = JSON.stringify([nameOrPath, options]);
    const known = open.get(key) ?? loadModel(nameOrPath, options);
    open.set(key, known);
    // A model that could not be opened may be there at the next call.
    known.catch(() => open.delete(key));
    return known;
  };
  return {
    specificationVersion: "v4",
    provider: "sputnik",
    modelId: nameOrPath ?? "tiny-r1-zero",
    supportedUrls: {},
    doGenerate: async (call) => {
      const content: LanguageModelV4Content[] = [];
      const { stream, warnings } = await answer(await load(), call);
      for await (const { type, text } of stream.parts) {
        const last = content.at(-1);
        if (last?.type === type) last.text += text;
        else content.push({ type, text });
      }
      return { content, warnings, ...(await stream.end) };
    },
    doStream: async (call) => {
      const { stream, warnings } = await answer(await load(), call);
      const parts = streamParts(stream, warnings);
      return {
        stream: new ReadableStream<LanguageModelV4StreamPart>({
          pull: async (controller) => {
            const { value, done } = await parts.next();
            if (done) controller.close();
            else controller.enqueue(value);
          },
          cancel: async () => void (await parts.return(undefined)),
        }),
      };
    },
  };
}

interface Part {
  type: "reasoning" | "text";
  text: string;
}

interface Answer {
  parts: AsyncIterable<Part>;
  /** Settled when the parts are read to their end. */
  end: Promise<Ended>;
}

interface Ended {
  finishReason: LanguageModelV4FinishReason;
  usage: LanguageModelV4Usage;
}

async function answer(
  model: LanguageModel,
  call: LanguageModelV4CallOptions,
): Promise<{ stream: Answer; warnings: SharedV4Warning[] }> {
  const warnings: SharedV4Warning[] = [];
  const messages = messagesOf(call, warnings);
  const hasTemplate = chatOf(model.session.tokenizerConfig) !== null;
  if (!hasTemplate)
    warnings.push({
      ...{ type: "compatibility", feature: "prompt" },
      details: "The model has no chat template: it continues the text of the messages.",
    });
  const prompt = hasTemplate ? messages : messages.map(({ content }) => content).join("\n");
  const { maxOutputTokens, temperature, topP, topK, seed, stopSequences, abortSignal } = call;
  const options: GenerateTextOptions = {
    ...{ maxNewTokens: maxOutputTokens, temperature, topP, topK, seed },
    ...{ stop: stopSequences, signal: abortSignal },
  };
  const ids = model.encode(prompt);
  const splitter = new ThoughtSplitter(opensThought(model.session.tokenizer.decode(ids)));
  let settle = (_: Ended): void => {};
  const end = new Promise<Ended>((resolve) => {
    settle = resolve;
  });
  async function* parts(): AsyncGenerator<Part> {
    const tokens = model.generate(prompt, { ...options, stream: true });
    let [whole, sent, read, reasoning] = ["", 0, 0, 0];
    const upTo = function* (text: string, length: number): Generator<Part> {
      for (const part of splitter.push(text.slice(sent, length))) yield named(part);
      sent = Math.max(sent, length);
    };
    let next = await tokens.next();
    for (; !next.done; next = await tokens.next()) {
      read++;
      whole += next.value.text;
      yield* upTo(whole, certainLength(whole, options.stop ?? []));
      if (splitter.inThought) reasoning = read;
    }
    const { text, finish } = next.value;
    yield* upTo(text, text.length);
    for (const part of splitter.end()) yield named(part);
    settle({
      finishReason: { unified: finish, raw: finish },
      usage: {
        inputTokens: { total: ids.length, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
        outputTokens: { total: read, text: read - reasoning, reasoning },
      },
    });
  }
  return { stream: { parts: parts(), end }, warnings };
}

const named = ({ thought, text }: { thought: boolean; text: string }): Part => ({
  type: thought ? "reasoning" : "text",
  text,
});

/** How much of a text is certain not to belong to one that ends it. */
function certainLength(text: string, stops: readonly string[]): number {
  const found = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  return found.length > 0
    ? Math.min(...found)
    : text.length - Math.max(0, ...stops.map((stop) => tagStart(text, stop)));
}

async function* streamParts(
  { parts, end }: Answer,
  warnings: SharedV4Warning[],
): AsyncGenerator<LanguageModelV4StreamPart> {
  yield { type: "stream-start", warnings };
  let [open, count]: [Part["type"] | null, number] = [null, 0];
  const id = () => String(count);
  for await (const { type, text } of parts) {
    if (open !== type) {
      if (open !== null) yield { type: `${open}-end`, id: id() };
      count++;
      open = type;
      yield { type: `${type}-start`, id: id() };
    }
    yield { type: `${type}-delta`, id: id(), delta: text };
  }
  if (open !== null) yield { type: `${open}-end`, id: id() };
  yield { type: "finish", ...(await end) };
}

/** The text of the messages. What this engine cannot do becomes a warning. */
function messagesOf(call: LanguageModelV4CallOptions, warnings: SharedV4Warning[]): Message[] {
  const unsupported = (feature: string, asked: boolean): void => {
    if (asked) warnings.push({ type: "unsupported", feature });
  };
  const { reasoning } = call;
  unsupported("tools", (call.tools?.length ?? 0) > 0);
  unsupported("responseFormat", call.responseFormat !== undefined && call.responseFormat.type !== "text");
  unsupported("presencePenalty", (call.presencePenalty ?? 0) !== 0);
  unsupported("frequencyPenalty", (call.frequencyPenalty ?? 0) !== 0);
  unsupported("reasoning", reasoning !== undefined && reasoning !== "provider-default");
  return call.prompt.flatMap(({ role, content }): Message[] => {
    if (role === "system") return [{ role, content }];
    const texts = content.flatMap((part) => (part.type === "text" ? [part.text] : []));
    const others = content.filter(({ type }) => type !== "text" && type !== "reasoning");
    for (const { type } of others) unsupported(`a message's part of type ${type}`, true);
    return role === "tool" ? [] : [{ role, content: texts.join("") }];
  });
}
