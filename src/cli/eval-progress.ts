/** The progress of an evaluation on standard error: one line that a terminal rewrites, or a line from time to time. */
import type { Completion } from "../eval/completions.ts";
import { duration, whole } from "./screen.ts";

const REPAINT_MS = 200;
const LINE_EVERY_MS = 10_000;

export class EvaluationProgress {
  /** Tokens that this process sampled. */
  tokens = 0;
  private ended: number;
  private endedTokens: number;
  private readonly wanted: number;
  private readonly limit: number;
  private readonly write: (text: string) => void;
  private readonly terminal: boolean;
  private readonly start = performance.now();
  /** When the first token came: the speed does not include the time to read the prompts. */
  private first: number | null = null;
  private shown: number;

  /** @param limit most tokens of a completion, @param known completions that were sampled before */
  constructor(
    wanted: number,
    limit: number,
    known: ReadonlyMap<string, Completion>,
    out: { isTTY?: boolean; write(text: string): unknown } = process.stderr,
  ) {
    this.wanted = wanted;
    this.limit = limit;
    this.ended = known.size;
    this.endedTokens = [...known.values()].reduce((sum, { tokens }) => sum + tokens, 0);
    this.terminal = out.isTTY === true;
    this.write = (text) => void out.write(text);
    this.shown = this.start;
    if (this.ended < wanted && this.terminal) this.write("\rreading the prompts");
  }

  token(): void {
    this.first ??= performance.now();
    this.tokens++;
    this.show();
  }

  completion({ tokens }: Completion): void {
    this.ended++;
    this.endedTokens += tokens;
    this.show();
  }

  end(): void {
    if (this.terminal) this.write("\r\x1b[K");
  }

  /** Seconds that are left at this speed, if the other completions are as long as those that have ended. */
  secondsLeft(now = performance.now()): number | null {
    if (this.first === null || now <= this.first || this.tokens === 0) return null;
    const mean = this.ended === 0 ? this.limit : this.endedTokens / this.ended;
    const speed = this.tokens / ((now - this.first) / 1000);
    return ((this.wanted - this.ended) * mean) / speed;
  }

  private show(): void {
    const now = performance.now();
    if (now - this.shown < (this.terminal ? REPAINT_MS : LINE_EVERY_MS)) return;
    this.shown = now;
    const left = this.secondsLeft(now);
    const speed = this.first === null ? 0 : this.tokens / ((now - this.first) / 1000);
    const text = `${whole(this.ended)} of ${whole(this.wanted)} completions, ${whole(speed)} tokens/s${left === null ? "" : `, about ${duration(left)} left`}`;
    this.write(this.terminal ? `\r${text}\x1b[K` : `${text}\n`);
  }
}
