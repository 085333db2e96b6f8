/** Whether numbers can make a target at all, by brute force over exact fractions. */

/** Five numbers take some tens of milliseconds; six would take minutes. */
export const SOLVE_LIMIT = 5;

/** n/d in lowest terms, not negative, and how it was made. */
interface Value {
  n: number;
  d: number;
  made: { op: string; left: Value; right: Value } | null;
}

/**
 * An expression of all the numbers, each used once, that has the target's value, or `null` if there is
 * none. Fractions on the way are allowed, as the verifier allows them. Negative ones need no search: the
 * absolute value of any sum or difference is a sum or difference of absolute values.
 * @throws RangeError for more than `SOLVE_LIMIT` numbers, and for others than whole numbers from 0 to 500
 */
export function solve(numbers: number[], target: number): string | null {
  if (numbers.length === 0 || numbers.length > SOLVE_LIMIT) {
    throw new RangeError(`The search takes 1 to ${SOLVE_LIMIT} numbers; found ${numbers.length}.`);
  }
  // Then numerators and denominators stay below 2^4 * 500^5 = 5e14, which a double represents exactly.
  const odd = numbers.find((number) => !Number.isInteger(number) || number < 0 || number > 500);
  if (odd !== undefined) throw new RangeError(`The search takes whole numbers from 0 to 500; found ${odd}.`);
  const all = 2 ** numbers.length - 1;
  const tables = new Map<number, Map<string, Value>>();
  for (let subset = 1; subset <= all; subset++) {
    const table = new Map<string, Value>();
    tables.set(subset, table);
    for (const value of valuesOf(subset, numbers, tables)) {
      if (subset === all) {
        if (value.d === 1 && value.n === target) return show(value);
      } else {
        const key = `${value.n}/${value.d}`;
        if (!table.has(key)) table.set(key, value);
      }
    }
  }
  return null;
}

/** All values of the subset's numbers, by the tables of smaller subsets. */
function* valuesOf(
  subset: number,
  numbers: number[],
  tables: Map<number, Map<string, Value>>,
): Generator<Value> {
  const single = Math.log2(subset);
  if (Number.isInteger(single)) yield { n: numbers[single]!, d: 1, made: null };
  // Each split into two parts once: the part that is the larger bit mask comes first.
  for (let part = (subset - 1) & subset; part > subset - part; part = (part - 1) & subset) {
    for (const a of tables.get(part)!.values()) {
      for (const b of tables.get(subset - part)!.values()) yield* combine(a, b);
    }
  }
}

function* combine(a: Value, b: Value): Generator<Value> {
  const [high, low] = a.n * b.d >= b.n * a.d ? [a, b] : [b, a];
  yield fraction(a.n * b.d + b.n * a.d, a.d * b.d, "+", a, b);
  yield fraction(high.n * low.d - low.n * high.d, a.d * b.d, "-", high, low);
  yield fraction(a.n * b.n, a.d * b.d, "*", a, b);
  if (b.n !== 0) yield fraction(a.n * b.d, a.d * b.n, "/", a, b);
  if (a.n !== 0) yield fraction(b.n * a.d, b.d * a.n, "/", b, a);
}

function fraction(n: number, d: number, op: string, left: Value, right: Value): Value {
  let [divisor, rest] = [d, n];
  while (rest !== 0) [divisor, rest] = [rest, divisor % rest];
  return { n: n / divisor, d: d / divisor, made: { op, left, right } };
}

function show(value: Value): string {
  if (value.made === null) return String(value.n);
  const operand = (part: Value) => (part.made === null ? show(part) : `(${show(part)})`);
  return operand(value.made.left) + value.made.op + operand(value.made.right);
}
