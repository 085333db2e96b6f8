/**
 * Counts of pairs with the largest at hand: a binary heap whose entries may be stale.
 * A count that has fallen since its entry was pushed is noticed on `pop` and the entry goes back in.
 */
export class PairHeap {
  private readonly counts = new Map<number, number>();
  private readonly entries: { key: number; count: number }[] = [];

  add(key: number, amount: number): void {
    this.counts.set(key, (this.counts.get(key) ?? 0) + amount);
  }

  /** Enters a pair at its present count; call it again after the count has grown. */
  push(key: number): void {
    const count = this.counts.get(key) ?? 0;
    if (count <= 0) return;
    const { entries } = this;
    entries.push({ key, count });
    let child = entries.length - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!this.before(child, parent)) break;
      this.swap(child, parent);
      child = parent;
    }
  }

  /** Removes the most frequent pair (the smaller key among equals); `undefined` below `least`. */
  pop(least: number): number | undefined {
    while (this.entries.length > 0) {
      const top = this.takeTop();
      const count = this.counts.get(top.key) ?? 0;
      if (count === top.count) {
        return count < least ? undefined : top.key;
      }
      // A pair whose count has grown has a newer entry already.
      if (count < top.count) this.push(top.key);
    }
    return undefined;
  }

  private takeTop(): { key: number; count: number } {
    const { entries } = this;
    this.swap(0, entries.length - 1);
    const top = entries.pop()!;
    let parent = 0;
    for (;;) {
      let first = parent;
      for (const child of [2 * parent + 1, 2 * parent + 2])
        if (child < entries.length && this.before(child, first)) first = child;
      if (first === parent) return top;
      this.swap(parent, first);
      parent = first;
    }
  }

  private before(a: number, b: number): boolean {
    const [left, right] = [this.entries[a]!, this.entries[b]!];
    return left.count > right.count || (left.count === right.count && left.key < right.key);
  }

  private swap(a: number, b: number): void {
    const entry = this.entries[a]!;
    this.entries[a] = this.entries[b]!;
    this.entries[b] = entry;
  }
}
