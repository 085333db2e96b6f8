/**
 * Which prompts are read when, and how long their caches are held: one is read when a row is about to take it, a few that
 * are next in line with it, and dropped once no request that comes soon begins with it. A group shares its prompt's cache.
 */
import type { PrefixCache } from "./cache.ts";
import type { GenerationRequest } from "./scheduler.ts";

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
   * What is to be read so that the requests `from` to `to` - 1 can begin: requests by index, one for each different prompt,
   * in passes of prompts of like length. A prompt of one token is read by the first step that decodes.
   */
  missing(from: number, to: number): number[][] {
    const chosen = new Map<number, number>();
    const add = (index: number) => {
      const prompt = this.promptOf[index];
      if (this.length(index) > 1 && !this.held.has(prompt) && !chosen.has(prompt)) chosen.set(prompt, index);
    };
    for (let index = from; index < to; index++) add(index);
    if (chosen.size === 0) return [];
    // A pass that has room takes along what comes next.
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
      // The newcomer is the longest of its pass.
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
