/**
 * State that a step replaces: two values for each tensor, one that is read and one that is written, swapped after the step.
 * Writing in place would be faster and wrong: ONNX Runtime may overwrite a value before its last reader.
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

  /** The current values, by name; the step after the next overwrites them. */
  values(): ReadonlyMap<string, V> {
    return this.front;
  }

  feeds(): Record<string, V> {
    return Object.fromEntries(this.front);
  }

  /** The values that the next step writes, by the names of its outputs: `<name>.next`. */
  fetches(): Record<string, V> {
    return Object.fromEntries([...this.back].map(([name, value]) => [`${name}.next`, value]));
  }

  swap(): void {
    [this.front, this.back] = [this.back, this.front];
  }
}
