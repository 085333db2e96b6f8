/** The arrays that a step of decoding is written into: the same ones at each step, and at each batch size parts of them. */
import { bindShape } from "../graph/tensor.ts";
import type { CacheLayer } from "../models/architectures.ts";
import type { Session } from "../runtime/session.ts";
import { allocate, type HostValue } from "../runtime/value.ts";

/** The outputs of one run of the decode graph. */
export interface DecodedStep {
  fetches: Record<string, HostValue>;
  /** [batch, vocab]. */
  logits: Float32Array;
  weights: Float32Array;
  /** What each plane of the cache gets. */
  fresh: readonly Float32Array[];
}

export class StepOutputs {
  private readonly session: Pick<Session, "outputs">;
  private readonly planes: readonly CacheLayer[];
  /** For the largest batch so far; smaller ones use the beginning. */
  private arrays: Record<string, Float32Array> = {};
  private rows = 0;
  private readonly known = new Map<number, DecodedStep>();

  constructor(session: Pick<Session, "outputs">, planes: readonly CacheLayer[]) {
    this.session = session;
    this.planes = planes;
  }

  /** For a step of `batch` rows. */
  of(batch: number): DecodedStep {
    if (batch > this.rows) this.grow(batch);
    let step = this.known.get(batch);
    if (step === undefined) {
      step = this.view(batch);
      this.known.set(batch, step);
    }
    return step;
  }

  private grow(rows: number): void {
    this.known.clear();
    this.rows = rows;
    this.arrays = Object.fromEntries(
      this.session.outputs.map(({ name, dtype, shape }) => [
        name,
        allocate(dtype, shapeFor(shape, rows)).data as Float32Array,
      ]),
    );
  }

  private view(batch: number): DecodedStep {
    const fetches: Record<string, HostValue> = {};
    for (const { name, dtype, shape } of this.session.outputs) {
      const sized = shapeFor(shape, batch);
      const length = sized.reduce((total, dim) => total * dim, 1);
      fetches[name] = { dtype, shape: sized, device: "host", data: this.arrays[name].subarray(0, length) };
    }
    const array = (name: string) => fetches[name].data as Float32Array;
    const fresh = this.planes.map(({ name }) => array(`fresh.${name}`));
    return { fetches, logits: array("logits"), weights: array("weights"), fresh };
  }
}

const shapeFor = (shape: Session["outputs"][number]["shape"], batch: number): number[] =>
  bindShape(shape, { batch, seq: 1 });
