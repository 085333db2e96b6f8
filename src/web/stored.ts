/** Lists that a reload of the tab does not lose. */
import { type Signal, signal } from "@preact/signals";

/** `revive` adapts what an earlier page left; `publish` shows a copy of each item, so that components see the change. */
export function storedList<Item extends object>(
  key: string,
  revive: (item: Item) => Item,
): { shown: Signal<Item[]>; publish: (items: readonly Item[]) => void } {
  const shown = signal<Item[]>(restore());
  return {
    shown,
    publish(items) {
      shown.value = items.map((item) => structuredClone(item));
      try {
        sessionStorage.setItem(key, JSON.stringify(shown.value));
      } catch {
        // A full or forbidden storage costs the memory of a reload, not the chat.
      }
    },
  };

  function restore(): Item[] {
    try {
      return (JSON.parse(sessionStorage.getItem(key) ?? "[]") as Item[]).map(revive);
    } catch {
      return [];
    }
  }
}
