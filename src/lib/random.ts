/**
 * The one source of randomness: named streams, derived by hash from one seed. The generator is
 * xoshiro128** (Blackman and Vigna, https://prng.di.unimi.it), whose state is four words.
 */

/** The four 32-bit words of a generator, from which a stream continues exactly. */
export type RandomState = number[];

const TWO_32 = 2 ** 32;
const TWO_53 = 2 ** 53;

/**
 * 128 bits from a text: bryc's public-domain cyrb128, four multiply-and-xor lanes with a final mix.
 * It is no cryptographic hash.
 */
function hash128(text: string): RandomState {
  let a = 1779033703;
  let b = 3144134277;
  let c = 1013904242;
  let d = 2773480762;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = b ^ Math.imul(a ^ unit, 597399067);
    b = c ^ Math.imul(b ^ unit, 2869860233);
    c = d ^ Math.imul(c ^ unit, 951274213);
    d = a ^ Math.imul(d ^ unit, 2716044179);
  }
  a = Math.imul(c ^ (a >>> 18), 597399067);
  b = Math.imul(d ^ (b >>> 22), 2869860233);
  c = Math.imul(a ^ (c >>> 17), 951274213);
  d = Math.imul(b ^ (d >>> 19), 2716044179);
  a ^= b ^ c ^ d;
  return [a, b ^ a, c ^ a, d ^ a].map((word) => word >>> 0);
}

function rotateLeft(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}

/** Seeded random numbers, equal on every machine: xoshiro128** (Blackman and Vigna 2018). */
export class Random {
  #a = 0;
  #b = 0;
  #c = 0;
  #d = 1;

  /**
   * A separate stream for each list of names: `new Random(7, "countdown", "train", 12)`. The key is
   * the list as JSON, so `("a", "b")` and `("ab")`, and `1` and `"1"`, are different streams.
   */
  constructor(seed: number | string, ...names: (string | number)[]) {
    const words = hash128(JSON.stringify([seed, ...names]));
    // All zeros is the one state that the generator never leaves.
    this.#set(words.every((word) => word === 0) ? [1, 0, 0, 0] : words);
  }

  /** @throws RangeError unless `state` is four 32-bit words, not all 0, as `state()` gives them. */
  static fromState(state: RandomState): Random {
    const words = state.length === 4 && state.every((word) => Number.isInteger(word) && word >>> 0 === word);
    if (!words || state.every((word) => word === 0)) {
      throw new RangeError(`A random state is four 32-bit words, not all 0; found [${state.join(", ")}].`);
    }
    const random = new Random(0);
    random.#set(state);
    return random;
  }

  /** Plain JSON data; `fromState` continues this stream. */
  state(): RandomState {
    return [this.#a, this.#b, this.#c, this.#d].map((word) => word >>> 0);
  }

  /** A whole number in [0, 2^32): one step of xoshiro128**. */
  uint32(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotateLeft(this.#d, 11);
    return result;
  }

  /** In [0, 1), with 53 random bits. */
  uniform(): number {
    return this.#uint53() / TWO_53;
  }

  /**
   * A whole number in [low, high], both ends included, without modulo bias.
   * @throws RangeError unless the ends are safe integers in order, at most 2^53 numbers apart.
   */
  integer(low: number, high: number): number {
    const span = high - low + 1;
    if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || span < 1 || span > TWO_53) {
      throw new RangeError(`An integer needs two safe integers in order; found [${low}, ${high}].`);
    }
    const wide = span > TWO_32;
    const range = wide ? TWO_53 : TWO_32;
    const fair = range - (range % span);
    for (;;) {
      const draw = wide ? this.#uint53() : this.uint32();
      if (draw < fair) return low + (draw % span);
    }
  }

  /** One of the items, all equally likely. @throws RangeError on an empty array. */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError("There is nothing to pick from an empty array.");
    return items[this.integer(0, items.length - 1)]!;
  }

  /** Standard normal by Box-Muller. The second value of the pair is dropped, so that the four words are the state. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Fisher and Yates, in place; returns the same array. */
  shuffle<T>(items: T[]): T[] {
    for (let last = items.length - 1; last > 0; last--) {
      const other = this.integer(0, last);
      const held = items[last]!;
      items[last] = items[other]!;
      items[other] = held;
    }
    return items;
  }

  #uint53(): number {
    const high = this.uint32() >>> 5;
    return high * 2 ** 26 + (this.uint32() >>> 6);
  }

  #set(state: RandomState): void {
    this.#a = state[0]! | 0;
    this.#b = state[1]! | 0;
    this.#c = state[2]! | 0;
    this.#d = state[3]! | 0;
  }
}
