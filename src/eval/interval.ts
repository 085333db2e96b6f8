/**
 * An exact interval of the mean of values with known bounds, whatever their distribution, for any number of them.
 *
 * The upper end is Gaffke's bound (Gaffke 2005; Learned-Miller and Thomas, arXiv 1905.06208; Phan, Thomas and
 * Learned-Miller, arXiv 2106.03163): the 97.5 % quantile of the mean of the values and one further value at the upper
 * bound under weights from Dirichlet(1, ..., 1); the lower end mirrors it. For values 0 and 1 this is the interval of
 * Clopper and Pearson. It assumes no variance, so equal values do not make it vanish, and with many values it
 * approaches the interval of the central limit theorem.
 */
import { bisect } from "./bisect.ts";

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
    // Both sides of the line are equal, except that its middle is there once.
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
