import { expect, test } from "vitest";
import { BillBook, type BillFile } from "../../src/ledger/bill.ts";
import { findPrice, type Rates, ratesFor } from "../../src/ledger/prices.ts";

const known: Rates = { watts: 36, dollarsPerHour: 3.6, method: "stated." };
const unknown: Rates = { watts: null, dollarsPerHour: null, method: "unknown." };

test("a charge is priced by time, and stages add up", () => {
  const book = new BillBook(known, "t1");
  book.charge("base", { flops: 1e12, seconds: 100, tokens: 10 });
  book.charge("base", { flops: 1e12, seconds: 100, tokens: 10 });
  book.charge("rl", { flops: 2e12, seconds: 200, tokens: 5 });
  const bill = book.bill();
  // 36 W over 200 s are 2 Wh; $3.60 an hour over 200 s are $0.20.
  expect(bill.lines).toEqual([
    { stage: "base", flops: 2e12, seconds: 200, tokens: 20, wattHours: 2, dollars: expect.closeTo(0.2, 12) },
    { stage: "rl", flops: 2e12, seconds: 200, tokens: 5, wattHours: 2, dollars: expect.closeTo(0.2, 12) },
  ]);
  expect(bill).toMatchObject({ flops: 4e12, seconds: 400, wattHours: 4, dollars: expect.closeTo(0.4, 12) });
});

test("unknown is null and spreads to sums: it is never 0", () => {
  const book = new BillBook(unknown, "t1");
  book.charge("base", { flops: 1, seconds: 1, tokens: 1, wattHours: 0.5 });
  expect(book.bill()).toMatchObject({ wattHours: 0.5, dollars: null });
  book.charge("rl", { flops: 1, seconds: 1, tokens: 1 });
  expect(book.bill()).toMatchObject({ wattHours: null, dollars: null });
});

test("sessions add up, however often the bill is written (pitfall H4)", () => {
  const charge = (book: BillBook): void => book.charge("base", { flops: 10, seconds: 36, tokens: 1 });
  const first = new BillBook(known, "t1");
  charge(first);
  first.bill();
  charge(first);
  const written = JSON.parse(JSON.stringify(first.bill())) as BillFile;
  const second = new BillBook(known, "t2", written);
  expect(second.bill().flops).toBe(20);
  charge(second);
  second.bill();
  const bill = second.bill();
  expect(bill).toMatchObject({ flops: 30, seconds: 108 });
  expect(bill.lines).toHaveLength(1);
  expect(bill.method).toContain("Sum of 2 sessions");
  // A third session that does nothing pays nothing.
  expect(new BillBook(known, "t3", bill).bill().flops).toBe(30);
  // The same session, opened again, replaces itself.
  expect(new BillBook(known, "t2", bill).bill().flops).toBe(20);
});

test("prices match whole names only (pitfall G4)", () => {
  expect(findPrice("NVIDIA H100 80GB HBM3")?.device).toBe("H100 SXM");
  expect(findPrice(" nvidia h100 80gb hbm3 ")?.device).toBe("H100 SXM");
  for (const name of ["NVIDIA H100 NVL", "H100", "NVIDIA H1000", ""]) expect(findPrice(name)).toBeNull();
});

test("rates say where they come from, and the recipe wins", () => {
  const cpu = ratesFor({ device: null, measuresEnergy: false });
  expect(cpu).toMatchObject({ watts: null, dollarsPerHour: null });
  expect(cpu.method).toMatch(/Energy is unknown.*Cost is unknown/);
  const h800 = ratesFor({ device: "NVIDIA H800", measuresEnergy: false });
  expect(h800.dollarsPerHour).toBe(2);
  expect(h800.method).toContain("2024-12");
  const stated = ratesFor({
    device: "NVIDIA H800",
    hardware: { watts: 15, dollarsPerHour: 0 },
    measuresEnergy: true,
  });
  expect(stated).toMatchObject({ watts: 15, dollarsPerHour: 0 });
  expect(stated.method).toContain("$0 per hour, as the recipe states");
});
