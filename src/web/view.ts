/** Which of the two views is shown; the address remembers it. */
import { signal } from "@preact/signals";

export type View = "run" | "chat";

/** `null`: the person has not chosen; the page shows the run if there is one, else the chat. */
export const chosen = signal<View | null>(read());
export const view = signal<View>(chosen.value ?? "run");

addEventListener("hashchange", () => {
  chosen.value = read();
  if (chosen.value !== null) view.value = chosen.value;
});

function read(): View | null {
  const name = location.hash.slice(1);
  return name === "run" || name === "chat" ? name : null;
}
