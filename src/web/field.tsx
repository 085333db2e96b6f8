/** A labelled line of text that is a signal. */
import type { Signal } from "@preact/signals";

interface FieldProps {
  label: string;
  text: Signal<string>;
  /** Class of the label. */
  kind: string;
  name?: string;
  inputMode?: "numeric";
  placeholder?: string;
  maxLength?: number;
  required?: boolean;
}

export function Field({ label, text, kind, ...rest }: FieldProps) {
  return (
    <label class={kind}>
      <span>{label}</span>
      <input
        {...rest}
        value={text.value}
        autoComplete="off"
        onInput={(event) => {
          text.value = event.currentTarget.value;
        }}
      />
    </label>
  );
}
