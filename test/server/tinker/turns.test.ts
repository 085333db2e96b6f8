/** A model's requests in the order of their numbers, each begun once. */
import { expect, test } from "vitest";
import { refused } from "../../../src/server/tinker/refusal.ts";
import { Turns } from "../../../src/server/tinker/turns.ts";

test("requests begin in the order of their numbers, however they come", async () => {
  const turns = new Turns();
  const begun: number[] = [];
  const take = (number: number) =>
    turns.take(number, "forward_backward", () => {
      begun.push(number);
      return `future-${number}`;
    });
  // As the client sends chunks: the first one last.
  const late = [take(3), take(2)];
  await Promise.resolve();
  expect(begun).toEqual([]);
  const first = take(1);
  expect(await Promise.all([first, ...late])).toEqual(["future-1", "future-3", "future-2"]);
  expect(begun).toEqual([1, 2, 3]);
});

test("a number that comes twice is answered twice and begun once", async () => {
  const turns = new Turns();
  let begun = 0;
  const take = () => turns.take(1, "optim_step", () => `future-${++begun}`);
  expect(await Promise.all([take(), take()])).toEqual(["future-1", "future-1"]);
  expect(begun).toBe(1);
  const other = turns.take(1, "save_weights", () => "never");
  await expect(other).rejects.toThrow(/seq_id 1: it is the number of another request .* optim_step/);
});

test("a refused request has used its number: the next one begins, and it is refused again", async () => {
  const turns = new Turns();
  const refuse = () =>
    turns.take(1, "forward_backward", () => {
      throw refused("loss_fn", "there is no such loss", "Use another.");
    });
  await expect(refuse()).rejects.toThrow(/no such loss/);
  expect(await turns.take(2, "optim_step", () => "next")).toBe("next");
  await expect(refuse()).rejects.toThrow(/no such loss/);
});

test("a request whose predecessor never comes is refused in the end", async () => {
  const turns = new Turns({ patience: 20 });
  const lost = turns.take(5, "optim_step", () => "never");
  await expect(lost).rejects.toThrow(/seq_id 5: request 1 .* has not arrived/);
});

test("numbers begin with 1", async () => {
  await expect(new Turns().take(0, "optim_step", () => "never")).rejects.toThrow(/seq_id 0/);
});
