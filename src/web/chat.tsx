/** A person's own problem, and the model thinking about it. */
import { useSignal } from "@preact/signals";
import { Answers } from "./answers.tsx";
import { Conversation } from "./conversation.tsx";
import { Field } from "./field.tsx";
import { ask, questions } from "./questions.ts";
import { chosenModel, chosenSeed, DEFAULT_TEMPERATURE, Settings, temperature } from "./settings.tsx";

const EXAMPLES: [numbers: string, target: string][] = [
  ["82, 27, 11", "44"],
  ["3, 8, 25", "49"],
  ["64, 8, 17", "25"],
  ["12, 30, 5", "90"],
];
const MANY = 8;

export function Chat() {
  return chosenModel()?.kind === "conversation" ? <Conversation /> : <Problems />;
}

function Problems() {
  const numbers = useSignal(EXAMPLES[0]![0]);
  const target = useSignal(EXAMPLES[0]![1]);
  const model = chosenModel();

  const send = (count: number): void => {
    if (model === undefined || numbers.value.trim() === "" || target.value.trim() === "") return;
    const problem = `${numbers.value.trim()} = ${target.value.trim()}`;
    const freely = temperature.value ?? DEFAULT_TEMPERATURE;
    const { id, label: modelLabel } = model;
    ask({ problem, temperature: freely, seed: chosenSeed(), model: id, modelLabel }, count);
    // On a phone the form fills the screen: show where the thought appears.
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
          required
        />
        <button type="submit" class="primary" disabled={model === undefined}>
          Think
        </button>
        <button type="button" disabled={model === undefined} onClick={() => send(MANY)}>
          Ask {MANY} times
        </button>
      </form>
      <p class="examples">
        <span class="detail">For example</span>
        {EXAMPLES.map(([some, goal]) => (
          <button
            key={some}
            type="button"
            class="chip"
            onClick={() => {
              numbers.value = some;
              target.value = goal;
            }}
          >
            {some} → {goal}
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
