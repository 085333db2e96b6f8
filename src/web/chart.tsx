/** One live chart: title, legend with the latest (or the pointed-at) values, and the lines. */
import { signal, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type uPlot from "uplot";
import type { Curves } from "../server/run-state.ts";
import type { ChartSpec } from "./chart-list.ts";
import { COLOURS, createPlot, formatter, plotData } from "./plot.ts";

const dark = matchMedia("(prefers-color-scheme: dark)");
const scheme = signal(dark.matches);
dark.addEventListener("change", () => {
  scheme.value = dark.matches;
});

export function Chart({ spec, curves, stage }: { spec: ChartSpec; curves: Curves; stage: string }) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const hovered = useSignal<number | null>(null);
  const { steps, columns } = curves;
  const isDark = scheme.value;

  // A plot's series and colours are fixed when it is made: a new metric or scheme makes a new plot.
  const shape = `${stage} ${spec.series.map(([metric]) => metric).join()} ${isDark}`;
  useLayoutEffect(() => {
    const element = host.current!;
    const made = createPlot(element, spec, stage, (index) => {
      hovered.value = index;
    });
    plot.current = made;
    const observer = new ResizeObserver(() => {
      made.setSize({ width: Math.max(element.clientWidth, 120), height: made.height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(plotData(spec, steps, columns)), [shape, steps.length, steps.at(-1)]);

  const show = formatter(spec);
  const at = hovered.value !== null && hovered.value < steps.length ? hovered.value : null;
  const values = spec.series.map(([metric, label]) => {
    const column = columns[metric] ?? [];
    const value = at === null ? column.findLast((known) => known !== null) : column[at];
    return { label, text: show(value) };
  });
  const blank = spec.series.every(([metric]) => (columns[metric] ?? []).every((value) => value === null));
  return (
    <figure class="chart">
      <figcaption>
        <strong>{spec.title}</strong>
        <span class="detail">{spec.note}</span>
        <span class="legend">
          {values.map(({ label, text }, index) => (
            <span key={label} class={`series-${(index % COLOURS) + 1}`}>
              {label} <b>{text}</b>
            </span>
          ))}
          {at !== null && <span class="detail">step {steps[at]}</span>}
        </span>
      </figcaption>
      <div
        class="plot"
        ref={host}
        role="img"
        aria-label={`${spec.title} of ${stage} over ${steps.length} steps: ${values.map((value) => `${value.label} ${value.text}`).join(", ")}`}
      >
        {blank && <span class="no-value">{(steps.length > 0 && spec.blank) || "no value yet"}</span>}
      </div>
    </figure>
  );
}
