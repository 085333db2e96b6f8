/**
 * An exact interval of the mean of values with known bounds, whatever their distribution, for any number of them.
 *
 * The upper end is Gaffke's bound (Gaffke 2005; Learned-Miller and Thomas, arXiv 1905.06208; Phan, Thomas and
 * Learned-Miller, arXiv 2106.03163): the 97.5 % quantile of the mean of the values and one further value at the upper
 * bound under weights from Dirichlet(1, ..., 1); the lower end mirrors it. For values 0 and 1 this is the interval of
 * Clopper and Pearson. It assumes no variance, so equal values do not make it vanish, and with many values it
 * approaches the interval of the central limit theorem.
 */

export type Interval = [low: number, high: number];

/** Probability outside of each end of a 95 % interval. */
const TAIL = 0.025;

/** 95 % interval of the mean that `values` were drawn around. No value: nothing is known. @throws RangeError */
export function meanInterval(values: readonly number[], [low, high]: Interval = [0, 1]): Interval {
  const outside = values.find((value) => !(value >= low && value <= high));
  if (outside !== undefined) throw new RangeError(`${outside} is not within ${low} to ${high}.`);
  const mirrored = values.map((value) => -value);
  // From 0, so that an end of 0 is no -0.
  return [0 - upperEnd(mirrored, -high, -low), upperEnd(values, low, high)];
}

/** Where the weighted mean of the values and of `high` exceeds the end with probability `TAIL`. */
function upperEnd(values: readonly number[], low: number, high: number): number {
  const counts = new Map<number, number>([[high, 1]]);
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const atoms = [...counts];
  // Stryker disable next-line EqualityOperator: a probability of exactly the tail does not occur
  return bisect(low, high, (mean) => exceedance(atoms, mean) > TAIL, 27);
}

/** A value with how often it occurs. */
type Atom = readonly [value: number, count: number];

/**
 * P(sum of w_i x_i > t) for Dirichlet weights, `t` below the largest value. With G_i ~ Gamma(count_i) this is
 * P(sum of G_i (x_i - t) > 0), the Laplace inversion of exp(K(s)) / s with K(s) = -sum of count_i ln(1 - (x_i - t) s)
 * along saddle + iu. The sum over u = width sinh(node / 8) is the trapezoid rule: its error falls exponentially.
 */
export function exceedance(atoms: readonly Atom[], t: number): number {
  const scales = atoms.map(([value, count]): Atom => [value - t, count]);
  const [saddle, width] = saddlePoint(scales);
  const peak = integrand(scales, saddle, 0)[0];
  let sum = 0;
  // Stryker disable next-line UpdateOperator: the integrand is the same on both sides of the real line
  for (let node = 0; ; node++) {
    const [modulus, phase] = integrand(scales, saddle, width * Math.sinh(node * STEP));
    const size = Math.exp(modulus - peak) * Math.cosh(node * STEP);
    // Both sides of the line are equal, and its middle counts once.
    sum += (node === 0 ? size / 2 : size) * Math.cos(phase);
    // Stryker disable next-line EqualityOperator: a size of exactly the limit does not occur
    if (size < 1e-12) return (Math.exp(peak) * width * STEP * sum) / Math.PI;
  }
}

const STEP = 1 / 8;

/**
 * Where exp(K(s)) / s is least on the real line, and how far from there it keeps its size: a line through this point
 * meets nothing that oscillates (Daniels 1954).
 */
export function saddlePoint(scales: readonly Atom[]): [saddle: number, width: number] {
  const largest = scales.reduce((top, [scale]) => Math.max(top, scale), 0);
  const saddle = bisect(
    0,
    1 / largest,
    // Stryker disable next-line EqualityOperator: where the slope is exactly 0, either half ends there
    (s) => scales.reduce((slope, [scale, count]) => slope + (count * scale) / (1 - scale * s), -1 / s) < 0,
  );
  const curvature = scales.reduce(
    (sum, [scale, count]) => sum + count * (scale / (1 - scale * saddle)) ** 2,
    1 / saddle ** 2,
  );
  return [saddle, 1 / Math.sqrt(curvature)];
}

/** ln of exp(K(s)) / s at s = saddle + iu: its modulus and its phase. */
function integrand(scales: readonly Atom[], saddle: number, u: number): [modulus: number, phase: number] {
  let modulus = -Math.log(Math.hypot(saddle, u));
  let phase = -Math.atan2(u, saddle);
  for (const [scale, count] of scales) {
    const [re, im] = [1 - scale * saddle, -scale * u];
    modulus -= count * Math.log(Math.hypot(re, im));
    phase -= count * Math.atan2(im, re);
  }
  return [modulus, phase];
}

/**
 * The distance, in standard errors, that Student's t with `degrees` degrees of freedom keeps within in 95 % of the
 * draws: 12.706 at 1, 2.776 at 4, 1.960 in the limit. By bisection on the distribution's closed form for whole
 * degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4). @throws RangeError
 */
export function studentReach(degrees: number): number {
  if (!Number.isInteger(degrees) || degrees < 1)
    throw new RangeError(`Student's t needs whole degrees of freedom of at least 1, not ${degrees}.`);
  // In the angle whose tangent is t / sqrt(degrees).
  // Stryker disable next-line EqualityOperator: within() is continuous, so one angle more or less changes nothing
  const angle = bisect(0, Math.PI / 2, (tried) => within(tried, degrees) < 0.95);
  return Math.tan(angle) * Math.sqrt(degrees);
}

/** P(|T| < tan(angle) sqrt(degrees)). */
function within(angle: number, degrees: number): number {
  const cosine = Math.cos(angle);
  const odd = degrees % 2 === 1;
  let [sum, term] = [0, odd ? cosine : 1];
  for (let power = odd ? 1 : 0; power <= degrees - 2; power += 2) {
    sum += term;
    term *= (cosine * cosine * (power + 1)) / (power + 2);
  }
  return odd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
}

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
