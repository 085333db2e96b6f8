/** Speculative decoding with the model's MTP module (DeepSeek-V3, arXiv 2412.19437, section 5.4.3), for one row. */
import { MASKED } from "../graph/ops/nn.ts";
import type { Random } from "../lib/random.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import { causalMask } from "../models/masks.ts";
import { allocate, copyBlocks, f32, i32, type Value } from "../runtime/value.ts";
import { KvCache } from "./cache.ts";
import { fillGumbel, type Sampling } from "./sampling.ts";

/** The module was trained to predict one token ahead. It predicts the second as well; a third costs as much as it gains. */
export const MTP_DRAFTS = 2;

/**
 * The state of the module beside the decode graph (see `traceDecode`), whose runs draft tokens and verify them at once. The
 * module reads pairs of consecutive tokens, so it has read all tokens of the sequence but those of the last run, whose hidden
 * states it is fed in the next run.
 */
export class Drafter {
  /** Tokens in the module's cache: how many tokens of the sequence it could continue from, at most. */
  held = 0;
  private readonly drafts: number;
  private readonly config: ModelConfig;
  private readonly cache: KvCache;
  private readonly layers: readonly string[];
  /** The later tokens of the sequence, and the model's hidden states of them, [1, unread, hiddenSize]. */
  private unread: readonly number[] = [];
  private hidden: Value = allocate("f32", [0]);

  /** @param drafts tokens drafted in each run */
  constructor(config: ModelConfig, drafts: number) {
    this.config = config;
    this.drafts = drafts;
    const layers = modelOf(config).mtp?.cacheLayers ?? [];
    this.layers = layers.map(({ name }) => name);
    this.cache = new KvCache(layers);
  }

  /**
   * The module's inputs for a run whose tokens begin with `first`, over a cache of this capacity.
   * @param decoding how drafts are drawn; without it they are not used, since the run reads a prompt
   */
  draft(
    first: number,
    capacity: number,
    decoding?: { sampling: Sampling; random: Random },
  ): Record<string, Value> {
    const { drafts, held, unread, cache } = this;
    const { hiddenSize, vocabSize, maxPositions } = this.config;
    cache.ensure(capacity, 1);
    // The graph takes at least one pair: before the first one it is fed zeros, whose results are not stored.
    const pairs = Math.max(1, unread.length);
    const noise = new Float32Array(drafts * vocabSize);
    if (decoding !== undefined) fillGumbel(noise, decoding.sampling.temperature, decoding.random);
    // Drafts after a part of a prompt are not used, but they should be the same ones whatever was asked before.
    else for (let draft = 0; draft < drafts; draft++) noise[draft * vocabSize] = 1e30;
    const mask = new Float32Array(cache.capacity).fill(MASKED, held);
    const laterMask = new Float32Array(cache.capacity + pairs);
    laterMask.set(mask);
    const position = (offset: number) => Math.min(held + offset, maxPositions - 1);
    const feeds: Record<string, Value> = {
      ...cache.feeds(1),
      "mtp.hidden": unread.length > 0 ? this.hidden : allocate("f32", [1, 1, hiddenSize]),
      "mtp.ids": i32([...unread.slice(1), first], [1, pairs]),
      "mtp.positions": i32(
        Int32Array.from({ length: pairs }, (_, i) => position(i)),
        [1, pairs],
      ),
      "mtp.mask": f32(mask, [1, 1, 1, cache.capacity]),
      "mtp.chunkMask": causalMask(pairs),
      "mtp.last": i32([pairs - 1]),
      "mtp.laterMask": f32(laterMask, [1, 1, 1, laterMask.length]),
      "mtp.noise": f32(noise, [drafts, vocabSize]),
    };
    for (let i = 1; i < drafts; i++)
      feeds[`mtp.position.${i}`] = i32([position(unread.length + i - 1)], [1, 1]);
    return feeds;
  }

  /** The run's first tokens, `ids`, belong to the sequence now: those that were known, and drafts that were accepted. */
  accept(ids: readonly number[], outputs: Readonly<Record<string, Value>>): void {
    const { hiddenSize } = this.config;
    const pairs = this.unread.length;
    const added = this.layers.map((name) => outputs[`new.${name}`]);
    if (pairs > 0) this.cache.append(0, this.held, added, pairs, pairs);
    this.held += pairs;
    this.unread = [...ids];
    this.hidden = allocate("f32", [1, ids.length, hiddenSize]);
    copyBlocks(this.hidden, outputs.hidden, { count: 1, width: ids.length * hiddenSize });
  }

  /** Forgets all but the first `length` tokens of the sequence. */
  rewind(length: number): void {
    this.held = length;
    this.unread = [];
    this.cache.keep(length);
  }

  /** Frees its cache. */
  clear(): void {
    this.held = 0;
    this.unread = [];
    this.cache.clear();
  }
}
