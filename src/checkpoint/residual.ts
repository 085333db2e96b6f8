/**
 * What PiSSA (arXiv 2404.02948) and OLoRA (arXiv 2406.01775) subtract from a weight before the training, so that the
 * adapter can start with it. The weight determines it: PEFT computes it again when it loads an adapter.
 */

/** A matrix, row-major. */
interface Matrix {
  rows: number;
  columns: number;
  data: Float32Array;
}

const TINY = 1e-14;

/**
 * Subtracts the `rank` largest singular values with their vectors from the weight, in place. Golub-Kahan-Lanczos with full
 * reorthogonalisation (Golub & Van Loan, section 10.4) in f64: two products with the weight for each step.
 */
export function subtractPrincipal(weight: Matrix, rank: number): void {
  const { rows, columns } = weight;
  const wide = columns > rows;
  const [short, long] = wide ? [rows, columns] : [columns, rows];
  const toLong = wide ? timesTransposed : times;
  const toShort = wide ? times : timesTransposed;
  const size = Math.min(rank, short);
  // Orthonormal vectors of the short side (v) and of the long side (u).
  const vs: Float64Array[] = [];
  const us: Float64Array[] = [];
  const alphas: number[] = [];
  const betas: number[] = [];
  let v = pseudoRandomUnit(short);
  let top: Triplets = { values: [], left: [], right: [], residual: Number.POSITIVE_INFINITY };
  for (let step = 1; step <= short; step++) {
    vs.push(v);
    // Below the first threshold the weight has no further rank in this direction.
    const [u, alpha] = nextDirection(toLong(weight, v), us, TINY * (alphas[0] ?? 1));
    us.push(u);
    alphas.push(alpha);
    const [next, beta] = nextDirection(toShort(weight, u), vs, step < short ? TINY * alphas[0]! : 0);
    v = next;
    betas.push(beta);
    const last = step === short;
    if (!last && (step < size + 8 || (step - size) % Math.max(8, size >> 1) !== 0)) continue;
    top = bidiagonalSvd(alphas, last ? [...betas.slice(0, -1), 0] : betas, size);
    if (last || top.residual <= 1e-11 * top.values[0]!) break;
  }
  const right = top.right.map((weights) => combine(vs, weights, short));
  const left = top.left.map((weights) => combine(us, weights, long));
  const [perRow, perColumn] = wide ? [right, left] : [left, right];
  for (const [k, column] of perRow.entries()) scale(column, top.values[k]!);
  subtractProduct(weight, perRow, perColumn, 1);
}

/**
 * Subtracts `factor` times the projection onto the span of the first `rank` columns from the weight, in place: Q R of its
 * QR decomposition.
 */
export function subtractLeading(weight: Matrix, rank: number, factor: number): void {
  const { rows, columns, data } = weight;
  const basis: Float64Array[] = [];
  for (let k = 0; k < Math.min(rank, rows, columns); k++) {
    const column = Float64Array.from({ length: rows }, (_, i) => data[i * columns + k]!);
    orthogonalise(column, basis);
    const length = norm(column);
    if (length > 0) scale(column, 1 / length);
    basis.push(column);
  }
  const parts = basis.map((q) => timesTransposed(weight, q));
  subtractProduct(weight, basis, parts, factor);
}

/** weight -= factor · sum over k of perRow[k] perColumn[k]^T, each element summed in f64. */
function subtractProduct(
  { rows, columns, data }: Matrix,
  perRow: readonly Float64Array[],
  perColumn: readonly Float64Array[],
  factor: number,
): void {
  const row = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    row.fill(0);
    for (const [k, other] of perColumn.entries()) add(row, factor * perRow[k]![i]!, other);
    for (let j = 0; j < columns; j++) data[i * columns + j]! -= row[j]!;
  }
}

interface Triplets {
  values: number[];
  left: Float64Array[];
  right: Float64Array[];
  /** The largest distance of a triplet from an exact one. */
  residual: number;
}

