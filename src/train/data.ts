/** Documents packed into rows without gaps: every row is full, and every kind of document comes at every position. */
import type { LanguageModelBatch } from "./language-model.ts";

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

export type DocumentSource = (index: number) => Document;

/** Where a packed stream stands, as JSON: exact resumption needs no more. */
export interface PackingState {
  nextDocument: number;
  /** Tokens begun but not yet in a row, whether each is trained, and which document it belongs to. */
  ids: number[];
  trained: boolean[];
  documents: number[];
}

export interface PackedBatch extends LanguageModelBatch {
  /** The document of each token. */
  documents: Int32Array;
  /** Targets with weight 1. */
  trained: number;
}

/** Documents without tokens, one after another, before the source is taken for empty. */
const MAX_EMPTY = 1000;

export class PackedBatches {
  private state: PackingState;
  private readonly source: DocumentSource;
  private readonly seq: number;
  private readonly batch: number;

  constructor(source: DocumentSource, batch: number, seq: number, state?: PackingState) {
    this.source = source;
    this.batch = batch;
    this.seq = seq;
    this.state = structuredClone(state ?? { nextDocument: 0, ids: [], trained: [], documents: [] });
  }

  snapshot(): PackingState {
    return structuredClone(this.state);
  }

  /** The next rows; `weights` are 1 for trained targets and 0 for others, `documents` numbers each token's document. */
  next(): PackedBatch {
    const { batch, seq } = this;
    const ids = new Int32Array(batch * seq);
    const targets = new Int32Array(batch * seq);
    const weights = new Float32Array(batch * seq);
    const documents = new Int32Array(batch * seq);
    let trained = 0;
    for (let row = 0; row < batch; row++) {
      this.fill(seq + 1);
      const { state } = this;
      for (let i = 0; i < seq; i++) {
        const at = row * seq + i;
        ids[at] = state.ids[i];
        targets[at] = state.ids[i + 1];
        documents[at] = state.documents[i];
        if (state.trained[i + 1]) {
          weights[at] = 1;
          trained++;
        }
      }
      // The last target is the next row's first token, so no token goes untrained.
      for (const list of [state.ids, state.trained, state.documents] as unknown[][]) list.splice(0, seq);
    }
    return { ids, targets, weights, documents, batch, seq, trained };
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
