/** A person's own problem, and the model thinking about it. */
import { useSignal } from "@preact/signals";
import { Answers } from "./answers.tsx";
import { models } from "./feed.ts";
import { decimal } from "./format.ts";
import { ask, questions } from "./questions.ts";

const EXAMPLES: [numbers: string, target: string][] = [
  ["82, 27, 11", "44"],
  ["3, 8, 25", "49"],
  ["64, 8, 17", "25"],
  ["12, 30, 5", "90"],
];
const MANY = 8;

export function Chat() {
  const numbers = useSignal(EXAMPLES[0]![0]);
  const target = useSignal(EXAMPLES[0]![1]);
  const wanted = useSignal<string | null>(null);
  const temperature = useSignal(0.6);
  const seed = useSignal("");
  const model = models.value.find(({ id }) => id === wanted.value) ?? models.value[0];

  const send = (count: number): void => {
    if (model === undefined || numbers.value.trim() === "" || target.value.trim() === "") return;
    const problem = `${numbers.value.trim()} = ${target.value.trim()}`;
    const fixed = seed.value === "" ? null : Number(seed.value);
    ask(
      { problem, temperature: temperature.value, seed: fixed, model: model.id, modelLabel: model.label },
      count,
    );
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
        <label class="grow">
          <span>Numbers</span>
          <input
            name="numbers"
            value={numbers.value}
            maxLength={80}
            required
            autoComplete="off"
            onInput={(event) => {
              numbers.value = event.currentTarget.value;
            }}
          />
        </label>
        <label class="target">
          <span>Target</span>
          <input
            name="target"
            value={target.value}
            inputMode="numeric"
            maxLength={12}
            required
            autoComplete="off"
            onInput={(event) => {
              target.value = event.currentTarget.value;
            }}
          />
        </label>
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
      <div class="settings">
        <label>
          <span>Model</span>
          <select
            value={model?.id}
            onChange={(event) => {
              wanted.value = event.currentTarget.value;
            }}
          >
            {models.value.map(({ id, label }) => (
              <option key={id} value={id}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <label>
          <span>
            Temperature <output>{decimal(temperature.value)}</output>
          </span>
          <input
            type="range"
            min={0}
            max={1.5}
            step={0.1}
            value={temperature.value}
            onInput={(event) => {
              temperature.value = event.currentTarget.valueAsNumber;
            }}
          />
        </label>
        <label class="seed">
          <span>Seed</span>
          <input
            type="number"
            min={0}
            max={2 ** 31}
            step={1}
            placeholder="any"
            value={seed.value}
            onInput={(event) => {
              seed.value = event.currentTarget.value;
            }}
          />
        </label>
        <p class="detail">{model === undefined ? "No model is ready yet." : model.description}</p>
      </div>
      {questions.value.map((question) => (
        <Answers key={question.id} question={question} />
      ))}
    </section>
  );
}
