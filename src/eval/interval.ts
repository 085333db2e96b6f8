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
  const mirrored = upperEnd(
    values.map((value) => -value),
    -high,
    -low,
  );
  return [mirrored === -low ? low : -mirrored, upperEnd(values, low, high)];
}

/** Where `Atoms` of the values and of `high` exceed it with probability `TAIL`. */
function upperEnd(values: readonly number[], low: number, high: number): number {
  const counts = new Map<number, number>([[high, 1]]);
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  if (counts.size === 1) return high;
  const atoms = [...counts];
  const target = Math.log(TAIL);
  // False position on the logarithm, with the Illinois rule against one end that stays.
  let [a, b] = [Math.min(low, ...counts.keys()), high];
  let [fa, fb] = [-target, Number.NEGATIVE_INFINITY];
  let side = 0;
  for (let round = 0; round < 100 && b - a > 1e-9 * (high - low); round++) {
    const linear = b - (fb * (b - a)) / (fb - fa);
    const t = round > 2 && linear > a && linear < b ? linear : (a + b) / 2;
    const f = Math.log(exceedance(atoms, t)) - target;
    if (Math.abs(f) < 1e-9) return t;
    if (f > 0) {
      [a, fa] = [t, f];
      if (side === 1) fb /= 2;
      side = 1;
    } else {
      [b, fb] = [t, f];
      if (side === -1) fa /= 2;
      side = -1;
    }
  }
  return (a + b) / 2;
}

/**
 * P(sum of w_i x_i > t) for Dirichlet weights, `t` within the values. With G_i ~ Gamma(count_i) this is
 * P(sum of G_i (x_i - t) > 0), the Laplace inversion of exp(K(s)) / s with K(s) = -sum of count_i ln(1 - (x_i - t) s).
 * The line of integration passes through the saddle point, where nothing oscillates (Daniels 1954).
 */
function exceedance(atoms: readonly (readonly [value: number, count: number])[], t: number): number {
  const scales = atoms.map(([value, count]) => [value - t, count] as const);
  const largest = Math.max(...scales.map(([scale]) => scale));
  let [left, right] = [0, 1 / largest];
  for (let round = 0; round < 60; round++) {
    const s = (left + right) / 2;
    const slope = scales.reduce((sum, [scale, count]) => sum + (count * scale) / (1 - scale * s), -1 / s);
    if (slope < 0) left = s;
    else right = s;
  }
  const saddle = (left + right) / 2;
  const curvature = scales.reduce(
    (sum, [scale, count]) => sum + count * (scale / (1 - scale * saddle)) ** 2,
    1 / saddle ** 2,
  );
  const width = 1 / Math.sqrt(curvature);
  const STEP = 1 / 8;
  let [sum, first] = [0, 0];
  let peak = 0;
  for (let node = 0; node < 400; node++) {
    const u = width * Math.sinh(node * STEP);
    // ln of exp(K) / s at saddle + iu: its modulus and its phase.
    let modulus = -0.5 * Math.log(saddle * saddle + u * u);
    let phase = -Math.atan2(u, saddle);
    for (const [scale, count] of scales) {
      const [re, im] = [1 - scale * saddle, -scale * u];
      modulus -= 0.5 * count * Math.log(re * re + im * im);
      phase -= count * Math.atan2(im, re);
    }
    if (node === 0) peak = modulus;
    const size = Math.exp(modulus - peak) * Math.cosh(node * STEP);
    if (node === 0) first = size * Math.cos(phase);
    else sum += size * Math.cos(phase);
    if (size < 1e-13) break;
  }
  return (Math.exp(peak) * width * STEP * (first / 2 + sum)) / Math.PI;
}
