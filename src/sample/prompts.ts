/** How prompts are read: how many tokens in one pass, which prompts together, and how long their caches are held. */
import type { PrefixCache } from "./cache.ts";
import type { GenerationRequest } from "./requests.ts";

/** Least and most tokens of a pass. */
interface PassBounds {
  least: number;
  most: number;
}

/**
 * For a graph that reads prompts in chunks. A pass of fewer tokens is bound by memory and hardly shorter. With more tokens,
 * scores and activations are no longer small beside a model, and 512 are no faster.
 */
export const CHUNKS: PassBounds = { least: 16, most: 256 };

/** For a graph that reads whole prompts, several in a pass. Weights that are fed are packed anew for each pass. */
export const WHOLE_PROMPTS: PassBounds = { least: 512, most: 4096 };

/** FLOPs of two cores in a quarter to half a second, which is how long a request that is stopped waits at most. */
const PASS_FLOPS = 25e9;

/**
 * Tokens of a pass: a power of two. It follows from the model alone and not from the machine's speed, since chunks of
 * another length may round sums differently.
 * @param flopsOf FLOPs of a pass over so many tokens
 */
export function tokensOfPass(flopsOf: (tokens: number) => number, { least, most }: PassBounds): number {
  const affordable = (PASS_FLOPS * CHUNKS.least) / flopsOf(CHUNKS.least);
  return Math.min(most, Math.max(least, 2 ** Math.floor(Math.log2(affordable))));
}

/** How many of `tokens` are in full chunks. */
export const inFullChunks = (tokens: number, chunk: number): number => tokens - (tokens % chunk);

/** How many ids two sequences have in common at their beginnings. */
export function commonPrefix(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const end = Math.min(a.length, b.length);
  let length = 0;
  while (length < end && a[length] === b[length]) length++;
  return length;
}

/**
 * A prompt is read when a row is about to take it, together with a few that are next in line. Its cache is dropped once no
 * request that comes soon begins with it. The requests of a group share their prompt's cache.
 */
export class PromptCaches {
  private readonly requests: readonly GenerationRequest[];
  private readonly ahead: number;
  private readonly passTokens: number;
  /** By request: a number for its prompt, the same for equal ones; and the next request with that prompt. */
  private readonly promptOf: number[] = [];
  private readonly nextWith: number[] = [];
  private readonly held = new Map<number, PrefixCache>();

  /**
   * @param ahead how many requests of those in line come soon
   * @param passTokens that one pass reads, padding included, unless a single prompt is longer
   */
  constructor(requests: readonly GenerationRequest[], ahead: number, passTokens: number) {
    this.requests = requests;
    this.ahead = ahead;
    this.passTokens = passTokens;
    const numbers = new Map<string, number>();
    const next = new Map<number, number>();
    for (let index = requests.length - 1; index >= 0; index--) {
      const name = requests[index].prompt.join();
      const number = numbers.get(name) ?? numbers.size;
      numbers.set(name, number);
      this.promptOf[index] = number;
      this.nextWith[index] = next.get(number) ?? Number.POSITIVE_INFINITY;
      next.set(number, index);
    }
  }

  /**
   * What must be read before the requests `from` to `to` - 1 can begin: requests by index, one for each different prompt, in
   * passes of prompts of similar length. A prompt of one token is read by the first decode step.
   */
  missing(from: number, to: number): number[][] {
    const chosen = new Map<number, number>();
    const add = (index: number) => {
      const prompt = this.promptOf[index];
      if (this.length(index) > 1 && !this.held.has(prompt) && !chosen.has(prompt)) chosen.set(prompt, index);
    };
    for (let index = from; index < to; index++) add(index);
    if (chosen.size === 0) return [];
    // A pass that is not full takes the next requests along.
    let longest = Math.max(...[...chosen.values()].map((index) => this.length(index)));
    const end = Math.min(to + this.ahead, this.requests.length);
    for (let index = to; index < end && chosen.size < this.ahead; index++) {
      longest = Math.max(longest, this.length(index));
      if ((chosen.size + 1) * longest > this.passTokens) break;
      add(index);
    }
    return this.passes([...chosen.values()]);
  }

  private passes(indices: number[]): number[][] {
    const passes: number[][] = [];
    for (const index of indices.sort((a, b) => this.length(a) - this.length(b))) {
      const pass = passes.at(-1);
      // Sorted by length, so this one is the longest of its pass.
      if (pass !== undefined && (pass.length + 1) * this.length(index) <= this.passTokens) pass.push(index);
      else passes.push([index]);
    }
    return passes;
  }

  private length(index: number): number {
    return this.requests[index].prompt.length;
  }

  hold(index: number, prefix: PrefixCache): void {
    this.held.set(this.promptOf[index], prefix);
  }

  /** The cache of the request's prompt, dropped unless a request that comes soon begins with it; none for one token. */
  take(index: number): PrefixCache | undefined {
    const prompt = this.promptOf[index];
    const prefix = this.held.get(prompt);
    if (this.nextWith[index] > index + this.ahead) this.held.delete(prompt);
    return prefix;
  }
}
