/** A model that answers: opened from a folder, a GGUF file, a run or a pulled model, and asked for completions. */
import { samplingFor } from "../checkpoint/generation-config.ts";
import type { Precision } from "../checkpoint/quantise.ts";
import { encodeProblem } from "../data/prompt.ts";
import { userError } from "../lib/errors.ts";
import { openModel } from "../recipe/model.ts";
import { findModel } from "../run/find-model.ts";
import { Engine, type EngineOptions } from "../runtime/engine.ts";
import { type InferenceSession, openForInference } from "../sample/inference.ts";
import type { Generation } from "../sample/requests.ts";
import { extract } from "../tasks/extract.ts";
import { opensThought } from "../tokenizer/chat.ts";
import { TextStream } from "../tokenizer/stream.ts";
import { ThoughtSplitter } from "../tokenizer/thought.ts";
import { Trainer, type TrainerOptions } from "../train/trainer.ts";

/** How a model is opened. */
export interface LoadOptions {
  /** Of the weights while they run; default "f32". */
  precision?: Precision;
  /** Device and threads; default: the CPU, and as many threads as a model of this size makes use of. */
  engine?: EngineOptions;
}

/** A turn of a conversation. */
export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

/** How a completion is sampled, and when it ends. */
export interface GenerateTextOptions {
  /** Most tokens of the completion; default: what the model's positions leave, 1,024 at most. */
  maxNewTokens?: number;
  /** 0 takes the likeliest token; default: what the model's `generation_config.json` recommends. */
  temperature?: number;
  /** Nucleus sampling: only the likeliest tokens that together have this probability. */
  topP?: number;
  /** Only this many likeliest tokens. */
  topK?: number;
  /** Equal seeds give equal completions; default 0. */
  seed?: number;
  /** Texts that end the completion, which does not contain them. */
  stop?: readonly string[];
  /** Ends the generation with the signal's reason. */
  signal?: AbortSignal;
}

/** A token as it is sampled. */
export interface TextToken {
  /** The text that is certain with it: "" in the middle of a character. */
  text: string;
  id: number;
  /** Its log-probability at the sampling temperature, over the whole vocabulary. */
  logProb: number;
}

/** A completion. */
export interface GeneratedText {
  /** All of it, with the thought's tags where the model writes them. */
  text: string;
  /** What stands in the thought's tags, blanks at its ends trimmed; "" for a model that does not think aloud. */
  thought: string;
  /**
   * What follows the thought, trimmed: the inside of its one `<answer>` block where the model writes R1-Zero's form (arXiv
   * 2501.12948, table 1), or else all of it. "" where the completion ended in the thought.
   */
  answer: string;
  ids: number[];
  logProbs: number[];
  /** "stop": the model or a text of `stop` ended it; "length": it reached `maxNewTokens`. */
  finish: Generation["finish"];
  /** The prompt's ids, before which nothing else was read. */
  promptIds: number[];
}

/** Thrown inside a generation that has met a text of `stop`. */
const STOPPED = Symbol("stopped");
const MOST_TOKENS = 1024;

/**
 * Opens a model to be asked: a Hugging Face folder, a GGUF file, a run or a checkpoint of one, or the name of a pulled
 * model; without a name the small reasoning model that comes with the package.
 * @throws UserError naming what is there instead
 */
export async function loadModel(nameOrPath?: string, options: LoadOptions = {}): Promise<LanguageModel> {
  const { folder } = findModel(nameOrPath);
  const engine = options.engine && new Engine(options.engine);
  const session = await openForInference(folder, { precision: options.precision, engine });
  return new LanguageModel(folder, options, session);
}

/** An open model; made by `loadModel`. Calls are answered one after another. */
export class LanguageModel {
  /** Its folder or GGUF file. */
  readonly path: string;
  readonly options: LoadOptions;
  /** Config, tokenizer, chat template, and generation by token ids. */
  readonly session: InferenceSession;
  private last: Promise<unknown> = Promise.resolve();

  constructor(path: string, options: LoadOptions, session: InferenceSession) {
    this.path = path;
    this.options = options;
    this.session = session;
  }

  /**
   * A completion of a text, or an answer to a conversation through the model's chat template. With `stream`, its tokens
   * as they are sampled.
   * @throws UserError "generation" where the prompt leaves no room; "chat-template" where the model has none
   */
  generate(prompt: string | readonly Message[], options?: GenerateTextOptions): Promise<GeneratedText>;
  generate(
    prompt: string | readonly Message[],
    options: GenerateTextOptions & { stream: true },
  ): AsyncGenerator<TextToken, GeneratedText>;
  generate(
    prompt: string | readonly Message[],
    { stream = false, ...options }: GenerateTextOptions & { stream?: boolean } = {},
  ): Promise<GeneratedText> | AsyncGenerator<TextToken, GeneratedText> {
    return stream ? this.stream(prompt, options) : this.inOrder(() => this.sample(prompt, options, () => {}));
  }

