/** llama.cpp through node-llama-cpp, the program that our GGUF files are for; `null` where it is not installed. */

type Token = number;

interface Sequence {
  evaluate(tokens: Token[], options: { temperature: number; yieldEogToken: boolean }): AsyncIterable<Token>;
  controlledEvaluate(
    input: (Token | [Token, { generateNext: { probabilities: true } }])[],
  ): Promise<({ next: { probabilities?: Map<Token, number> } } | undefined)[]>;
  clearHistory(): Promise<void>;
}

interface LlamaModel {
  tokenize(text: string, specialTokens?: boolean): Token[];
  isEogToken(token: Token): boolean;
  createContext(options: Record<string, unknown>): Promise<{ getSequence(): Sequence }>;
  dispose(): Promise<void>;
}

interface Llama {
  loadModel(options: { modelPath: string }): Promise<LlamaModel>;
}

/** `npm ci` in bench/peers/llama-cpp puts it there. */
const PEER = new URL(
  "../../../bench/peers/llama-cpp/node_modules/node-llama-cpp/dist/index.js",
  import.meta.url,
);
/** Where it is looked for; another place by SPUTNIK_LLAMA_CPP, e.g. PATH/node_modules/node-llama-cpp/dist/index.js. */
const library: string = process.env.SPUTNIK_LLAMA_CPP ?? PEER.href;

export class LlamaCpp {
  private readonly model: LlamaModel;
  private readonly sequence: Sequence;

  private constructor(model: LlamaModel, sequence: Sequence) {
    this.model = model;
    this.sequence = sequence;
  }

  static async available(): Promise<boolean> {
    try {
      await import(/* @vite-ignore */ library);
      return true;
    } catch (error) {
      console.warn(
        `llama.cpp is not compared: ${error instanceof Error ? error.message.split("\n")[0] : error}`,
      );
      return false;
    }
  }

  /** The cache of keys and values in f32, so that only weights are rounded. */
  static async open(modelPath: string, contextSize = 128): Promise<LlamaCpp> {
    backend ??= start();
    const model = await (await backend).loadModel({ modelPath });
    const exact = {
      experimentalKvCacheKeyType: "F32",
      experimentalKvCacheValueType: "F32",
      flashAttention: false,
    };
    const context = await model.createContext({ contextSize, threads: 1, ...exact });
    return new LlamaCpp(model, context.getSequence());
  }

  /** Ids of a text in which control tokens are ordinary text. */
  encode(text: string): number[] {
    return [...this.model.tokenize(text, false)];
  }

  /** Whether a token ends an answer. */
  ends(id: number): boolean {
    return this.model.isEogToken(id);
  }

  /** The `count` likeliest next ids, one after the other. */
  async greedy(prompt: readonly number[], count: number): Promise<number[]> {
    await this.sequence.clearHistory();
    const ids: number[] = [];
    for await (const id of this.sequence.evaluate([...prompt], { temperature: 0, yieldEogToken: true })) {
      ids.push(id);
      if (ids.length === count) break;
    }
    return ids;
  }

  /** log p of each id after the first, given those before it. */
  async logProbs(ids: readonly number[]): Promise<number[]> {
    await this.sequence.clearHistory();
    const asked = ids.map((id): [Token, { generateNext: { probabilities: true } }] => [
      id,
      { generateNext: { probabilities: true } },
    ]);
    const out = await this.sequence.controlledEvaluate(asked);
    return ids.slice(1).map((id, i) => Math.log(out[i]!.next.probabilities!.get(id)!));
  }

  close(): Promise<void> {
    return this.model.dispose();
  }
}

/** One for all models, without a download or a build. */
let backend: Promise<Llama> | undefined;

async function start(): Promise<Llama> {
  const { getLlama } = (await import(/* @vite-ignore */ library)) as {
    getLlama(options: Record<string, unknown>): Promise<Llama>;
  };
  return getLlama({ build: "never", skipDownload: true, gpu: false, logLevel: "error", maxThreads: 1 });
}
