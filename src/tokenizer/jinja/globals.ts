/** The functions that a chat template may call: Jinja's, and those that transformers adds. */
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
  return Array.from({ length: count }, (_, i) => start + i * step);
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

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  ...["January", "February", "March", "April", "May", "June", "July"],
  ...["August", "September", "October", "November", "December"],
];

/** Of local time, with English names as Python has them unless a program sets a locale. */
export function strftime(date: Date, pattern: string): string {
  const two = (value: number, fill = "0"): string => String(value).padStart(2, fill);
  const hour = date.getHours() % 12 || 12;
  const midnight = (month: number, day: number): number => Date.UTC(date.getFullYear(), month, day);
  const dayOfYear = (midnight(date.getMonth(), date.getDate()) - midnight(0, 1)) / 86_400_000 + 1;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  const known: Record<string, string> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    e: two(date.getDate(), " "),
    B: MONTHS[date.getMonth()],
    b: MONTHS[date.getMonth()].slice(0, 3),
    h: MONTHS[date.getMonth()].slice(0, 3),
    A: DAYS[date.getDay()],
    a: DAYS[date.getDay()].slice(0, 3),
    w: String(date.getDay()),
    u: String(date.getDay() || 7),
    j: String(dayOfYear).padStart(3, "0"),
    H: two(date.getHours()),
    I: two(hour),
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    f: `${String(date.getMilliseconds()).padStart(3, "0")}000`,
    p: date.getHours() < 12 ? "AM" : "PM",
    R: time,
    T: `${time}:${two(date.getSeconds())}`,
    F: `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`,
    D: `${two(date.getMonth() + 1)}/${two(date.getDate())}/${two(date.getFullYear() % 100)}`,
    // A time without a zone has none.
    ...{ z: "", Z: "" },
    s: String(Math.floor(date.getTime() / 1000)),
    n: "\n",
    t: "\t",
    "%": "%",
  };
  return pattern.replace(/%(-?)([A-Za-z%])/g, (all, bare, letter) => {
    if (!Object.hasOwn(known, letter)) return all;
    return bare === "" ? known[letter] : known[letter].replace(/^[0 ]+(?=.)/, "");
  });
}
