/** The model, temperature and seed of the chat. */
import { signal } from "@preact/signals";
import { connection, models } from "./feed.ts";
import { decimal } from "./format.ts";

const wanted = signal<string | null>(null);
/** `null`: not chosen, so the model's default. */
export const temperature = signal<number | null>(null);
const seed = signal("");

export const DEFAULT_TEMPERATURE = 0.6;

export const chosenModel = () => models.value.find(({ id }) => id === wanted.value) ?? models.value[0];
export const chosenSeed = (): number | null => (seed.value === "" ? null : Number(seed.value));

export function Settings() {
  const model = chosenModel();
  const own = model?.kind === "conversation" ? "the model's own" : decimal(DEFAULT_TEMPERATURE);
  return (
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
          Temperature <output>{temperature.value === null ? own : decimal(temperature.value)}</output>
        </span>
        <input
          type="range"
          min={0}
          max={1.5}
          step={0.1}
          value={temperature.value ?? DEFAULT_TEMPERATURE}
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
  );
}

/** Shown before the first token. */
export const PATIENCE = "The model is being loaded, or it answers another question first.";

/** A run's server ends with the run, unless a person at the terminal keeps it open. */
export const ServerGone = () =>
  connection.value === "lost" ? (
    <p class="problem-text" role="status">
      The server does not answer: it has ended, or the connection is lost. This page continues when the server
      is back; <code>sputnik chat --serve</code> starts one.
    </p>
  ) : null;
