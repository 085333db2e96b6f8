/** Element types and shapes, whose sizes may be known only when a graph runs. */

/** The type of an element, as ONNX knows it. */
export type DType = "f32" | "f16" | "bf16" | "i32" | "i64" | "u8" | "bool";

/** Bytes of one element. */
export const DTYPE_BYTES: Record<DType, number> = { f32: 4, f16: 2, bf16: 2, i32: 4, i64: 8, u8: 1, bool: 1 };

/**
 * Operands that an op cannot take, or a graph that is put together wrongly: a fault of the program that traces it.
 */
export class GraphError extends Error {
  override name = "GraphError";
}

/** A size: a number, a symbol by its name such as "batch", or what is computed from them. Equal sizes are `===`. */
export type Dim = number | string | SymbolicDim;
/** The sizes of a tensor, the outermost first; [] is a scalar. */
export type Shape = readonly Dim[];

/** A computed size, in canonical form: `product`, `sumDims` and `partDim` give the same object for equal sizes. */
export class SymbolicDim {
  private static readonly known = new Map<string, SymbolicDim>();
  readonly kind: "product" | "sum" | "part";
  /** Of a product: its number, if that is not 1, and factors; of a sum: its terms; of a part: see `partDim`. */
  readonly operands: readonly Dim[];
  private readonly text: string;

  private constructor(kind: SymbolicDim["kind"], operands: readonly Dim[], text: string) {
    this.kind = kind;
    this.operands = operands;
    this.text = text;
  }

  /** The one object for these operands, which are in canonical order. */
  static of(kind: SymbolicDim["kind"], operands: readonly Dim[]): SymbolicDim {
    const text = {
      product: () => operands.join("*"),
      sum: () => `(${operands.join("+")})`,
      part: () => `part(${operands.join(",")})`,
    }[kind]();
    const dim = SymbolicDim.known.get(text) ?? new SymbolicDim(kind, operands, text);
    SymbolicDim.known.set(text, dim);
    return dim;
  }

  /** A size that was written as JSON. */
  static revive(this: void, _key: string, value: unknown): unknown {
    if (typeof value !== "object" || value === null || !("kind" in value && "operands" in value))
      return value;
    const { kind, operands } = value as Pick<SymbolicDim, "kind" | "operands">;
    return SymbolicDim.of(kind, operands);
  }

  /** What `revive` reads. */
  toJSON(): Pick<SymbolicDim, "kind" | "operands"> {
    return { kind: this.kind, operands: this.operands };
  }

  /** Such as "2*batch" or "(seq+1)". */
  toString(): string {
    return this.text;
  }
}

const operandsOf = (dim: Dim, kind: SymbolicDim["kind"]): readonly Dim[] =>
  dim instanceof SymbolicDim && dim.kind === kind ? dim.operands : [dim];

const inOrder = (dims: Iterable<Dim>): Dim[] => [...dims].sort((a, b) => (String(a) < String(b) ? -1 : 1));

/** The product of sizes. */
export function product(dims: Shape): Dim {
  let number = 1;
  const factors: Dim[] = [];
  for (const factor of dims.flatMap((dim) => operandsOf(dim, "product")))
    if (typeof factor === "number") number *= factor;
    else factors.push(factor);
  if (factors.length === 0 || number === 0) return number;
  if (factors.length === 1 && number === 1) return factors[0];
  return SymbolicDim.of("product", [...(number === 1 ? [] : [number]), ...inOrder(factors)]);
}

/** The sum of sizes; terms that differ in their number only are added up. */
export function sumDims(dims: Shape): Dim {
  let number = 0;
  const counts = new Map<Dim, number>();
  for (const term of dims.flatMap((dim) => operandsOf(dim, "sum"))) {
    if (typeof term === "number") {
      number += term;
      continue;
    }
    const factors = operandsOf(term, "product");
    const [count, rest] =
      typeof factors[0] === "number" ? [factors[0], product(factors.slice(1))] : [1, term];
    counts.set(rest, (counts.get(rest) ?? 0) + count);
  }
  const terms: Dim[] = inOrder([...counts].map(([term, count]) => product([count, term])));
  if (number !== 0 || terms.length === 0) terms.push(number);
  return terms.length === 1 ? terms[0] : SymbolicDim.of("sum", terms);
}

/**
 * The size of one of `parts` parts of `total` rows that only a run decides. Where a number is needed (FLOPs, memory) it
 * is the expected one, total / parts; what is linear in the rows adds up exactly over the parts.
 */
export function partDim(part: number, parts: number, total: Dim): Dim {
  return parts === 1 ? total : SymbolicDim.of("part", [part, parts, total]);
}

/** A size as a number, once its symbols have values. @throws GraphError naming a symbol without one */
export function bindDim(dim: Dim, sizes: Record<string, number>): number {
  if (typeof dim === "number") return dim;
  if (typeof dim === "string") {
    if (dim in sizes) return sizes[dim];
    throw new GraphError(`size "${dim}" has no value; give it one, e.g. { ${dim}: 8 }`);
  }
  const operands = dim.operands.map((operand) => bindDim(operand, sizes));
  if (dim.kind === "part") return operands[2] / operands[1];
  return operands.reduce((a, b) => (dim.kind === "sum" ? a + b : a * b));
}

export function bindShape(shape: Shape, sizes: Record<string, number>): number[] {
  return shape.map((dim) => bindDim(dim, sizes));
}

/** The number of elements of a shape of numbers. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((total, dim) => total * dim, 1);

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/** NumPy's broadcasting of two shapes. @throws GraphError where two sizes differ and neither is 1 */
export function broadcastShapes(a: Shape, b: Shape): Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const left = a[a.length - rank + i] ?? 1;
    const right = b[b.length - rank + i] ?? 1;
    if (left === right || right === 1) return left;
    if (left === 1) return right;
    throw new GraphError(`shapes [${a}] and [${b}] do not broadcast: axis ${i} has ${left} and ${right}`);
  });
}
