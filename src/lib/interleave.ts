/** Several endless streams as one, in given shares. */

/** Places in a block after which the streams begin again. */
const BLOCK = 1000;

/** Where a place of the whole is: the stream, and its rank in that stream. */
export interface Place {
  part: number;
  rank: number;
}

/**
 * Each stream in its order, evenly spread: place `index` is of the stream that is furthest behind its share (Bresenham's
 * rule).
 */
export function interleaved(shares: readonly number[]): (index: number) => Place {
  const total = shares.reduce((sum, share) => sum + share, 0);
  const counts = shares.map(() => 0);
  const block = Array.from({ length: BLOCK }, (_, i) => {
    const behind = shares.map((share, part) => ((i + 1) * share) / total - counts[part]);
    const part = behind.indexOf(Math.max(...behind));
    return { part, rank: counts[part]++ };
  });
  return (index) => {
    const { part, rank } = block[index % BLOCK];
    return { part, rank: Math.floor(index / BLOCK) * counts[part] + rank };
  };
}
