/** What of a talk a request has room for. */
import { expect, it } from "vitest";
import type { Message } from "../../src/server/chat.ts";
import { newestMessages } from "../../src/web/newest.ts";

const said = (content: string): Message => ({ role: "user", content });
const turns = [1, 2, 3].map((i): Message[] => [said(`q${i}`), { role: "assistant", content: `ä${i}` }]);
const bytes = (messages: Message[]): number => Buffer.byteLength(JSON.stringify(messages));
const system: Message[] = [{ role: "system", content: "S" }];

it("all of it where it fits, then without the oldest turns, each whole", () => {
  const of = (room: number): string[] =>
    newestMessages(system, turns, said("last"), room).map(({ content }) => content);
  const all = [...system, ...turns.flat(), said("last")];
  expect(of(bytes(all))).toEqual(["S", "q1", "ä1", "q2", "ä2", "q3", "ä3", "last"]);
  expect(of(bytes(all) - 2)).toEqual(["S", "q2", "ä2", "q3", "ä3", "last"]);
  expect(bytes([...system, ...turns.slice(1).flat(), said("last")])).toBeLessThan(bytes(all));
  expect(of(bytes([...system, ...turns[2], said("last")]))).toEqual(["S", "q3", "ä3", "last"]);
  expect(of(0)).toEqual(["S", "last"]);
});

it("a hole in the talk is never sent: what comes after a turn without room is all", () => {
  const long = [turns[0], [said("x".repeat(500)), said("y")], turns[2]];
  expect(newestMessages([], long, said("last"), 300).map(({ content }) => content)).toEqual([
    "q3",
    "ä3",
    "last",
  ]);
});
