/** The functions that a chat template may call: Jinja's, and those that transformers adds. */
import { strftime } from "./strftime.ts";
import { toText } from "./text.ts";
import {
  asNumber,
  Callable,
  isNumber,
  iterate,
  keyOf,
  type Named,
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

/** `dict(given, name=value)`. */
const entries = ([given = []]: readonly Value[], named: Named): [Value, Value][] => [
  ...(given instanceof Map ? given : iterate(given).map((pair) => iterate(pair) as [Value, Value])),
  ...named,
];

function cycler(items: readonly Value[]): Namespace {
  let at = 0;
  const fields = new Map<string, Value>();
  const move = (to: number): void => {
    at = to % items.length;
    fields.set("current", items[at]);
  };
  const next = new Callable(() => {
    const item = items[at];
    move(at + 1);
    return item;
  });
  const reset = new Callable(() => {
    move(0);
    return null;
  });
  move(0);
  fields.set("next", next).set("reset", reset);
  return new Namespace(fields);
}

function joiner(separator: Value): Callable {
  let used = false;
  return new Callable(() => {
    const text = used ? separator : "";
    used = true;
    return text;
  });
}

export function templateGlobals(now: Date, spend: (length: number) => void): Map<string, Value> {
  const functions: Record<string, Callable["call"]> = {
    range: (args) => range(args, spend),
    dict: (args, named) => new Map(entries(args, named).map(([key, value]) => [keyOf(key), value])),
    namespace: (args, named) =>
      new Namespace(new Map(entries(args, named).map(([key, value]) => [toText(key), value]))),
    cycler,
    joiner: ([separator = ", "]) => joiner(separator),
    strftime_now: ([pattern = ""]) => strftime(now, toText(pattern)),
    raise_exception: ([message = new Undefined("message")]) => {
      throw new Refusal(toText(message));
    },
  };
  return new Map(Object.entries(functions).map(([name, call]) => [name, new Callable(call)]));
}
