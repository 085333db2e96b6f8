/** A thought, attempt by attempt. Everything is text: what a model writes is never mark-up. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { ending, segments } from "./completion.ts";

export function Thought({ text, open = false }: { text: string; open?: boolean }) {
  const box = useRef<HTMLOListElement>(null);
  // A long thought scrolls in its box: keep the newest line in sight while it is being written.
  useLayoutEffect(() => {
    if (open && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [open, text]);
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return (
    <ol class="thought" ref={box}>
      {lines.map((line, index) => (
        <Line key={index} text={line} cursor={open && index === lines.length - 1} />
      ))}
      {open && lines.length === 0 && <Line text="" cursor />}
    </ol>
  );
}

function Line({ text, cursor }: { text: string; cursor: boolean }) {
  const end = ending(text);
  return (
    <li class={end ?? undefined}>
      {segments(text).map((part, index) =>
        part.holds === null ? (
          <span key={index}>{part.text}</span>
        ) : (
          <span
            key={index}
            class={part.holds ? "true" : "false"}
            title={part.holds ? "a true equation" : "a false equation"}
          >
            {part.text}
            {!part.holds && <b class="wrong-mark"> ✗ false</b>}
          </span>
        ),
      )}
      {cursor && <span class="cursor" aria-hidden="true" />}
    </li>
  );
}
