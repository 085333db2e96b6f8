/** What became of a folder's mutants. */
export interface Score {
  killed: number;
  /** Mutants that no test noticed, each as one line. */
  survivors: string[];
  /** Explained in place: not counted. */
  explained: number;
}

/** Killed over all, without those explained in place; NaN without any. */
export const scoreOf = ({ killed, survivors }: Score): number => killed / (killed + survivors.length);

export const together = (scores: readonly Score[]): Score => ({
  killed: scores.reduce((sum, { killed }) => sum + killed, 0),
  survivors: scores.flatMap(({ survivors }) => survivors),
  explained: scores.reduce((sum, { explained }) => sum + explained, 0),
});

/** What every folder's score is to reach. */
export const LEAST = 0.85;
