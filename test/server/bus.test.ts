import { expect, test, vi } from "vitest";
import type { RunEvent } from "../../src/events.ts";
import { type Frame, RunBus } from "../../src/server/bus.ts";
import { apply, type RunState } from "../../src/server/run-state.ts";
import { replay } from "./replay.ts";

const notice = (message: string): RunEvent => ({ type: "notice", level: "info", message });

/** The frames that are there at once, without waiting for later events. */
async function pending(bus: RunBus, fromId: string | null): Promise<Exclude<Frame, { kind: "heartbeat" }>[]> {
  const stop = new AbortController();
  const frames: Exclude<Frame, { kind: "heartbeat" }>[] = [];
  setTimeout(() => stop.abort(), 30);
  for await (const frame of bus.subscribe(fromId, stop.signal))
    if (frame.kind !== "heartbeat") frames.push(frame);
  return frames;
}

test("a new reader gets the state, and the events after it", async () => {
  const bus = new RunBus();
  bus.publish(notice("one"));
  const reader = bus.subscribe(null, new AbortController().signal);
  const first = (await reader.next()).value as Exclude<Frame, { kind: "heartbeat" }>;
  expect(first).toMatchObject({ kind: "state", id: bus.lastId });
  const next = reader.next();
  bus.publish(notice("two"));
  expect((await next).value).toMatchObject({
    kind: "run",
    id: bus.lastId,
    data: JSON.stringify(notice("two")),
  });
});

test("a reader that was cut off gets what it missed, once, and nothing else", async () => {
  const bus = new RunBus();
  bus.publish(notice("one"));
  const seen = bus.lastId;
  bus.publish(notice("two"));
  bus.publish(notice("three"));
  const frames = await pending(bus, seen);
  expect(frames.map((frame) => frame.kind)).toEqual(["run", "run"]);
  expect(frames.map((frame) => JSON.parse(frame.data).message)).toEqual(["two", "three"]);
  expect(await pending(bus, bus.lastId)).toEqual([]);
});

test.each(["", "nonsense", "-", "0-1", "00000000-99", null])(
  "an id not of this process (%s) gets the state",
  async (id) => {
    const bus = new RunBus();
    bus.publish(notice("one"));
    expect((await pending(bus, id)).map((frame) => frame.kind)).toEqual(["state"]);
  },
);

test("an id from the future of this process gets the state", async () => {
  const bus = new RunBus();
  expect((await pending(bus, `${bus.lastId.split("-")[0]}-7`)).map((frame) => frame.kind)).toEqual(["state"]);
});

test("a reader too slow for the log gets the state instead, and memory stays bounded", async () => {
  const bus = new RunBus();
  const seen = bus.lastId;
  for (let index = 0; index < 60; index++) bus.publish(notice("x".repeat(100_000)));
  expect((await pending(bus, seen)).map((frame) => frame.kind)).toEqual(["state"]);
});

test("state and events fold to the same run", async () => {
  const events = replay(30);
  const whole = new RunBus();
  for (const event of events) whole.publish(event);
  const bus = new RunBus();
  for (const event of events.slice(0, 200)) bus.publish(event);
  const [snapshot] = await pending(bus, null);
  const state = JSON.parse(snapshot!.data) as RunState;
  for (const event of events.slice(200)) bus.publish(event);
  for (const frame of await pending(bus, snapshot!.id)) apply(state, JSON.parse(frame.data) as RunEvent);
  expect(state).toEqual(whole.state);
});

test("NaN and Infinity become gaps, and a warning names metric and step", () => {
  const bus = new RunBus();
  const values = { loss: Number.NaN, kl: Number.POSITIVE_INFINITY, mfu: 0.5, entropy: null };
  bus.publish({
    type: "metrics",
    stage: "base",
    step: 7,
    totalSteps: 9,
    secondsLeft: Number.NaN,
    metrics: values,
  });
  expect(bus.state.curves.base!.columns).toEqual({ loss: [null], kl: [null], mfu: [0.5], entropy: [null] });
  expect(bus.state.notices.map(({ message }) => message)).toEqual([
    "loss was NaN at step 7 of base: shown as a gap",
    "kl was Infinity at step 7 of base: shown as a gap",
  ]);
  expect(JSON.parse(JSON.stringify(bus.state))).toEqual(bus.state);
});

test("a quiet run's readers get heartbeats, and a reader that left is forgotten", async () => {
  vi.useFakeTimers();
  const bus = new RunBus();
  const gone = new AbortController();
  const reader = bus.subscribe(bus.lastId, gone.signal);
  const first = reader.next();
  await vi.advanceTimersByTimeAsync(15_000);
  expect((await first).value).toEqual({ kind: "heartbeat" });
  const second = reader.next();
  await vi.advanceTimersByTimeAsync(1);
  gone.abort();
  expect((await second).done).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});
