/** The values that decode steps write their outputs into: they are allocated once, for the largest batch so far. */
import type { Session } from "../runtime/session.ts";
import { type Value, view } from "../runtime/value.ts";

export class StepOutputs {
  private readonly session: Pick<Session, "outputs" | "allocateOutputs">;
  private values: Record<string, Value> = {};
  private rows = 0;
  /** By batch size: views of the first rows, the same ones at each step. */
  private readonly views = new Map<number, Record<string, Value>>();

  constructor(session: Pick<Session, "outputs" | "allocateOutputs">) {
    this.session = session;
  }

  /** For a step of `batch` rows with one new token each. */
  of(batch: number): Record<string, Value> {
    if (batch > this.rows) {
      this.rows = batch;
      this.views.clear();
      const names = this.session.outputs.map(({ name }) => name);
      this.values = this.session.allocateOutputs(names, { batch, seq: 1 });
    }
    const known = this.views.get(batch);
    if (known !== undefined) return known;
    const views = Object.fromEntries(
      Object.entries(this.values).map(([name, value]) => [
        name,
        view(value, [batch, ...value.shape.slice(1)]),
      ]),
    );
    this.views.set(batch, views);
    return views;
  }
}
