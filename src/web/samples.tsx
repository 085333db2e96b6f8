/** A group: one problem's completions side by side, with rewards and advantages, from any step of the run. */
import { useSignal } from "@preact/signals";
import type { GroupRecord, SampleRecord } from "../events.ts";
import { targetOf } from "../tasks/thought-marks.ts";
import { split } from "./completion.ts";
import { run } from "./feed.ts";
import { decimal, signed } from "./format.ts";
import { Thought } from "./thought.tsx";

export function Samples() {
  // `null` shows the latest step; a chosen step stays.
  const chosenStep = useSignal<number | null>(null);
  const chosenGroup = useSignal(0);
  const stages = new Set(run.value.samples.map((kept) => kept.stage));
  const stage = [...stages].at(-1);
  const steps = run.value.samples.filter((kept) => kept.stage === stage);
  const latest = steps.at(-1);
  if (latest === undefined) return null;
  const wanted = chosenStep.value;
  const at =
    wanted === null
      ? steps.length - 1
      : nearest(
          steps.map((kept) => kept.step),
          wanted,
        );
  const kept = steps[at]!;
  const groupIndex = Math.min(chosenGroup.value, kept.groups.length - 1);
  const group = kept.groups[groupIndex];
  const choose = (index: number): void => {
    chosenStep.value = index === steps.length - 1 ? null : steps[index]!.step;
  };
  return (
    <section aria-labelledby="samples-title">
      <h2 id="samples-title">
        One group of samples <span class="detail">{stage}</span>
      </h2>
      <p class="lead">
        Several completions of one problem. Training makes those with more reward than the group's mean more
        likely and the others less likely; the model gets no other signal.
      </p>
      <div class="picker">
        <label>
          <span>
            Step <output>{kept.step}</output>
            {wanted === null && " (latest)"}
          </span>
          <input
            type="range"
            min={0}
            max={steps.length - 1}
            value={at}
            aria-valuetext={`step ${kept.step}`}
            onInput={(event) => choose(event.currentTarget.valueAsNumber)}
          />
        </label>
        <button type="button" onClick={() => choose(0)} disabled={at === 0}>
          First
        </button>
        <button type="button" onClick={() => choose(steps.length - 1)} disabled={wanted === null}>
          Latest
        </button>
        {kept.groups.length > 1 && (
          <label>
            <span>Problem</span>
            <select
              value={groupIndex}
              onChange={(event) => {
                chosenGroup.value = Number(event.currentTarget.value);
              }}
            >
              {kept.groups.map((choice, index) => (
                <option key={index} value={index}>
                  {title(choice)}
                </option>
              ))}
            </select>
          </label>
        )}
      </div>
      {group !== undefined && <Group group={group} />}
    </section>
  );
}

function nearest(steps: number[], wanted: number): number {
  return steps.reduce((best, step, index) => {
    return Math.abs(step - wanted) < Math.abs(steps[best]! - wanted) ? index : best;
  }, 0);
}

/** The prompt without the tag that opens the thought. */
function title(group: GroupRecord): string {
  return group.prompt.replace(/\s*<think>\s*$/, "").trim() || group.problem;
}

function Group({ group }: { group: GroupRecord }) {
  const right = group.samples.filter((sample) => sample.verdict.value === 1).length;
  return (
    <>
      <h3 class="problem">
        {title(group)}{" "}
        <span class="detail">
          {right} of {group.samples.length} right
        </span>
      </h3>
      <div class="samples">
        {group.samples.map((sample, index) => (
          <Sample key={index} sample={sample} number={index + 1} target={targetOf(title(group))} />
        ))}
      </div>
    </>
  );
}

const OUTCOMES = { right: "Right", wrong: "Wrong", unscored: "Not scored" };

export function outcomeOf(value: number | null): keyof typeof OUTCOMES {
  if (value === null) return "unscored";
  return value === 1 ? "right" : "wrong";
}

function Sample({ sample, number, target }: { sample: SampleRecord; number: number; target: string | null }) {
  const { thought, answer } = split(sample.completion);
  const outcome = outcomeOf(sample.verdict.value);
  const sign = sample.advantage > 0 ? "up" : sample.advantage < 0 ? "down" : "level";
  return (
    <article class={`card ${outcome}`} aria-label={`Sample ${number}: ${OUTCOMES[outcome]}`}>
      <header>
        <strong>{OUTCOMES[outcome]}</strong>
        <span class={`advantage ${sign}`}>
          {sign === "level" ? "no advantage" : `advantage ${signed(sample.advantage)}`}
        </span>
      </header>
      <Thought text={thought} claims={{ target, refuted: outcome !== "right" }} />
      <p class="answer">{answer === null ? <em>no answer</em> : answer}</p>
      <footer class="detail">
        {outcome !== "right" && `${sample.verdict.reason} · `}
        {sample.reward === null ? "unscored" : `reward ${decimal(sample.reward)}`} · {sample.tokens} tokens
      </footer>
    </article>
  );
}
