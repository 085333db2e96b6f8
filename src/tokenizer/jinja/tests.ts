/** Jinja's tests (jinja2/tests.py): what may follow `is`. */
import { binary } from "./operators.ts";
import { toText } from "./text.ts";
import {
  asNumber,
  Callable,
  contains,
  Float,
  isNumber,
  isTrue,
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
export const TESTS: Record<string, Test> = {
  boolean: (value) => typeof value === "boolean",
  callable: (value) => value instanceof Callable,
  defined: (value) => !(value instanceof Undefined),
  divisibleby: (value, [by]) => remainder(value, by) === 0,
  even: (value) => remainder(value, 2) === 0,
  escaped: () => false,
  false: (value) => value === false,
  float: (value) => value instanceof Float,
  in: (value, [container]) => contains(container, value),
  integer: (value) => typeof value === "number",
  iterable: (value) => isContainer(value) || value instanceof Undefined || value instanceof Lazy,
  lower: (value) =>
    toText(value) !== toText(value).toUpperCase() && toText(value) === toText(value).toLowerCase(),
  mapping: (value) => value instanceof Map,
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

const COMPARISONS: Record<string, readonly string[]> = {
  ...{ "==": ["eq", "equalto"], "!=": ["ne"], "<": ["lt", "lessthan"], "<=": ["le"] },
  ...{ ">": ["gt", "greaterthan"], ">=": ["ge"] },
};
for (const [operator, names] of Object.entries(COMPARISONS))
  for (const name of [operator, ...names])
    TESTS[name] = (value, [other]) => isTrue(binary(operator, value, other, () => {}));
