import { describe, expect, test } from "vitest";
import { BillBook, type BillEntry, type BillFile, entriesOf } from "../../src/ledger/bill.ts";
import { type Rates, ratesFor } from "../../src/ledger/prices.ts";
import { sumWork, tokensOf, workSince } from "../../src/ledger/work.ts";

const known: Rates = { watts: 36, dollarsPerHour: 3.6, method: "stated." };
const unknown: Rates = { watts: null, dollarsPerHour: null, method: "unknown." };

/** As it comes back from the disk. */
const stored = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

test("a charge is priced by time, stages and kinds of tokens add up", () => {
  const book = new BillBook(known, ["t1"]);
  book.charge({ stage: "base", step: 1, ends: true, flops: 1e12, seconds: 100, trained: 10 });
  book.charge({ stage: "base", step: 2, ends: true, flops: 1e12, seconds: 100, trained: 10 });
  book.charge({ stage: "rl", step: 1, flops: 2e12, seconds: 150, generated: 5, prefilled: 3, scored: 2 });
  book.charge({ stage: "rl", step: 1, ends: true, seconds: 50, trained: 8 });
  const bill = book.bill();
  // 36 W over 200 s are 2 Wh; $3.60 an hour over 200 s are $0.20.
  const paid = { seconds: 200, flops: 2e12, wattHours: 2, dollars: expect.closeTo(0.2, 12) };
  const none = { generated: 0, prefilled: 0, scored: 0 };
  expect(bill.lines).toEqual([
    { stage: "base", steps: 2, ...none, trained: 20, tokens: 20, ...paid },
    { stage: "rl", steps: 1, generated: 5, prefilled: 3, scored: 2, trained: 8, tokens: 18, ...paid },
  ]);
  expect(bill).toMatchObject({ flops: 4e12, seconds: 400, wattHours: 4, dollars: expect.closeTo(0.4, 12) });
});

test("unknown is null and spreads to sums: it is never 0", () => {
  const book = new BillBook(unknown, ["t1"]);
  book.charge({ stage: "base", seconds: 1, wattHours: 0.5 });
  expect(book.bill()).toMatchObject({ wattHours: 0.5, dollars: null });
  book.charge({ stage: "rl", seconds: 1 });
  expect(book.bill()).toMatchObject({ wattHours: null, dollars: null });
  // What is known afterwards does not make the sum known again.
  book.charge({ stage: "rl", seconds: 1, wattHours: 0.25 });
  expect(book.bill().lines.map(({ wattHours }) => wattHours)).toEqual([0.5, null]);
});

test("one session's method has no sum of sessions", () => {
  const { method } = new BillBook(known, ["t1"]).bill();
  expect(method).toMatch(/^FLOPs are counted from the graphs that ran; .* wall-clock time\. stated\.$/);
});

test("work is summed and taken apart by kind", () => {
  const sum = sumWork({ flops: 5, trained: 1 }, { trained: 2, prefilled: 4, generated: 8, scored: 16 });
  expect(sum).toEqual({ flops: 5, trained: 3, prefilled: 4, generated: 8, scored: 16 });
  expect(tokensOf(sum)).toBe(31);
  const before = { flops: 1, trained: 2, prefilled: 3, generated: 5, scored: 7 };
  expect(workSince(sum, before)).toEqual({ flops: 4, trained: 1, prefilled: 1, generated: 3, scored: 9 });
});

