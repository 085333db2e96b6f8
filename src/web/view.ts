/** The view that is shown; the address contains it. */
import { signal } from "@preact/signals";

export type View = "run" | "chat";

/** `null`: not chosen, so the page shows the run if there is one, or else the chat. */
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
