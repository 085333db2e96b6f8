/**
 * State that a step replaces: two arrays a tensor, one read and one written, which change places after the step.
 * Writing in place would be faster and wrong: the engine may overwrite a value before its last reader.
 */
import { allocateLike, type Value } from "./value.ts";

export class DoubleBuffer<V extends Value = Value> {
  private front: Map<string, V>;
  private back: Map<string, V>;

  /** Takes ownership of `values`. */
  constructor(values: ReadonlyMap<string, V>) {
    this.front = new Map(values);
    this.back = new Map([...values].map(([name, value]) => [name, allocateLike(value)]));
  }

  /** The current values, by name; they are overwritten by the step after the next. */
  values(): ReadonlyMap<string, V> {
    return this.front;
  }

  feeds(): Record<string, V> {
    return Object.fromEntries(this.front);
  }

  /** Where the next values go: outputs are named `<name>.next`. */
  fetches(): Record<string, V> {
    return Object.fromEntries([...this.back].map(([name, value]) => [`${name}.next`, value]));
  }

  swap(): void {
    [this.front, this.back] = [this.back, this.front];
  }
}
