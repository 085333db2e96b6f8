/** Line charts as SVG files that read well on light and on dark pages, without a script. */

export interface Series {
  name: string;
  /** `null` is a gap: the value could not be computed. */
  points: readonly (readonly [x: number, y: number | null])[];
}

export interface Chart {
  title: string;
  xLabel: string;
  /** With its unit. */
  yLabel: string;
  series: readonly Series[];
  /** Shares are shown in percent, on an axis from 0 to 100 %. */
  percent?: boolean;
  /** Dots at the points, for few of them. */
  dots?: boolean;
}

const WIDTH = 720;
const HEIGHT = 340;
const LEFT = 70;
const RIGHT = 24;
const TOP = 64;
const BOTTOM = 52;
/** More points than this are averaged: the eye cannot tell, and the file stays small. */
const MOST_POINTS = 360;
/** From here on a moving average is drawn over the pale raw curve. */
const SMOOTH_FROM = 40;

const STYLE = `
  .page { fill: #ffffff } .text { fill: #1f2328 } .soft { fill: #59636e } .grid { stroke: #d1d9e0 }
  .c0 { --c: #0b62c4 } .c1 { --c: #bc4c00 } .c2 { --c: #1a7f37 } .c3 { --c: #8250df } .c4 { --c: #6e7781 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } .text { fill: #f0f6fc } .soft { fill: #9198a1 } .grid { stroke: #3d444d }
    .c0 { --c: #58a6ff } .c1 { --c: #f0883e } .c2 { --c: #3fb950 } .c3 { --c: #bc8cff } .c4 { --c: #8b949e }
  }
  .line { fill: none; stroke: var(--c); stroke-width: 2.2; stroke-linejoin: round }
  .raw { stroke-width: 1; opacity: 0.35 } .dot { fill: var(--c) }
  text { font: 12px system-ui, sans-serif } .title { font-size: 15px; font-weight: 600 }`;

type Point = readonly [number, number | null];

/** The SVG document, or `null` if no series has a value. */
export function lineChart(chart: Chart): string | null {
  const series = chart.series
    .map(({ name, points }) => ({ name, points: thin(points) }))
    .filter(({ points }) => points.some(([, y]) => y !== null));
  if (series.length === 0) return null;
  const all = series.flatMap(({ points }) => points);
  const xs = all.flatMap(([x, y]) => (y === null ? [] : [x]));
  const ys = all.flatMap(([, y]) => (y === null ? [] : [y]));
  const xTicks = ticks(Math.min(0, ...xs), Math.max(...xs));
  const yTicks = chart.percent ? [0, 0.2, 0.4, 0.6, 0.8, 1] : ticks(Math.min(0, ...ys), Math.max(...ys));
  const toX = scale(Math.min(0, ...xs), Math.max(...xs), LEFT, WIDTH - RIGHT);
  const toY = scale(Math.min(yTicks[0]!, ...ys), Math.max(yTicks.at(-1)!, ...ys), HEIGHT - BOTTOM, TOP);
  const label = (y: number): string => (chart.percent ? `${Math.round(100 * y)} %` : plain(y));
  const middleX = (LEFT + WIDTH - RIGHT) / 2;
  const middleY = (TOP + HEIGHT - BOTTOM) / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">`,
    `<title>${escapeXml(chart.title)}</title><style>${STYLE}</style>`,
    `<rect class="page" width="${WIDTH}" height="${HEIGHT}"/>`,
    `<text class="text title" x="${LEFT}" y="24">${escapeXml(chart.title)}</text>`,
    ...legend(series.map(({ name }) => name)),
    ...yTicks.map(
      (y) =>
        `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${toY(y)}" y2="${toY(y)}"/>` +
        `<text class="soft" x="${LEFT - 8}" y="${toY(y) + 4}" text-anchor="end">${label(y)}</text>`,
    ),
    ...xTicks.map(
      (x) =>
        `<line class="grid" x1="${toX(x)}" x2="${toX(x)}" y1="${HEIGHT - BOTTOM}" y2="${HEIGHT - BOTTOM + 5}"/>` +
        `<text class="soft" x="${toX(x)}" y="${HEIGHT - BOTTOM + 19}" text-anchor="middle">${plain(x)}</text>`,
    ),
    `<text class="soft" x="${middleX}" y="${HEIGHT - 10}" text-anchor="middle">${escapeXml(chart.xLabel)}</text>`,
    `<text class="soft" transform="translate(16 ${middleY}) rotate(-90)" text-anchor="middle">${escapeXml(chart.yLabel)}</text>`,
    ...series.flatMap(({ points }, index) => curves(points, index % 5, toX, toY, chart.dots === true)),
    "</svg>\n",
  ].join("\n");
}

