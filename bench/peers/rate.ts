/**
 * Tokens a second of decoding alone, the same for every side: the clock starts once each row has its first new token
 * (whatever reading the prompts took is over then) and ends with the last token.
 */
export class Rate {
  private readonly begun = new Set<number>();
  private readonly rows: number;
  private start = 0;
  private end = 0;
  private tokens = 0;

  constructor(rows: number) {
    this.rows = rows;
  }

  /** A row has one more token. */
  mark(row: number): void {
    this.end = performance.now();
    if (this.begun.size === this.rows) this.tokens++;
    else if (this.begun.add(row).size === this.rows) this.start = this.end;
  }

  perSecond(): number {
    return (this.tokens * 1000) / (this.end - this.start);
  }
}
