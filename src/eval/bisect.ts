/**
 * Halves the range from `low` to `high` 40 times, keeping the part where `isBelow` turns from true to false, and returns
 * that part's upper end: `high` itself where it is true of all that was tried.
 */
export function bisect(low: number, high: number, isBelow: (value: number) => boolean): number {
  let [from, to] = [low, high];
  // Stryker disable next-line EqualityOperator: a 41st halving changes the 12th digit
  for (let round = 0; round < 40; round++) {
    const middle = (from + to) / 2;
    if (isBelow(middle)) from = middle;
    else to = middle;
  }
  return to;
}
