/**
 * What PiSSA (arXiv 2404.02948) and OLoRA (arXiv 2406.01775) take out of a weight before the training, so that the
 * adapter can begin with it. Both are fixed by the weight: PEFT computes them again when it loads an adapter.
 */

/** Rows and columns of a matrix, row-major. */
interface Matrix {
  rows: number;
  columns: number;
  data: Float32Array;
}

/**
 * Takes the `rank` largest singular values and their vectors out of the weight, in place. Golub-Kahan-Lanczos with full
 * reorthogonalisation (Golub & Van Loan, section 10.4) in f64: two products with the weight for each step.
 */
export function subtractPrincipal(weight: Matrix, rank: number): void {
  const { rows, columns } = weight;
  const wide = columns > rows;
  const [short, long] = wide ? [rows, columns] : [columns, rows];
  // Vectors on the short side (v) and on the long side (u).
  const toLong = (x: Float64Array): Float64Array => (wide ? timesTransposed(weight, x) : times(weight, x));
  const toShort = (x: Float64Array): Float64Array => (wide ? times(weight, x) : timesTransposed(weight, x));
  const size = Math.min(rank, short);
  const vs: Float64Array[] = [];
  const us: Float64Array[] = [];
  let v = start(short);
  let top: Triplets = { values: [], left: [], right: [], remainder: Number.POSITIVE_INFINITY };
  const alphas: number[] = [];
  const betas: number[] = [];
  for (let step = 0; step < short; step++) {
    vs.push(v);
    let u = toLong(v);
    orthogonalise(u, us);
    let alpha = norm(u);
    if (alpha <= TINY * (alphas[0] ?? 1)) {
      // The weight has no further rank in this direction.
      alpha = 0;
      u = fresh(long, us);
    } else scale(u, 1 / alpha);
    us.push(u);
    alphas.push(alpha);
    const next = toShort(u);
    orthogonalise(next, vs);
    let beta = norm(next);
    if (vs.length < short && beta <= TINY * alphas[0]!) {
      beta = 0;
      v = fresh(short, vs);
    } else {
      if (beta > 0) scale(next, 1 / beta);
      v = next;
    }
    betas.push(beta);
    const last = step + 1 === short;
    if (!last && (step + 1 < size + 8 || (step + 1 - size) % Math.max(8, size >> 1) !== 0)) continue;
    top = bidiagonal(alphas, last ? [...betas.slice(0, -1), 0] : betas, size);
    if (last || top.remainder <= 1e-11 * top.values[0]!) break;
  }
  const right = top.right.map((weights) => combine(vs, weights, short));
  const left = top.left.map((weights) => combine(us, weights, long));
  const [perRow, perColumn] = wide ? [right, left] : [left, right];
  for (const [k, column] of perRow.entries()) scale(column, top.values[k]!);
  subtractProduct(weight, perRow, perColumn, 1);
}

/** Takes `amount` of the projection onto the span of the first `rank` columns out of the weight: Q R of its QR form. */
export function subtractLeading({ rows, columns, data }: Matrix, rank: number, amount: number): void {
  const basis: Float64Array[] = [];
  for (let k = 0; k < Math.min(rank, rows, columns); k++) {
    const column = Float64Array.from({ length: rows }, (_, i) => data[i * columns + k]!);
    orthogonalise(column, basis);
    const length = norm(column);
    if (length > 0) scale(column, 1 / length);
    basis.push(column);
  }
  const parts = basis.map((q) => timesTransposed({ rows, columns, data }, q));
  subtractProduct({ rows, columns, data }, basis, parts, amount);
}

/** weight -= amount · sum of perRow[k] perColumn[k]^T, each element summed in f64. */
function subtractProduct(
  { rows, columns, data }: Matrix,
  perRow: readonly Float64Array[],
  perColumn: readonly Float64Array[],
  amount: number,
): void {
  const row = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    row.fill(0);
    for (const [k, other] of perColumn.entries()) {
      const factor = amount * perRow[k]![i]!;
      for (let j = 0; j < columns; j++) row[j]! += factor * other[j]!;
    }
    for (let j = 0; j < columns; j++) data[i * columns + j]! -= row[j]!;
  }
}

const TINY = 1e-14;

interface Triplets {
  values: number[];
  left: Float64Array[];
  right: Float64Array[];
  /** The largest distance of a triplet from an exact one. */
  remainder: number;
}

/** The largest singular triplets of the upper bidiagonal matrix [alpha_i, beta_i], by one-sided Jacobi rotations. */
function bidiagonal(alphas: readonly number[], betas: readonly number[], count: number): Triplets {
  const n = alphas.length;
  // Columns of B V: they become orthogonal, and V gathers the rotations.
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
  const order = b.map((column, i) => ({ value: norm(column), i })).sort((x, y) => y.value - x.value);
  const chosen = order.slice(0, count);
  const left = chosen.map(({ value, i }) => b[i]!.map((x) => (value > 0 ? x / value : 0)));
  const last = betas[n - 1] ?? 0;
  return {
    values: chosen.map(({ value }) => value),
    left,
    right: chosen.map(({ i }) => v[i]!),
    remainder: Math.max(...left.map((u) => Math.abs(last * u[n - 1]!))),
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

/** Takes the directions of `basis` out of `x`, twice: once leaves rounding errors. */
function orthogonalise(x: Float64Array, basis: readonly Float64Array[]): void {
  for (let pass = 0; pass < 2; pass++)
    for (const q of basis) {
      const part = dot(x, q);
      for (let i = 0; i < x.length; i++) x[i]! -= part * q[i]!;
    }
}

/** A first direction: fixed numbers without a pattern, so that a merge can be repeated. */
function start(length: number, seed = 1): Float64Array {
  let state = seed >>> 0;
  const x = Float64Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
  scale(x, 1 / norm(x));
  return x;
}

/** A unit vector at right angles to the others. */
function fresh(length: number, basis: readonly Float64Array[]): Float64Array {
  const x = start(length, basis.length + 2);
  orthogonalise(x, basis);
  scale(x, 1 / norm(x));
  return x;
}

function combine(vectors: readonly Float64Array[], weights: Float64Array, length: number): Float64Array {
  const sum = new Float64Array(length);
  for (const [k, vector] of vectors.entries())
    for (let i = 0; i < length; i++) sum[i]! += weights[k]! * vector[i]!;
  return sum;
}

/** W x. */
function times({ rows, columns, data }: Matrix, x: Float64Array): Float64Array {
  const result = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    let sum = 0;
    for (let j = 0; j < columns; j++) sum += data[i * columns + j]! * x[j]!;
    result[i] = sum;
  }
  return result;
}

/** W^T x. */
function timesTransposed({ rows, columns, data }: Matrix, x: Float64Array): Float64Array {
  const result = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    const factor = x[i]!;
    for (let j = 0; j < columns; j++) result[j]! += factor * data[i * columns + j]!;
  }
  return result;
}
