/**
 * State that a step replaces: two arrays a tensor, one read and one written, which change places after the step.
 * Writing in place would be faster and wrong: the engine may overwrite a value before its last reader.
 */
import { allocate, type HostValue } from "./session.ts";

export class DoubleBuffer {
  private front: Map<string, HostValue>;
  private back: Map<string, HostValue>;

  /** Takes ownership of the arrays in `values`. */
  constructor(values: ReadonlyMap<string, HostValue>) {
    this.front = new Map(values);
    this.back = new Map([...values].map(([name, { dtype, shape }]) => [name, allocate(dtype, shape)]));
  }

  /** The current values, by name; they are overwritten by the step after the next. */
  values(): ReadonlyMap<string, HostValue> {
    return this.front;
  }

  feeds(): Record<string, HostValue> {
    return Object.fromEntries(this.front);
  }

  /** Where the next values go: outputs are named `<name>.next`. */
  fetches(): Record<string, HostValue> {
    return Object.fromEntries([...this.back].map(([name, value]) => [`${name}.next`, value]));
  }

  swap(): void {
    [this.front, this.back] = [this.back, this.front];
  }
}
