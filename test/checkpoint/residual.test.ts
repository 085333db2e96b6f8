import { describe, expect, it } from "vitest";
import { subtractLeading, subtractPrincipal } from "../../src/checkpoint/residual.ts";
import { Random } from "../../src/lib/random.ts";

/** U diag(values) V^T with orthonormal U and V from reflections, so the singular values are known. */
function known(rows: number, columns: number, values: readonly number[]) {
  const random = new Random("residual", rows * 1000 + columns);
  const unit = (n: number) => {
    const x = Array.from({ length: n }, () => random.normal());
    const length = Math.hypot(...x);
    return x.map((one) => one / length);
  };
  const [u, v] = [unit(rows), unit(columns)];
  // Column k of the reflection I - 2 x x^T.
  const column = (x: number[], k: number) => x.map((one, i) => (i === k ? 1 : 0) - 2 * one * x[k]!);
  const sum = (from: number) => {
    const data = new Float64Array(rows * columns);
    for (let k = from; k < values.length; k++) {
      const [left, right] = [column(u, k), column(v, k)];
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++) data[i * columns + j]! += values[k]! * left[i]! * right[j]!;
    }
    return Float32Array.from(data);
  };
  return { whole: sum(0), without: sum };
}
const worst = (a: Float32Array, b: Float32Array) =>
  a.reduce((max, x, i) => Math.max(max, Math.abs(x - b[i]!)), 0);

describe("the largest singular values", () => {
  const slow = Array.from({ length: 90 }, (_, i) => 2 * 0.97 ** i);
  it.each([
    [90, 120, slow, 4],
    [120, 90, slow, 16],
    [90, 90, slow, 90],
    [5, 3, [3, 2, 1], 2],
    [4, 4, [1], 3],
    [3, 40, [2, 1, 0.5], 8],
  ])("of a matrix [%i, %i] are taken out, rank %4$i", (rows, columns, values, rank) => {
    const { whole, without } = known(rows, columns, values);
    subtractPrincipal({ rows, columns, data: whole }, rank);
    expect(worst(whole, without(rank))).toBeLessThan(1e-6);
  });

  it("a matrix of zeros stays one", () => {
    const data = new Float32Array(12);
    subtractPrincipal({ rows: 3, columns: 4, data }, 2);
    expect([...data]).toEqual(Array(12).fill(0));
  });
});

it("the span of the leading columns is taken out", () => {
  // Worked out by hand: the first column is (3, 4), so the projection keeps (0.6, 0.8) · x for each column x.
  const data = Float32Array.of(3, 5, 4, 10);
  subtractLeading({ rows: 2, columns: 2, data }, 1, 0.5);
  // Column 2: 0.6 · 5 + 0.8 · 10 = 11, half of (6.6, 8.8) goes.
  [1.5, 5 - 3.3, 2, 10 - 4.4].forEach((value, i) => {
    expect(data[i]).toBeCloseTo(value, 6);
  });
});
