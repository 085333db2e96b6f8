/** Numbers as text; an unknown number is never shown as zero. */

const MINUS = "\u2212";

export function decimal(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined) return "\u2013";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1).replace("-", MINUS);
  const size = Math.abs(value);
  // Significant digits would turn 20,457 tokens into 20,500.
  const rounding = size < 10 ** digits ? { maximumSignificantDigits: digits } : { maximumFractionDigits: 0 };
  const text = size.toLocaleString("en", rounding);
  return value < 0 ? MINUS + text : text;
}

export function percent(value: number | null | undefined, digits = 1): string {
  return value === null || value === undefined ? "\u2013" : `${(value * 100).toFixed(digits)}\u202f%`;
}

/** Always with its sign, which colour alone must not show. */
export function signed(value: number, digits = 2): string {
  return `${value < 0 ? MINUS : "+"}${Math.abs(value).toFixed(digits)}`;
}

export function duration(seconds: number): string {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const PREFIXES = ["", "k", "M", "G", "T", "P", "E", "Z"];

/** `large(3.5e13, "FLOP")` is "35 TFLOP". */
export function large(value: number, unit: string): string {
  const power = value < 1 ? 0 : Math.min(PREFIXES.length - 1, Math.floor(Math.log10(value) / 3));
  return `${decimal(value / 1000 ** power)} ${PREFIXES[power]}${unit}`;
}

export function wattHours(value: number | null): string {
  return value === null ? "unknown" : `${decimal(value)} Wh`;
}

export function dollars(value: number | null): string {
  if (value === null) return "unknown";
  return value > 0 && value < 0.01 ? `$${value.toPrecision(2)}` : `$${value.toFixed(2)}`;
}
