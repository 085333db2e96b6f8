/** Jinja's tests (jinja2/tests.py): what may follow `is`. */
import { toText } from "./text.ts";
import {
  asNumber,
  Callable,
  compare,
  contains,
  Float,
  isEqual,
  isNumber,
  keyOf,
  Lazy,
  TemplateRuntimeError,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

export type Test = (value: Value, args: readonly Value[]) => boolean;

const remainder = (value: Value, by: Value): number => {
  if (isNumber(value) && isNumber(by) && asNumber(by) !== 0) return asNumber(value) % asNumber(by);
  throw new TemplateRuntimeError(
    isNumber(value) && isNumber(by)
      ? "integer modulo by zero"
      : `unsupported operand type(s) for %: '${typeName(value)}' and '${typeName(by)}'`,
  );
};
const isContainer = (value: Value): boolean =>
  typeof value === "string" || Array.isArray(value) || value instanceof Map;
const equal: Test = (value, [other]) => isEqual(value, other);
const unequal: Test = (value, [other]) => !isEqual(value, other);
const greater: Test = (value, [other]) => compare(value, other) > 0;
const less: Test = (value, [other]) => compare(value, other) < 0;

export const TESTS: Record<string, Test> = {
  boolean: (value) => typeof value === "boolean",
  callable: (value) => value instanceof Callable,
  defined: (value) => !(value instanceof Undefined),
  divisibleby: (value, [by]) => remainder(value, by) === 0,
  eq: equal,
  equalto: equal,
  "==": equal,
  even: (value) => remainder(value, 2) === 0,
  escaped: () => false,
  false: (value) => value === false,
  float: (value) => value instanceof Float,
  ge: (value, [other]) => compare(value, other) >= 0,
  ">=": (value, [other]) => compare(value, other) >= 0,
  gt: greater,
  greaterthan: greater,
  ">": greater,
  in: (value, [container]) => contains(container, value),
  integer: (value) => typeof value === "number",
  iterable: (value) => isContainer(value) || value instanceof Undefined || value instanceof Lazy,
  le: (value, [other]) => compare(value, other) <= 0,
  "<=": (value, [other]) => compare(value, other) <= 0,
  lower: (value) =>
    toText(value) !== toText(value).toUpperCase() && toText(value) === toText(value).toLowerCase(),
  lt: less,
  lessthan: less,
  "<": less,
  mapping: (value) => value instanceof Map,
  ne: unequal,
  "!=": unequal,
  none: (value) => value === null,
  number: isNumber,
  odd: (value) => Math.abs(remainder(value, 2)) === 1,
  // Texts and small numbers that are equal are one object in Python.
  sameas: (value, [other]) =>
    typeof value === "object" && value !== null
      ? value === other
      : typeName(value) === typeName(other) && keyOf(value) === keyOf(other),
  sequence: (value) =>
    (isContainer(value) && !(value instanceof View && !value.isIndexed)) || value instanceof Undefined,
  string: (value) => typeof value === "string",
  true: (value) => value === true,
  undefined: (value) => value instanceof Undefined,
  upper: (value) =>
    toText(value) !== toText(value).toLowerCase() && toText(value) === toText(value).toUpperCase(),
};