describe("sessions", () => {
  const step = (book: BillBook, number: number, flops = 10): BillEntry =>
    stored(book.charge({ stage: "base", step: number, ends: true, flops, seconds: 36, trained: 1 }));

  test("a charge of a session that began while the run was being read is in the sums", () => {
    const later = new BillBook(known, ["t1", "t2"]);
    const entries = [step(new BillBook(known, ["t1"]), 1), step(later, 2)];
    const bill = new BillBook(known, ["t1"], entries).bill();
    expect([bill.flops, bill.lines[0]?.steps]).toEqual([20, 2]);
    expect(bill.sessions.map(({ lines }) => lines[0]?.steps)).toEqual([2]);
  });

  test("killed after 3 steps and begun again, 6 in all: 9 steps, 2 sessions, 3 of them done again (B3)", () => {
    const first = new BillBook(known, ["t1"]);
    const entries = [1, 2, 3].map((number) => step(first, number));
    const second = new BillBook(known, ["t1", "t2"], entries);
    for (const number of [1, 2, 3, 4, 5, 6]) step(second, number);
    const bill = second.bill();
    expect(bill).toMatchObject({ flops: 90, seconds: 324, redone: { steps: 3, flops: 30, seconds: 108 } });
    expect(bill.lines).toMatchObject([{ stage: "base", steps: 9, tokens: 9 }]);
    expect(bill.sessions.map(({ lines }) => lines[0]?.steps)).toEqual([3, 6]);
    expect(bill.method).toContain("Sum of 2 sessions, of which 3 steps, 3.00e-11 TFLOP and 108.0 s");
  });

  test("what was charged of a step in parts is one step, and only what an older session had is done again", () => {
    const first = new BillBook(known, ["t1"]);
    const part = (book: BillBook, number: number, flops: number): BillEntry =>
      stored(book.charge({ stage: "rl", step: number, flops, seconds: 1 }));
    const entries = [step(first, 1), part(first, 1, 1), part(first, 1, 2)];
    // Killed after two parts; the next process is killed in the same step, and a third one ends it.
    const second = new BillBook(known, ["t1", "t2"], entries);
    entries.push(part(second, 1, 3));
    const third = new BillBook(known, ["t1", "t2", "t3"], entries);
    part(third, 1, 4);
    part(third, 1, 5);
    expect(third.bill()).toMatchObject({ flops: 25, redone: { flops: 6 } });
    expect(third.bill().method).toContain(
      "Sum of 3 sessions, of which 6.00e-12 TFLOP and 3.0 s of unfinished steps were done again after a stop",
    );
  });

  test("one that was killed before its first charge is counted, and pays nothing", () => {
    const entries = [step(new BillBook(known, ["t1"]), 1)];
    const bill = new BillBook(known, ["t1", "t2", "t3"], entries).bill();
    expect(bill).toMatchObject({ flops: 10, redone: { flops: 0 } });
    expect(bill.sessions).toHaveLength(3);
    expect(bill.method).toContain("Sum of 3 sessions, no step had to be done again");
  });

  test("what belongs to no step is never done again", () => {
    const evaluated = (book: BillBook): BillEntry =>
      stored(book.charge({ stage: "eval", flops: 5, seconds: 1 }));
    const second = new BillBook(known, ["t1", "t2"], [evaluated(new BillBook(known, ["t1"]))]);
    evaluated(second);
    expect(second.bill()).toMatchObject({ flops: 10, redone: { flops: 0, seconds: 0 } });
  });

  test("a stage that is opened again after a stop is no step that was done again", () => {
    const open = (book: BillBook): BillEntry =>
      stored(book.charge({ stage: "rl", step: 0, flops: 0, seconds: 2 }));
    const first = new BillBook(known, ["t1"]);
    const second = new BillBook(known, ["t1", "t2"], [open(first), step(first, 1)]);
    open(second);
    expect(second.bill().method).toContain("Sum of 2 sessions, no step had to be done again.");
    step(second, 1);
    expect(second.bill().method).toContain("of which 1 step, 1.00e-11 TFLOP and 38.0 s were done again");
  });

  test("begun in the same millisecond they stay two", () => {
    const first = new BillBook(known, ["t"]);
    const entries = [step(first, 1)];
    const second = new BillBook(known, ["t", "t"], entries);
    step(second, 2);
    expect(second.bill().sessions.map(({ lines }) => lines[0]?.flops)).toEqual([10, 10]);
  });

  test("a bill of before there were entries is taken over", () => {
    const line = { stage: "base", flops: 7, seconds: 3, tokens: 4, wattHours: null, dollars: 0.5 };
    const old = { sessions: [{ startedAt: "t1", lines: [line] }] } as unknown as BillFile;
    const book = new BillBook(known, ["t1", "t2"], entriesOf(old));
    expect(book.bill()).toMatchObject({ flops: 7, seconds: 3, wattHours: null, dollars: 0.5 });
    expect(book.bill().lines[0]).toMatchObject({ tokens: 4, steps: 0 });
  });
});

test("rates say where they come from: what the recipe states, or unknown (pitfall G4)", () => {
  const silent = ratesFor({ measuresEnergy: false });
  expect(silent).toMatchObject({ watts: null, dollarsPerHour: null });
  expect(silent.method).toMatch(/Energy is unknown.*Cost is unknown/);
  const stated = ratesFor({ hardware: { watts: 15, dollarsPerHour: 0 }, measuresEnergy: true });
  expect(stated).toMatchObject({ watts: 15, dollarsPerHour: 0 });
  expect(stated.method).toContain("read from the processor's counter");
  expect(stated.method).toContain("$0 per hour, as the recipe states");
  expect(ratesFor({ hardware: { watts: 15 }, measuresEnergy: false }).method).toContain("time x 15 W");
});
