/** A person's problem, and the model's completions. */
import { useSignal } from "@preact/signals";
import { Answers } from "./answers.tsx";
import { Conversation } from "./conversation.tsx";
import { EXAMPLES, readFields } from "./examples.ts";
import { connection } from "./feed.ts";
import { Field } from "./field.tsx";
import { ask, questions } from "./questions.ts";
import {
  chosenModel,
  chosenSeed,
  DEFAULT_TEMPERATURE,
  ServerGone,
  Settings,
  temperature,
} from "./settings.tsx";

const MANY = 8;

export function Chat() {
  return chosenModel()?.kind === "conversation" ? <Conversation /> : <Problems />;
}

function Problems() {
  const numbers = useSignal(EXAMPLES[0].numbers);
  const target = useSignal(EXAMPLES[0].target);
  const model = chosenModel();
  const unable = model === undefined || connection.value === "lost";

  const send = (count: number): void => {
    const typed = readFields(numbers.value, target.value);
    if (model === undefined || typed.numbers === "" || typed.target === "") return;
    numbers.value = typed.numbers;
    target.value = typed.target;
    const problem = `${typed.numbers} = ${typed.target}`;
    const freely = temperature.value ?? DEFAULT_TEMPERATURE;
    const { id, label: modelLabel } = model;
    ask({ problem, temperature: freely, seed: chosenSeed(), model: id, modelLabel }, count);
    // On a phone the form fills the screen, so the page scrolls to the thought.
    requestAnimationFrame(() => {
      document
        .querySelector(".question")
        ?.scrollIntoView({ block: innerWidth < 720 ? "start" : "nearest", behavior: "smooth" });
    });
  };
  return (
    <section class="chat" aria-labelledby="chat-title">
      <h2 id="chat-title">Give it a problem</h2>
      <p class="lead">
        Make the target from the numbers, each used once, with + − × ÷, and watch the model try.
      </p>
      <form
        class="ask"
        onSubmit={(event) => {
          event.preventDefault();
          send(1);
        }}
      >
        <Field label="Numbers" kind="grow" name="numbers" text={numbers} maxLength={80} required />
        <Field
          label="Target"
          kind="target"
          name="target"
          text={target}
          inputMode="numeric"
          maxLength={12}
          required={readFields(numbers.value, "").target === ""}
        />
        <button type="submit" class="primary" disabled={unable}>
          Think
        </button>
        <button type="button" disabled={unable} onClick={() => send(MANY)}>
          Ask {MANY} times
        </button>
      </form>
      <ServerGone />
      <p class="examples">
        <span class="detail">For example</span>
        {EXAMPLES.map((example) => (
          <button
            key={example.numbers}
            type="button"
            class="chip"
            onClick={() => {
              numbers.value = example.numbers;
              target.value = example.target;
            }}
          >
            {example.numbers} → {example.target}
            {example.hard && <span class="detail"> (it mostly fails)</span>}
          </button>
        ))}
      </p>
      <Settings />
      {questions.value.map((question) => (
        <Answers key={question.id} question={question} />
      ))}
    </section>
  );
}
