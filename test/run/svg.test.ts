import { expect, test } from "vitest";
import { lineChart, ticks } from "../../src/run/report/svg.ts";

test("ticks are round and few", () => {
  expect(ticks(0, 1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect(ticks(0, 140)).toEqual([0, 50, 100]);
  expect(ticks(3, 3)).toEqual([3, 4]);
  for (const high of [1e-6, 0.37, 7, 99, 12345, 3e9]) {
    const list = ticks(0, high);
    expect(list.length).toBeGreaterThanOrEqual(3);
    expect(list.length).toBeLessThanOrEqual(7);
    expect(list.at(-1)).toBeLessThanOrEqual(high * 1.000001);
  }
});

const chart = { title: "A <b> & c", xLabel: "step", yLabel: "y" };

test("a value that is null is a gap, not a zero", () => {
  const points: [number, number | null][] = [
    [0, 1],
    [1, null],
    [2, 3],
    [3, 4],
  ];
  const svg = lineChart({ ...chart, series: [{ name: "s", points }] })!;
  const path = /<path class="line c0" d="([^"]*)"/.exec(svg)![1]!;
  expect(path.match(/M/g)).toHaveLength(2);
  expect(path.match(/L/g)).toHaveLength(1);
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  expect(svg).toContain("<title>A &lt;b&gt; &amp; c</title>");
});

test("without any value there is no chart", () => {
  expect(lineChart({ ...chart, series: [{ name: "s", points: [[0, null]] }] })).toBeNull();
  expect(lineChart({ ...chart, series: [] })).toBeNull();
});

test("one point, equal points and very many points are drawn", () => {
  for (const points of [[[5, 2]], Array.from({ length: 50_000 }, (_, x) => [x, 7])] as [number, number][][]) {
    const svg = lineChart({ ...chart, series: [{ name: "s", points }], dots: true })!;
    expect(svg).not.toMatch(/NaN|Infinity/);
    expect(svg.length).toBeLessThan(60_000);
  }
});