/** The `count` largest singular triplets of an upper bidiagonal matrix [alpha_i, beta_i], by one-sided Jacobi rotations. */
function bidiagonalSvd(alphas: readonly number[], betas: readonly number[], count: number): Triplets {
  const n = alphas.length;
  // Columns of B V: the rotations make them orthogonal, and V accumulates the rotations.
  const b = Array.from({ length: n }, (_, j) => {
    const column = new Float64Array(n);
    column[j] = alphas[j]!;
    if (j > 0) column[j - 1] = betas[j - 1]!;
    return column;
  });
  const v = Array.from({ length: n }, (_, j) =>
    Float64Array.from({ length: n }, (_, i) => (i === j ? 1 : 0)),
  );
  for (let sweep = 0; sweep < 60; sweep++) {
    let turned = false;
    for (let p = 0; p < n - 1; p++)
      for (let q = p + 1; q < n; q++) {
        const [x, y] = [b[p]!, b[q]!];
        const [aa, bb, ab] = [dot(x, x), dot(y, y), dot(x, y)];
        if (Math.abs(ab) <= 1e-15 * Math.sqrt(aa * bb) || ab === 0) continue;
        turned = true;
        const zeta = (bb - aa) / (2 * ab);
        const t = Math.sign(zeta || 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const c = 1 / Math.sqrt(1 + t * t);
        rotate(x, y, c, c * t);
        rotate(v[p]!, v[q]!, c, c * t);
      }
    if (!turned) break;
  }
  const norms = b.map(norm);
  const largest = norms.map((_, i) => i).sort((x, y) => norms[y]! - norms[x]!);
  const chosen = largest.slice(0, count);
  const left = chosen.map((i) => b[i]!.map((x) => (norms[i]! > 0 ? x / norms[i]! : 0)));
  const last = betas[n - 1] ?? 0;
  return {
    values: chosen.map((i) => norms[i]!),
    left,
    right: chosen.map((i) => v[i]!),
    residual: Math.max(...left.map((u) => Math.abs(last * u[n - 1]!))),
  };
}

function rotate(x: Float64Array, y: Float64Array, c: number, s: number): void {
  for (let i = 0; i < x.length; i++) {
    const [p, q] = [x[i]!, y[i]!];
    x[i] = c * p - s * q;
    y[i] = s * p + c * q;
  }
}

function dot(x: Float64Array, y: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}

const norm = (x: Float64Array): number => Math.sqrt(dot(x, x));

function scale(x: Float64Array, factor: number): void {
  for (let i = 0; i < x.length; i++) x[i]! *= factor;
}

/** x += factor · y */
function add(x: Float64Array, factor: number, y: Float64Array): void {
  for (let i = 0; i < x.length; i++) x[i]! += factor * y[i]!;
}

/** Makes `x` orthogonal to the basis, in two passes: one leaves rounding errors. */
function orthogonalise(x: Float64Array, basis: readonly Float64Array[]): void {
  for (let pass = 0; pass < 2; pass++) for (const q of basis) add(x, -dot(x, q), q);
}

/**
 * The part of `x` that is orthogonal to the basis, as a unit vector and its length. If it is not longer than `least`, the
 * length is 0 and the vector any other orthogonal one.
 */
function nextDirection(
  x: Float64Array,
  basis: readonly Float64Array[],
  least: number,
): [Float64Array, number] {
  orthogonalise(x, basis);
  const length = norm(x);
  if (length > least) {
    scale(x, 1 / length);
    return [x, length];
  }
  if (basis.length === x.length) return [x, 0];
  const other = pseudoRandomUnit(x.length, basis.length + 2);
  orthogonalise(other, basis);
  scale(other, 1 / norm(other));
  return [other, 0];
}

/** A unit vector of pseudo-random numbers: the same in every run, so that a merge can be repeated. */
function pseudoRandomUnit(length: number, seed = 1): Float64Array {
  let state = seed >>> 0;
  const x = Float64Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
  scale(x, 1 / norm(x));
  return x;
}

function combine(vectors: readonly Float64Array[], weights: Float64Array, length: number): Float64Array {
  const sum = new Float64Array(length);
  for (const [k, vector] of vectors.entries()) add(sum, weights[k]!, vector);
  return sum;
}

/** W x */
function times({ rows, columns, data }: Matrix, x: Float64Array): Float64Array {
  return Float64Array.from({ length: rows }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < columns; j++) sum += data[i * columns + j]! * x[j]!;
    return sum;
  });
}

/** W^T x */
function timesTransposed({ rows, columns, data }: Matrix, x: Float64Array): Float64Array {
  const result = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    const factor = x[i]!;
    for (let j = 0; j < columns; j++) result[j]! += factor * data[i * columns + j]!;
  }
  return result;
}
