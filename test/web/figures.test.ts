import { expect, test } from "vitest";
import { chartsFor } from "../../src/web/chart-list.ts";
import { decimal, dollars, duration, large, percent, signed, wattHours } from "../../src/web/format.ts";
import { eventData } from "../../src/web/sse.ts";
import { grpoStep } from "../server/replay.ts";

test("an unknown cost is unknown, and not zero", () => {
  expect([wattHours(null), dollars(null), dollars(0), dollars(0.0042), dollars(12)]).toEqual([
    "unknown",
    "unknown",
    "$0.00",
    "$0.0042",
    "$12.00",
  ]);
  expect([percent(null), decimal(null)]).toEqual(["–", "–"]);
});

test("numbers read well", () => {
  expect([decimal(0.01042), decimal(87.94), decimal(20_457.3), decimal(0), decimal(-1.5)]).toEqual([
    "0.0104",
    "87.9",
    "20,457",
    "0",
    "−1.5",
  ]);
  expect([signed(1.3), signed(-0.4), percent(0.8611), large(3.4e13, "FLOP")]).toEqual([
    "+1.30",
    "−0.40",
    "86.1\u202f%",
    "34 TFLOP",
  ]);
  expect([duration(42), duration(290), duration(9000)]).toEqual(["42 s", "5 min", "2 h 30 min"]);
});

test("charts are drawn for the metrics that there are, positions in order", () => {
  const event = grpoStep(1);
  const names = event.type === "metrics" ? Object.keys(event.metrics) : [];
  const charts = chartsFor({ kind: "grpo" }, ["validity/192-255", ...names]);
  const drawn = charts.flatMap((spec) => spec.series.map(([metric]) => metric));
  expect(new Set(drawn)).toEqual(new Set(["validity/192-255", ...names]));
  const positions = charts.find((spec) => spec.title === "Validity by position")!;
  expect(positions.series.map(([, label]) => label)).toEqual(["0–63", "64–127", "128–191", "192–255"]);
  expect(chartsFor({ kind: "pretrain" }, ["loss"]).map((spec) => spec.title)).toEqual(["Loss"]);
});

test("the parts of the reward are all there, and a KL term that is off says so (U10)", () => {
  const parts = ["mean", "accuracy", "format", "validity", "overlong"].map((name) => `reward/${name}`);
  const charts = chartsFor({ kind: "grpo" }, [...parts, "kl"]);
  expect(charts.find(({ title }) => title === "Reward")?.series.map(([metric]) => metric)).toEqual(parts);
  expect(charts.find(({ title }) => title === "KL to the base")?.blank).toBe("off: the recipe's kl is 0");
});

test("the true steps of a thought have the name that the task gives them", () => {
  const labels = (stepName?: string) =>
    chartsFor({ kind: "grpo", stepName }, ["reward/validity", "validity"]).map(
      ({ note, series }) => `${series[0]![1]}: ${note}`,
    );
  expect(labels("moves")).toEqual([
    "true moves: Mean of a step's samples, by component.",
    expect.stringMatching(/^all moves: Fraction of moves that are true\./),
  ]);
  expect(labels()[1]).toMatch(/^all steps: Fraction of steps that are true\./);
});

test("routed layers share a chart, in their order, in every stage that trains them", () => {
  for (const kind of ["pretrain", "sft", "grpo"] as const) {
    const [chart] = chartsFor({ kind }, ["experts/10/max-load", "experts/2/max-load"]);
    expect(chart.title).toBe("Load of experts");
    expect(chart.series.map(([, label]) => label)).toEqual(["layer 2", "layer 10"]);
  }
});

test("events are put together from whatever pieces the network makes", async () => {
  const bytes = new TextEncoder().encode(
    'data: {"text":"é"}\n\n:\n\nevent: x\ndata: 1\ndata: 2\n\ndata: cut',
  );
  for (const size of [1, 2, 7, bytes.length]) {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
        controller.close();
      },
    });
    const seen: string[] = [];
    for await (const data of eventData(body)) seen.push(data);
    expect(seen).toEqual(['{"text":"é"}', "1\n2"]);
  }
});
