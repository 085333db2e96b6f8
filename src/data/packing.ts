/** Documents packed into the rows of a batch: as a stream that fills every row, or as complete examples with padding. */

/** Rows of a language model's batch: [batch · seq] each, row by row. */
export interface LanguageModelBatch {
  ids: Int32Array;
  targets: Int32Array;
  /** Weight of each target in the loss; 0 leaves it out. */
  weights: Float32Array;
  batch: number;
  seq: number;
}

/** A document's ids, and the first index that the loss counts (what comes before is a prompt). */
export interface Document {
  ids: readonly number[];
  trainFrom: number;
  /** Stretches [from, to) after it that the loss does not count: the questions within a conversation. */
  untrained?: readonly (readonly [from: number, to: number])[];
}

/** Whether the loss counts the id at `index`. */
export function isTrained({ trainFrom, untrained = [] }: Document, index: number): boolean {
  return index >= trainFrom && !untrained.some(([from, to]) => index >= from && index < to);
}

/** The document of an index; every index from 0 on has one. */
export type DocumentSource = (index: number) => Document;

/** What a training stage reads its batches from. Its snapshot is JSON, and all that exact resumption needs. */
export interface Packing {
  next(): PackedBatch;
  snapshot(): unknown;
}

/** The next document, and tokens that were drawn and are in no row yet: each one's id, whether it is trained, its document. */
export interface PackedStreamState {
  nextDocument: number;
  ids: number[];
  trained: boolean[];
  documents: number[];
}

export interface PackedBatch extends LanguageModelBatch {
  /** The document of each token; -1 is padding. */
  documents: Int32Array;
  /** Number of targets with weight 1. */
  trained: number;
}

const PADDING = -1;

/** Consecutive documents without tokens after which the source counts as empty. */
const MAX_EMPTY = 1000;

/** The arrays of a batch without tokens: all padding. */
const emptyBatch = (batch: number, seq: number): PackedBatch => ({
  ids: new Int32Array(batch * seq),
  targets: new Int32Array(batch * seq),
  weights: new Float32Array(batch * seq),
  documents: new Int32Array(batch * seq).fill(PADDING),
  ...{ batch, seq, trained: 0 },
});

/** Rows without gaps: a document continues in the next row, and every kind of document comes at every position. */
export class PackedStream implements Packing {
  private state: PackedStreamState;
  private readonly source: DocumentSource;
  private readonly seq: number;
  private readonly batch: number;

  constructor(source: DocumentSource, batch: number, seq: number, state?: PackedStreamState) {
    this.source = source;
    this.batch = batch;
    this.seq = seq;
    this.state = structuredClone(state ?? { nextDocument: 0, ids: [], trained: [], documents: [] });
  }

  snapshot(): PackedStreamState {
    return structuredClone(this.state);
  }

  /** The next rows; `weights` are 1 for trained targets and 0 for others, `documents` numbers each token's document. */
  next(): PackedBatch {
    const { batch, seq } = this;
    const packed = emptyBatch(batch, seq);
    for (let row = 0; row < batch; row++) {
      this.fill(seq + 1);
      const { state } = this;
      for (let i = 0; i < seq; i++) {
        const at = row * seq + i;
        packed.ids[at] = state.ids[i];
        packed.targets[at] = state.ids[i + 1];
        packed.documents[at] = state.documents[i];
        if (state.trained[i + 1]) {
          packed.weights[at] = 1;
          packed.trained++;
        }
      }
      // The last target is the next row's first token, so no token goes untrained.
      for (const list of [state.ids, state.trained, state.documents] as unknown[][]) list.splice(0, seq);
    }
    return packed;
  }

  private fill(length: number): void {
    const { state } = this;
    let empty = 0;
    while (state.ids.length < length) {
      const index = state.nextDocument++;
      const document = this.source(index);
      empty = document.ids.length === 0 ? empty + 1 : 0;
      if (empty > MAX_EMPTY)
        throw new RangeError(`${MAX_EMPTY} documents in a row, up to number ${index}, have no tokens`);
      document.ids.forEach((id, i) => {
        state.ids.push(id);
        state.trained.push(isTrained(document, i));
        state.documents.push(index);
      });
    }
  }
}

/** The next document, and those that were drawn and have no row yet. */
export interface PackedExamplesState {
  nextDocument: number;
  /** Indices, oldest first. */
  waiting: number[];
}

/** Examples held ready to fill a gap. */
const WAITING = 32;
/** Consecutive examples that fit no row after which the source is refused. */
const MAX_TOO_LONG = 1000;

/** Positions that a document takes: each id but the last is read, each but the first is a target. */
export const rowLength = ({ ids }: Document): number => ids.length - 1;

/**
 * Rows of complete examples: the trained part of an example always sees its prompt. Where no waiting example fits, the rest of
 * the row is padding.
 */
export class PackedExamples implements Packing {
  private readonly state: PackedExamplesState;
  private readonly source: DocumentSource;
  private readonly batch: number;
  private readonly seq: number;
  private readonly held = new Map<number, Document>();

  /** @param state to resume from; one of an older version has no waiting examples */
  constructor(source: DocumentSource, batch: number, seq: number, state: Partial<PackedExamplesState> = {}) {
    this.source = source;
    this.batch = batch;
    this.seq = seq;
    const { nextDocument = 0, waiting = [] } = state;
    this.state = { nextDocument, waiting: [...waiting] };
  }

  snapshot(): PackedExamplesState {
    return structuredClone(this.state);
  }

  /** The next rows, filled first fit: the oldest waiting example, then each that still fits, in the order of the stream. */
  next(): PackedBatch {
    const { batch, seq } = this;
    const packed = emptyBatch(batch, seq);
    for (let row = 0; row < batch; row++) {
      this.draw();
      const { state } = this;
      let used = 0;
      for (const index of [...state.waiting]) {
        const document = this.document(index);
        const length = rowLength(document);
        if (used + length > seq) continue;
        const at = row * seq + used;
        packed.ids.set(document.ids.slice(0, -1), at);
        packed.targets.set(document.ids.slice(1), at);
        packed.documents.fill(index, at, at + length);
        for (let i = 0; i < length; i++)
          if (isTrained(document, i + 1)) {
            packed.weights[at + i] = 1;
            packed.trained++;
          }
        used += length;
        state.waiting.splice(state.waiting.indexOf(index), 1);
        this.held.delete(index);
      }
    }
    return packed;
  }

  private document(index: number): Document {
    let document = this.held.get(index);
    if (document === undefined) {
      document = this.source(index);
      this.held.set(index, document);
    }
    return document;
  }

  /** Fills the waiting examples up; those longer than a row and those without a token to train are skipped. */
  private draw(): void {
    const { state } = this;
    for (let passed = 0; state.waiting.length < WAITING; ) {
      const index = state.nextDocument++;
      const document = this.source(index);
      const length = rowLength(document);
      if (length >= 1 && length <= this.seq) {
        state.waiting.push(index);
        this.held.set(index, document);
        passed = 0;
      } else if (++passed > MAX_TOO_LONG)
        throw new RangeError(
          `${MAX_TOO_LONG} examples in a row, up to number ${index}, do not fit ${this.seq} tokens: raise the stage's sequence`,
        );
    }
  }
}
