/** A thought, line by line. A model's text is never mark-up. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { type Claims, endingOf, segments } from "../tasks/thought-marks.ts";

interface ThoughtProps {
  text: string;
  open?: boolean;
  claims?: Claims;
}

const UNKNOWN: Claims = { target: null, refuted: false };

export function Thought({ text, open = false, claims = UNKNOWN }: ThoughtProps) {
  const box = useRef<HTMLOListElement>(null);
  // Scrolls a long thought to its newest line while it streams.
  useLayoutEffect(() => {
    if (open && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [open, text]);
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return (
    <ol class="thought" ref={box}>
      {lines.map((line, index) => (
        <Line key={index} text={line} cursor={open && index === lines.length - 1} claims={claims} />
      ))}
      {open && lines.length === 0 && <Line text="" cursor claims={claims} />}
    </ol>
  );
}

function Line({ text, cursor, claims }: { text: string; cursor: boolean; claims: Claims }) {
  const end = endingOf(text, claims);
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
