/** A line while a model is loaded, gone when it answers. */
import color from "picocolors";

interface Terminal {
  isTTY?: boolean;
  write(text: string): unknown;
}

const LOADING = "loading the model ...";
/** Most models load in less time. */
const PATIENCE_MS = 400;

/** Shows the line on a terminal. @returns a function that removes it */
export function showLoading(out: Terminal = process.stderr): () => void {
  if (!out.isTTY) return () => {};
  out.write(color.dim(LOADING));
  return () => void out.write("\r\x1b[K");
}

/** Passes events on, and shows the line while the first of them takes long. */
export async function* whileLoading<T>(
  events: AsyncIterable<T>,
  out: Terminal = process.stderr,
  patienceMs = PATIENCE_MS,
): AsyncGenerator<T, void> {
  let hide = (): void => {};
  const timer = setTimeout(() => {
    hide = showLoading(out);
  }, patienceMs);
  const done = (): void => {
    clearTimeout(timer);
    hide();
    hide = () => {};
  };
  try {
    for await (const event of events) {
      done();
      yield event;
    }
  } finally {
    done();
  }
}
