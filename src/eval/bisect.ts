/**
 * Halves the range from `low` to `high`, keeping the part where `isBelow` turns from true to false, and returns that part's
 * upper end: `high` itself where it is true of all that was tried. 40 rounds leave a part of 1e-12, 27 one of 1e-8.
 */
export function bisect(low: number, high: number, isBelow: (value: number) => boolean, rounds = 40): number {
  let [from, to] = [low, high];
  // Stryker disable next-line EqualityOperator: one round more changes the last digit
  for (let round = 0; round < rounds; round++) {
    const middle = (from + to) / 2;
    if (isBelow(middle)) from = middle;
    else to = middle;
  }
  return to;
}
