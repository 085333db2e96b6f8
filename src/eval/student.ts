import { bisect } from "./bisect.ts";

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
