/**
 * The order of a model's requests. The client numbers them from 1, and sends the chunks of one forward pass side by side
 * with the first one last: a request waits until all before it have come. One that is sent again, because its answer was
 * lost, gets the answer of the first time and computes nothing.
 */
import { type Refusal, refused } from "./refusal.ts";

interface Turn {
  /** What kind of request had the number. */
  what: string;
  answer: Promise<string>;
}

/** Milliseconds that a request waits for one before it. */
const PATIENCE_MS = 10 * 60_000;

export class Turns {
  private readonly turns = new Map<number, Turn>();
  private readonly waiting = new Map<number, () => void>();
  /** The number whose request begins next. */
  private next = 1;
  private readonly patience: number;

  constructor({ patience = PATIENCE_MS }: { patience?: number } = {}) {
    this.patience = patience;
  }

  /**
   * Answers the request of a number, once: `begin` is called in the order of the numbers, and returns a future's id.
   * A request that is refused has used its number, since the client's next one has the next number.
   * @param begin queues the work; what it throws is the answer
   */
  take(number: number, what: string, begin: () => string): Promise<string> {
    const known = this.turns.get(number);
    if (known === undefined) {
      const answer = this.inTurn(number, begin);
      this.turns.set(number, { what, answer });
      return answer;
    }
    return known.what === what ? known.answer : Promise.reject(taken(number, known.what, what));
  }

  private inTurn(number: number, begin: () => string): Promise<string> {
    if (number < 1)
      return Promise.reject(refused(`seq_id ${number}`, "numbers begin with 1", "Count from 1."));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(number);
        reject(missing(number, this.next));
      }, this.patience);
      timer.unref();
      this.waiting.set(number, () => {
        clearTimeout(timer);
        try {
          resolve(begin());
        } catch (error) {
          reject(error);
        }
      });
      for (let run = this.waiting.get(this.next); run !== undefined; run = this.waiting.get(this.next)) {
        this.waiting.delete(this.next++);
        run();
      }
    });
  }
}

const taken = (number: number, before: string, now: string): Refusal =>
  refused(
    `seq_id ${number}`,
    `it is the number of another request of this model, ${before}, and now of ${now}`,
    "Let one client send a model's requests, each with the next number.",
  );

const missing = (number: number, next: number): Refusal =>
  refused(
    `seq_id ${number}`,
    `request ${next} of this model, which comes before it, has not arrived`,
    "An earlier request was lost: begin again from the last saved state.",
  );
