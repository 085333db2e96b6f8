/** uPlot in the page's colours; a missing value is a gap. */
import uPlot from "uplot";
import type { ChartSpec } from "./chart-list.ts";
import { decimal, percent } from "./format.ts";

export const COLOURS = 6;
const HEIGHT = 190;
/** Weight of a new value in the moving average. */
const SMOOTHING = 0.15;

export function formatter(spec: ChartSpec): (value: number | null | undefined) => string {
  return spec.unit === "share" ? (value) => percent(value) : (value) => decimal(value);
}

/** Columns for uPlot: steps, each metric, then each moving average. */
export function plotData(
  spec: ChartSpec,
  steps: number[],
  columns: Record<string, (number | null)[]>,
): uPlot.AlignedData {
  const raw = spec.series.map(([metric]) => columns[metric] ?? []);
  return [steps, ...raw, ...(spec.smooth ? raw.map(movingAverage) : [])];
}

/** Over the values that are not missing. */
function movingAverage(values: (number | null)[]): (number | null)[] {
  let mean: number | null = null;
  return values.map((value) => {
    if (value === null) return null;
    mean = mean === null ? value : mean + SMOOTHING * (value - mean);
    return mean;
  });
}

export function createPlot(
  host: HTMLElement,
  spec: ChartSpec,
  syncKey: string,
  onHover: (index: number | null) => void,
): uPlot {
  const style = getComputedStyle(host);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour("--muted"),
    grid: { stroke: colour("--grid"), width: 1 },
    ticks: { show: false },
  };
  const font = `11px ${style.fontFamily}`;
  const line = (index: number, strong: boolean): uPlot.Series => ({
    stroke: colour(`--series-${(index % COLOURS) + 1}`),
    width: strong ? 2 : 1,
    alpha: strong ? 1 : 0.35,
    points: { show: false, size: 5, filter: strong ? isolated : () => null },
  });
  const tick = (value: number): string => (spec.unit === "share" ? percent(value, 0) : decimal(value));
  return new uPlot(
    {
      width: Math.max(host.clientWidth, 120),
      height: HEIGHT,
      padding: [10, 16, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: syncKey }, y: false, drag: { x: false, y: false } },
      scales: { x: { time: false }, y: { range: (_, low, high) => yRange(spec, low, high) } },
      axes: [
        { ...axis, font, size: 28, grid: { show: false } },
        { ...axis, font, size: 52, values: (_, ticks) => ticks.map(tick) },
      ],
      series: [
        {},
        ...spec.series.map((_, index) => line(index, !spec.smooth)),
        ...(spec.smooth ? spec.series.map((_, index) => line(index, true)) : []),
      ],
      hooks: { setCursor: [(plot) => onHover(plot.cursor.idx ?? null)] },
    },
    [
      [],
      ...spec.series.map(() => []),
      ...(spec.smooth ? spec.series.map(() => []) : []),
    ] as uPlot.AlignedData,
    host,
  );
}

/** Points without a neighbour: between two gaps, and the first of all. */
function isolated(plot: uPlot, series: number): number[] {
  const values = plot.data[series] ?? [];
  const known = (index: number): boolean => typeof values[index] === "number";
  return Array.from(values.keys()).filter((at) => known(at) && !known(at - 1) && !known(at + 1));
}

/** Fractions have the scale 0 to 1 (or 0.5 to 1), other values one from zero, so that no axis exaggerates a slope. */
function yRange(spec: ChartSpec, low: number | null, high: number | null): uPlot.Range.MinMax {
  if (spec.unit === "share") return [low !== null && low > 0.6 ? 0.5 : 0, 1];
  if (low === null || high === null) return [0, 1];
  const top = high > 0 ? high * 1.06 : 0;
  const bottom = low < 0 ? low * 1.06 : 0;
  return top > bottom ? [bottom, top] : [0, 1];
}
