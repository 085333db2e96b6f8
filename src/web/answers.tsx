/** The completions of one problem: thoughts as they stream, answers, verdicts, and how many were right. */
import { targetOf } from "../tasks/thought-marks.ts";
import { split } from "./completion.ts";
import { decimal } from "./format.ts";
import { ask, isBusy, type Question, stop, type Try } from "./questions.ts";
import { outcomeOf } from "./samples.tsx";
import { PATIENCE } from "./settings.tsx";
import { Thought } from "./thought.tsx";

export function Answers({ question }: { question: Question }) {
  const { tries } = question;
  const scored = tries.filter((attempt) => attempt.verdict !== null);
  const right = scored.filter((attempt) => attempt.verdict?.value === 1).length;
  return (
    <article class="question">
      <header>
        <h3>{question.problem.replace("=", "→")}</h3>
        <span class="detail">
          {question.modelLabel}, temperature {decimal(question.temperature)}
          {question.seed !== null && `, seed ${question.seed}`}
        </span>
        {tries.length > 1 && (
          <strong role="status">
            {right} of {scored.length} right
          </strong>
        )}
        {isBusy(question) ? (
          <button key="stop" type="button" onClick={() => stop(question)}>
            Stop
          </button>
        ) : (
          <button
            key="again"
            type="button"
            // Ignores the second click of a double click on Stop, which was here.
            onClick={({ detail }) => detail < 2 && ask(question, tries.length)}
          >
            Ask again
          </button>
        )}
      </header>
      <div class={tries.length > 1 ? "samples" : "single"}>
        {tries.map((attempt, index) => (
          <Attempt key={index} attempt={attempt} problem={question.problem} />
        ))}
      </div>
    </article>
  );
}

const STATES: Record<Try["state"], string> = {
  waiting: "Waiting",
  thinking: "Thinking",
  done: "Done",
  stopped: "Stopped by you",
  interrupted: "Interrupted",
  failed: "Not answered",
};

function Attempt({ attempt, problem }: { attempt: Try; problem: string }) {
  const thinking = attempt.state === "thinking";
  const { thought, answer } = split(attempt.text, thinking);
  const outcome = attempt.verdict ? outcomeOf(attempt.verdict.value) : attempt.state;
  const title = attempt.verdict
    ? { right: "Right", wrong: "Wrong", unscored: "Not scored" }[outcomeOf(attempt.verdict.value)]
    : STATES[attempt.state];
  const claims = { target: targetOf(problem), refuted: attempt.verdict !== null && outcome !== "right" };
  const speed = attempt.seconds > 0 ? ` · ${decimal(attempt.tokens / attempt.seconds)} tokens/s` : "";
  return (
    <section class={`card ${outcome}`}>
      <header>
        <strong role="status">{title}</strong>
        {attempt.tokens > 0 && (
          <span class="detail">
            {attempt.tokens} tokens{speed}
            {attempt.cut && ", cut off"}
          </span>
        )}
      </header>
      {(attempt.state === "waiting" || thinking) && attempt.tokens === 0 && (
        <p class="detail patience">{PATIENCE}</p>
      )}
      {thought.trim() !== "" && (
        <details open class="thinking">
          <summary>Thought</summary>
          <Thought text={thought} open={thinking && answer === null} claims={claims} />
        </details>
      )}
      {answer !== null && <p class="answer">{answer}</p>}
      {attempt.verdict !== null && attempt.verdict.reason !== "right" && (
        <footer class="detail">{attempt.verdict.reason}</footer>
      )}
      {attempt.error !== null && <p class="problem-text">{attempt.error}</p>}
    </section>
  );
}