  /** The ids of a prompt: a text as it is, a conversation through the chat template. @throws UserError where there is none */
  encode(prompt: string | readonly Message[]): number[] {
    const asked = typeof prompt === "string" ? { prompt } : { prompt: "", messages: [...prompt] };
    return encodeProblem(this.session, { id: "", ...asked });
  }

  /** The verbs of training on this model: see `Trainer`. The model itself stays as it is. */
  async trainer(options: TrainerOptions = {}): Promise<Trainer> {
    const engine = this.options.engine && new Engine(this.options.engine);
    return Trainer.create(openModel(this.path), { engine, ...options });
  }

  /** Frees its memory, once the calls so far are answered. */
  async release(): Promise<void> {
    await this.inOrder(() => this.session.release());
  }

  private async *stream(
    prompt: string | readonly Message[],
    options: GenerateTextOptions,
  ): AsyncGenerator<TextToken, GeneratedText> {
    const waiting: TextToken[] = [];
    let wake = (): void => {};
    const left = new AbortController();
    const signals = [left.signal, ...(options.signal === undefined ? [] : [options.signal])];
    const signal = AbortSignal.any(signals);
    let ended = false;
    const result = this.inOrder(() =>
      this.sample(prompt, { ...options, signal }, (token) => {
        waiting.push(token);
        wake();
      }),
    ).finally(() => {
      ended = true;
      wake();
    });
    // Its rejection is seen below, or nobody waits for it any more.
    result.catch(() => {});
    try {
      while (!ended || waiting.length > 0) {
        const token = waiting.shift();
        if (token !== undefined) yield token;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
      return await result;
    } finally {
      left.abort();
    }
  }

  private async sample(
    prompt: string | readonly Message[],
    options: GenerateTextOptions,
    onToken: (token: TextToken) => void,
  ): Promise<GeneratedText> {
    const { tokenizer, generation, config } = this.session;
    const { temperature, topP, topK, seed = 0, stop = [], signal } = options;
    const ids = this.encode(prompt);
    const space = config.maxPositions - ids.length;
    if (space < 1)
      throw userError(
        "generation",
        `The prompt takes ${ids.length} tokens, and the model takes at most ${config.maxPositions} with its completion.`,
        "Shorten it.",
      );
    const stream = new TextStream(tokenizer, ids);
    const tokens: TextToken[] = [];
    let text = "";
    let stopAt = -1;
    const add = (token: TextToken): void => {
      text += token.text;
      stopAt = stop.reduce((first, one) => earlier(first, text.indexOf(one)), -1);
      tokens.push(token);
      onToken(token);
    };
    const throwIfAborted = (): void => {
      signal?.throwIfAborted();
      if (stopAt >= 0) throw STOPPED;
    };
    const finish = await this.session
      .generate(
        [
          {
            prompt: ids,
            maxNewTokens: Math.min(options.maxNewTokens ?? MOST_TOKENS, space),
            key: [seed, "generate"],
          },
        ],
        {
          sampling: samplingFor(generation, { temperature, topP, topK }),
          stopIds: tokenizer.stopIds,
          signal: { throwIfAborted },
          onToken: (_, id, logProb) =>
            add({ id, logProb, text: tokenizer.stopIds.has(id) ? "" : stream.push(id) }),
        },
      )
      .then(
        ({ generations }) => generations[0].finish,
        (error) => {
          if (error !== STOPPED) throw error;
          return "stop" as const;
        },
      );
    const whole = stopAt < 0 ? text + stream.end() : text.slice(0, stopAt);
    const splitter = new ThoughtSplitter(opensThought(tokenizer.decode(ids)));
    const parts = [...splitter.push(whole), ...splitter.end()];
    const join = (thought: boolean): string =>
      parts
        .filter((part) => part.thought === thought)
        .map((part) => part.text)
        .join("")
        .trim();
    const rest = join(false);
    return {
      text: whole,
      thought: join(true),
      answer: extract(rest).answer ?? rest,
      ids: tokens.map(({ id }) => id),
      logProbs: tokens.map(({ logProb }) => logProb),
      finish: stopAt < 0 ? finish : "stop",
      promptIds: ids,
    };
  }

  private inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work);
    this.last = result.catch(() => {});
    return result;
  }
}

/** The smaller of two positions, of which -1 is none. */
const earlier = (a: number, b: number): number => (a < 0 ? b : b < 0 ? a : Math.min(a, b));
