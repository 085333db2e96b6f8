/** Each stage's curves, the latest stage first. */
import { useSignal } from "@preact/signals";
import type { StageInfo } from "../events.ts";
import type { Curves as StageCurves } from "../server/run-state.ts";
import { Chart } from "./chart.tsx";
import { chartsFor } from "./chart-list.ts";
import { run } from "./feed.ts";
import { stageTitle } from "./story.tsx";

export function Curves() {
  const { curves, run: info } = run.value;
  const drawn = info!.stages.filter(
    (stage) => stage.kind !== "evaluate" && Object.hasOwn(curves, stage.name),
  );
  return (
    <>
      {drawn.reverse().map((stage) => (
        <StageCharts key={stage.name} stage={stage} curves={curves[stage.name]!} />
      ))}
    </>
  );
}

function StageCharts({ stage, curves }: { stage: StageInfo; curves: StageCurves }) {
  const open = useSignal(false);
  const charts = chartsFor(stage, Object.keys(curves.columns));
  const draw = (folded: boolean) => (
    <div class="charts">
      {charts
        .filter((spec) => spec.folded === folded)
        .map((spec) => (
          <Chart key={spec.title} spec={spec} curves={curves} stage={stage.name} />
        ))}
    </div>
  );
  const id = `curves-${stage.name}`;
  return (
    <section aria-labelledby={id}>
      <h2 id={id}>
        {stageTitle(stage)} <span class="detail">{stage.name}</span>
      </h2>
      {draw(false)}
      {charts.some((spec) => spec.folded) && (
        <details
          onToggle={(event) => {
            open.value = event.currentTarget.open;
          }}
        >
          <summary>Stability and speed</summary>
          {open.value && draw(true)}
        </details>
      )}
    </section>
  );
}
