/** The functions that a chat template may call: Jinja's, and those that transformers adds. */
import { strftime } from "./strftime.ts";
import { toText } from "./text.ts";
import {
  asNumber,
  Callable,
  isNumber,
  iterate,
  keyOf,
  Namespace,
  TemplateRuntimeError,
  Undefined,
  type Value,
  view,
} from "./values.ts";

/** Thrown by the template's own `raise_exception`. */
export class Refusal extends Error {}

/** A template that builds more than it may. */
export class TooLarge extends Error {}

function whole(value: Value | undefined, name: string): number {
  if (value !== undefined && isNumber(value)) return asNumber(value);
  throw new TemplateRuntimeError(`${name} takes whole numbers`);
}

const MOST_NUMBERS = 1 << 20;

/** Python's range, refused by `spend` before it fills the memory. */
function range(args: readonly Value[], spend: (length: number) => void): Value[] {
  const numbers = args.map((one) => whole(one, "range()"));
  const [start, stop, step = 1] = numbers.length === 1 ? [0, numbers[0]] : numbers;
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (!(count <= MOST_NUMBERS)) throw new TooLarge(`range() of ${count} numbers`);
  spend(8 * count);
  const items = Array.from({ length: count }, (_, i) => start + i * step);
  return view("range", items, `range(${[start, stop, ...(step === 1 ? [] : [step])].join(", ")})`);
}

const entries = (value: Value): [Value, Value][] =>
  value instanceof Map ? [...value] : iterate(value).map((pair) => iterate(pair) as [Value, Value]);

function cycler(items: readonly Value[]): Namespace {
  const fields = new Map<string, Value>();
  let at = 0;
  const move = (to: number): void => {
    at = to % items.length;
    fields.set("current", items[at]);
  };
  move(0);
  fields.set(
    "next",
    new Callable(() => {
      const item = items[at];
      move(at + 1);
      return item;
    }),
  );
  fields.set(
    "reset",
    new Callable(() => {
      move(0);
      return null;
    }),
  );
  return new Namespace(fields);
}

export function templateGlobals(now: Date, spend: (length: number) => void): Map<string, Value> {
  return new Map<string, Value>([
    ["range", new Callable((args) => range(args, spend))],
    [
      "dict",
      new Callable(
        ([given], named) =>
          new Map(
            [...(given === undefined ? [] : entries(given)), ...named].map(([key, value]) => [
              keyOf(key),
              value,
            ]),
          ),
      ),
    ],
    [
      "namespace",
      new Callable(
        ([given], named) =>
          new Namespace(
            new Map(
              [...(given === undefined ? [] : entries(given)), ...named].map(([key, value]) => [
                toText(key),
                value,
              ]),
            ),
          ),
      ),
    ],
    ["cycler", new Callable((args) => cycler(args))],
    [
      "joiner",
      new Callable(([separator = ", "]) => {
        let used = false;
        return new Callable(() => {
          const text = used ? separator : "";
          used = true;
          return text;
        });
      }),
    ],
    ["strftime_now", new Callable(([pattern = ""]) => strftime(now, toText(pattern)))],
    [
      "raise_exception",
      new Callable(([message = new Undefined("message")]) => {
        throw new Refusal(toText(message));
      }),
    ],
  ]);
}
