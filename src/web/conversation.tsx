/** A conversation with a chat model. */
import { useSignal } from "@preact/signals";
import { connection } from "./feed.ts";
import { Field } from "./field.tsx";
import { decimal } from "./format.ts";
import { chosenModel, chosenSeed, PATIENCE, ServerGone, Settings, temperature } from "./settings.tsx";
import { Thought } from "./thought.tsx";
import { ask, begin, isAnswering, stop, type Turn, turns } from "./turns.ts";

export function Conversation() {
  const text = useSignal("");
  const system = useSignal("");
  const model = chosenModel();
  const answering = isAnswering();
  const gone = connection.value === "lost";

  const send = (): void => {
    const question = text.value.trim();
    if (model === undefined || question === "" || answering || gone) return;
    text.value = "";
    const settings = { system: system.value.trim(), temperature: temperature.value, seed: chosenSeed() };
    void ask(question, { ...settings, model: model.id });
  };
  return (
    <section class="chat" aria-labelledby="chat-title">
      <h2 id="chat-title">Talk to it</h2>
      {turns.value.map((turn, index) => (
        <Said key={index} turn={turn} />
      ))}
      <form
        class="ask"
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        <label class="grow">
          <span>Message</span>
          <textarea
            name="message"
            rows={2}
            value={text.value}
            onInput={(event) => {
              text.value = event.currentTarget.value;
            }}
            onKeyDown={(event) => {
              // The Enter that ends the composition of a character does not send.
              if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
              event.preventDefault();
              send();
            }}
          />
        </label>
        {/* Two buttons, so that a double click on Stop does not send the draft. */}
        <button type="submit" class="primary" disabled={model === undefined || answering || gone}>
          Send
        </button>
        <button type="button" onClick={stop} disabled={!answering}>
          Stop
        </button>
        <button type="button" disabled={turns.value.length === 0 || answering} onClick={begin}>
          New
        </button>
        <Field label="Instruction" kind="instruction" name="system" text={system} placeholder="none" />
      </form>
      <ServerGone />
      <Settings />
    </section>
  );
}

const STATES: Record<Turn["state"], string> = {
  thinking: "Answering",
  done: "Answer",
  stopped: "Stopped by you",
  interrupted: "Interrupted",
  failed: "Not answered",
};

function Said({ turn }: { turn: Turn }) {
  const { state, thought, answer, tokens, seconds, cut, dropped, error } = turn;
  const speed = seconds > 0 ? ` · ${decimal(tokens / seconds)} tokens/s` : "";
  return (
    <article class="question single">
      <p class="said">{turn.question}</p>
      <section class={`card ${state}`}>
        <header>
          <strong role="status">{STATES[state]}</strong>
          {tokens > 0 && (
            <span class="detail">
              {tokens} tokens{speed}
              {cut && ", cut off"}
            </span>
          )}
        </header>
        {state === "thinking" && tokens === 0 && <p class="detail patience">{PATIENCE}</p>}
        {thought.trim() !== "" && (
          <details open={answer === ""} class="thinking">
            <summary>Thought</summary>
            <Thought text={thought} open={state === "thinking" && answer === ""} />
          </details>
        )}
        {answer !== "" && <p class="said">{answer.trim()}</p>}
        {dropped > 0 && (
          <footer class="detail">
            The conversation is longer than the model can read: its oldest {dropped} messages were left out.
          </footer>
        )}
        {error !== null && <p class="problem-text">{error}</p>}
      </section>
    </article>
  );
}
