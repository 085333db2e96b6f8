/** How the run ended, and its latest notices. */
import { run } from "./feed.ts";

const SHOWN = 3;

export function Messages() {
  const { outcome, notices, coresTaken } = run.value;
  return (
    <div role="status" class="messages">
      {outcome?.type === "error" && (
        <div class="message error">
          <strong>The run stopped: {outcome.message}</strong>
          {outcome.remedy !== null && <p>{outcome.remedy}</p>}
        </div>
      )}
      {outcome?.type === "done" && (
        <div class="message done">
          <strong>The model is trained.</strong> <a href="#chat">Give it a problem of your own</a>. The report
          is at <code>{outcome.report}</code>.
        </div>
      )}
      {coresTaken && (
        <div class="message info">
          Another program takes a core: training is slower until it ends, with the same results.
        </div>
      )}
      {notices.slice(-SHOWN).map((notice, index) => (
        <div key={index} class={`message ${notice.level}`}>
          {notice.level === "warning" && <strong>Warning: </strong>}
          {notice.message}
        </div>
      ))}
    </div>
  );
}
