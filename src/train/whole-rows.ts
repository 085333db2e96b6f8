/**
 * Examples in rows, none of them cut: what is trained of an example always sees its prompt. What a row has left when no
 * waiting example fits is padding.
 */
import { type Document, type DocumentSource, isTrained, type PackedBatch } from "./data.ts";

/** Where the stream is, as JSON: exact resumption needs no more. */
export interface WholeRowsState {
  nextDocument: number;
  /** Indices of documents that were drawn and have no row yet, oldest first. */
  waiting: number[];
}

/** Examples that are held ready, so that a gap finds one of its size. */
const WAITING = 32;
/** Examples without a fitting one before the source is taken for hopeless. */
const MAX_TOO_LONG = 1000;
/** No document's number: padding. */
const PADDING = -1;

/** Positions that a document takes: each id but the last is read, each but the first is a target. */
export const rowLength = ({ ids }: Document): number => ids.length - 1;

export class WholeRows {
  private readonly state: WholeRowsState;
  private readonly source: DocumentSource;
  private readonly batch: number;
  private readonly seq: number;
  private readonly held = new Map<number, Document>();

  /** @param state where it goes on; one that an older version packed has no waiting examples */
  constructor(source: DocumentSource, batch: number, seq: number, state: Partial<WholeRowsState> = {}) {
    this.source = source;
    this.batch = batch;
    this.seq = seq;
    const { nextDocument = 0, waiting = [] } = state;
    this.state = { nextDocument, waiting: [...waiting] };
  }

  snapshot(): WholeRowsState {
    return structuredClone(this.state);
  }

  /** The next rows, filled first fit: the oldest waiting example, then each that still fits, in the order of the stream. */
  next(): PackedBatch {
    const { batch, seq } = this;
    const ids = new Int32Array(batch * seq);
    const targets = new Int32Array(batch * seq);
    const weights = new Float32Array(batch * seq);
    const documents = new Int32Array(batch * seq).fill(PADDING);
    let trained = 0;
    for (let row = 0; row < batch; row++) {
      this.draw();
      const { state } = this;
      let used = 0;
      for (const index of [...state.waiting]) {
        const document = this.document(index);
        const length = rowLength(document);
        if (used + length > seq) continue;
        const at = row * seq + used;
        ids.set(document.ids.slice(0, -1), at);
        targets.set(document.ids.slice(1), at);
        documents.fill(index, at, at + length);
        for (let i = 0; i < length; i++)
          if (isTrained(document, i + 1)) {
            weights[at + i] = 1;
            trained++;
          }
        used += length;
        state.waiting.splice(state.waiting.indexOf(index), 1);
        this.held.delete(index);
      }
    }
    return { ids, targets, weights, documents, batch, seq, trained };
  }

  private document(index: number): Document {
    let document = this.held.get(index);
    if (document === undefined) {
      document = this.source(index);
      this.held.set(index, document);
    }
    return document;
  }

  /** Fills the waiting examples up; those longer than a row, and those without a token to train, are passed over. */
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