function legend(names: string[]): string[] {
  let x = LEFT;
  return names.map((name, index) => {
    const item =
      `<line class="line c${index % 5}" x1="${x}" x2="${x + 18}" y1="42" y2="42"/>` +
      `<text class="text" x="${x + 24}" y="46">${escapeXml(name)}</text>`;
    // Letters are 7 pixels wide on average in the fonts that browsers take for system-ui.
    x += 24 + 7 * name.length + 24;
    return item;
  });
}

type Scale = (value: number) => number;

function curves(points: Point[], color: number, toX: Scale, toY: Scale, dots: boolean): string[] {
  const path = (line: Point[]): string => {
    let pen = "M";
    const commands: string[] = [];
    for (const [x, y] of line) {
      if (y !== null) commands.push(`${pen}${toX(x)} ${toY(y)}`);
      pen = y === null ? "M" : "L";
    }
    return commands.join("");
  };
  const marks = points.flatMap(([x, y]) =>
    dots && y !== null ? [`<circle class="dot c${color}" cx="${toX(x)}" cy="${toY(y)}" r="3.5"/>`] : [],
  );
  if (points.length < SMOOTH_FROM) return [`<path class="line c${color}" d="${path(points)}"/>`, ...marks];
  return [
    `<path class="line raw c${color}" d="${path(points)}"/>`,
    `<path class="line c${color}" d="${path(smooth(points))}"/>`,
    ...marks,
  ];
}

/** Centered moving average over a twentieth of the points; it narrows at the ends and keeps gaps. */
function smooth(points: Point[]): Point[] {
  const reach = Math.ceil(points.length / 40);
  return points.map(([x, y], index) => {
    const side = Math.min(reach, index, points.length - 1 - index);
    const values = points.slice(index - side, index + side + 1).flatMap(([, value]) => value ?? []);
    return [x, y === null ? null : mean(values)];
  });
}

function thin(points: readonly Point[]): Point[] {
  const size = Math.ceil(points.length / MOST_POINTS);
  if (size <= 1) return [...points];
  const buckets: Point[] = [];
  for (let i = 0; i < points.length; i += size) {
    const bucket = points.slice(i, i + size);
    const values = bucket.flatMap(([, y]) => y ?? []);
    buckets.push([mean(bucket.map(([x]) => x)), values.length === 0 ? null : mean(values)]);
  }
  return buckets;
}

const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

function scale(low: number, high: number, from: number, to: number): Scale {
  const span = high - low || 1;
  return (value) => Math.round((from + ((value - low) / span) * (to - from)) * 10) / 10;
}

/** About five round numbers that cover [low, high] on the low side and reach or pass it on the high side. */
export function ticks(low: number, high: number): number[] {
  if (!(high > low)) return [low, low + 1];
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  // A product of the step, not a sum of steps: 0.3 must not read 0.30000000000000004.
  const values: number[] = [];
  for (let i = first; i <= last; i++) values.push(Number((i * step).toPrecision(12)));
  return values;
}

function plain(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))} M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))} k`;
  if (size > 0 && size < 1e-3) return value.toExponential(0);
  return String(Number(value.toPrecision(3)));
}

const escapeXml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
