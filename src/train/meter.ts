/** A step's metrics, each reduced as it is declared where it is measured. */
import type { Metrics } from "../events.ts";

/** What is measured micro-batch by micro-batch is reported for the step: means have one denominator over all of it. */
export class Meter {
  private readonly results = new Map<string, () => number | null>();
  private readonly means = new Map<string, { sum: number; count: number }>();
  private readonly extremes = new Map<string, number>();
  private readonly counts = new Map<string, number[]>();

  /** @param expected metrics that are `null` where nothing is measured */
  constructor(expected: readonly string[] = []) {
    for (const name of expected) this.results.set(name, () => null);
  }

  /** Adds to the numerator and the denominator of a mean. */
  mean(name: string, sum: number, count = 1): void {
    const total = this.means.get(name) ?? { sum: 0, count: 0 };
    this.means.set(name, total);
    total.sum += sum;
    total.count += count;
    this.results.set(name, () => (total.count === 0 ? null : total.sum / total.count));
  }

  sum(name: string, value: number): void {
    this.mean(name, value, 0);
    this.results.set(name, () => this.means.get(name)?.sum ?? null);
  }

  max(name: string, value: number): void {
    this.extreme(name, Math.max(this.extremes.get(name) ?? value, value));
  }

  min(name: string, value: number): void {
    this.extreme(name, Math.min(this.extremes.get(name) ?? value, value));
  }

  private extreme(name: string, value: number): void {
    this.extremes.set(name, value);
    this.results.set(name, () => value);
  }

  /** The largest of the summed counts over their mean: 1 where they are even. */
  imbalance(name: string, counts: ArrayLike<number>): void {
    const before = this.counts.get(name);
    const totals = Array.from(counts, (count, i) => count + (before?.[i] ?? 0));
    this.counts.set(name, totals);
    this.results.set(
      name,
      () => Math.max(...totals) / (totals.reduce((total, count) => total + count, 0) / totals.length),
    );
  }

  metrics(): Metrics {
    return Object.fromEntries([...this.results].map(([name, result]) => [name, result()]));
  }
}
