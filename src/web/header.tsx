/** The name of the run, the views, the connection and the progress. */
import { currentStage } from "../server/run-state.ts";
import { connection, known, run } from "./feed.ts";
import { duration } from "./format.ts";
import { stageTitle } from "./story.tsx";
import { view } from "./view.ts";

export function Header() {
  const name = run.value.run?.name;
  return (
    <header class="top">
      <div class="bar">
        <a class="brand" href="#run">
          <Mark />
          <span>Sputnik</span>
        </a>
        {name !== undefined && <span class="run-name">{name}</span>}
        <nav aria-label="Views">
          <a href="#run" aria-current={view.value === "run" ? "page" : undefined}>
            Run
          </a>
          <a href="#chat" aria-current={view.value === "chat" ? "page" : undefined}>
            Chat
          </a>
        </nav>
        <Connection />
      </div>
      {known.value && run.value.run !== null && <Now />}
    </header>
  );
}

/** The drawing of icon.svg in the text's colour. */
function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
      <path d="M15 21 3 27M15 22 6 30M22 15 28 3M23 16 30 8" stroke="currentColor" stroke-width="2" />
      <circle cx="19" cy="19" r="7" fill="currentColor" />
    </svg>
  );
}

const CONNECTION = { connecting: "connecting", live: "live", lost: "reconnecting" };

function Connection() {
  return (
    <span class={`connection ${connection.value}`} role="status">
      {CONNECTION[connection.value]}
    </span>
  );
}

function Now() {
  const { outcome, progress } = run.value;
  const stage = currentStage(run.value);
  if (outcome !== null)
    return <p class="now">{outcome.type === "done" ? "The run is complete." : "The run stopped."}</p>;
  if (stage === null || progress === null) return <p class="now">Getting ready</p>;
  const share = progress.totalSteps > 0 ? progress.step / progress.totalSteps : 0;
  return (
    <div class="now">
      <span class="stage-now">
        <strong>{stageTitle(stage)}</strong> {stage.name}
      </span>
      <span class="numbers">
        step {progress.step} of {progress.totalSteps}
      </span>
      <progress
        value={share}
        max={1}
        aria-label={`${stage.name}: step ${progress.step} of ${progress.totalSteps}`}
      />
      {progress.secondsLeft !== null && (
        <span class="numbers left">{duration(progress.secondsLeft)} left</span>
      )}
    </div>
  );
}
