/** Shapes with symbols, paths, printing, differentiation, lowering and counting. */
import { describe, expect, it } from "vitest";
import { countFlops, estimateMemory, estimateSeconds, neededNodes } from "../../src/graph/analyse.ts";
import { grad } from "../../src/graph/grad.ts";
import { lower } from "../../src/graph/lower.ts";
import {
  add,
  concat,
  constant,
  detach,
  exp,
  gather,
  input,
  linear,
  log,
  matmul,
  max,
  mean,
  mul,
  relu,
  reshape,
  rmsNorm,
  slice,
  split,
  sum,
} from "../../src/graph/ops.ts";
import { printGraph } from "../../src/graph/print.ts";
import {
  bindDim,
  bindShape,
  broadcastShapes,
  type Dim,
  Graph,
  GraphError,
  partDim,
  product,
  SymbolicDim,
  sameShape,
  sumDims,
  type Tensor,
} from "../../src/graph/tensor.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { f32, host, RuntimeError } from "../../src/runtime/session.ts";

describe("sizes", () => {
  const next = sumDims(["past", 1]);
  const tokens = product(["batch", "seq"]);

  it.each<[Dim, string | number]>([
    [product([]), 1],
    [product([2, 3, 4]), 24],
    [product(["seq", "batch"]), "batch*seq"],
    [product(["batch", 4, "seq", 2]), "8*batch*seq"],
    [product([product([2, "batch"]), product([3, "seq"])]), "6*batch*seq"],
    [product(["batch", 0]), 0],
    [product(["batch", 1]), "batch"],
    [product([next, 2]), "2*(past+1)"],
    [product([sumDims([tokens, 1]), "batch"]), "(batch*seq+1)*batch"],
    [sumDims([]), 0],
    [sumDims([2, 3]), 5],
    [sumDims(["past", 0]), "past"],
    [sumDims([1, next, "batch"]), "(batch+past+2)"],
    [sumDims(["a", "a", product([3, "a"])]), "5*a"],
    [sumDims([product(["seq", 2, "batch"]), tokens]), "3*batch*seq"],
    [partDim(3, 8, tokens), "part(3,8,batch*seq)"],
    [partDim(0, 1, tokens), "batch*seq"],
  ])("%s", (dim, expected) => {
    expect(typeof dim === "number" ? dim : String(dim)).toBe(expected);
    expect(typeof dim === "object").toBe(/[*+(]/.test(String(expected)));
  });

  it("that are equal are the same, however they were made", () => {
    expect(sumDims(["a", "b"])).toBe(sumDims(["b", "a"]));
    expect(sumDims([1, sumDims(["a", product(["c", "b"])])])).toBe(sumDims([product(["b", "c"]), 1, "a"]));
    expect(product(["a", sumDims(["b", 1])])).toBe(product([sumDims([1, "b"]), "a"]));
    expect(sameShape([tokens, 2], [product(["seq", "batch"]), 2])).toBe(true);
    expect(sumDims(["a", "b"])).not.toBe(product(["a", "b"]));
    for (const dim of [tokens, next, partDim(1, 2, tokens), product([2, next])])
      expect(JSON.parse(JSON.stringify({ shape: [dim, 3] }), SymbolicDim.revive).shape).toEqual([
        expect.toSatisfy((found) => found === dim),
        3,
      ]);
  });

  it("are bound to numbers", () => {
    const sizes = { batch: 3, seq: 5, past: 7 };
    expect(bindShape([2, "batch", tokens, product([4, "batch"]), next], sizes)).toEqual([2, 3, 15, 12, 8]);
    expect(bindShape([product([2, next, "seq"]), sumDims(["past", "batch", 1])], sizes)).toEqual([80, 11]);
    expect(bindShape([product([sumDims([tokens, 1]), "batch"]), partDim(3, 4, tokens)], sizes)).toEqual([
      48, 3.75,
    ]);
    expect(() => bindDim(product(["batch", "heads"]), sizes)).toThrow(
      'size "heads" has no value; give it one, e.g. { heads: 8 }',
    );
  });

  it("broadcast as in NumPy", () => {
    expect(broadcastShapes(["batch", 1, 3], [4, 1])).toEqual(["batch", 4, 3]);
    expect(broadcastShapes([2, 0], [1, 1])).toEqual([2, 0]);
    expect(() => broadcastShapes([2, 3], [2, 4])).toThrow(/axis 1 has 3 and 4/);
    expect(() => broadcastShapes(["batch"], ["seq"])).toThrow(/batch and seq/);
  });
});

describe("errors name the line of the model", () => {
  const graph = new Graph();
  const x = input(graph, "x", "f32", ["batch", 4]);
  const message = (make: () => unknown): string => {
    try {
      graph.scope("layers.3", () => graph.scope("attn.q", make));
    } catch (error) {
      expect(error).toBeInstanceOf(GraphError);
      return (error as Error).message;
    }
    return "nothing was thrown";
  };

  it("for broadcasting, products, reshapes and types", () => {
    expect(message(() => add(x, input(graph, "y", "f32", [3])))).toBe(
      "layers.3.attn.q: add: shapes [batch,4] and [3] do not broadcast: axis 1 has 4 and 3",
    );
    expect(message(() => matmul(x, input(graph, "w", "f32", [3, 4])))).toBe(
      "layers.3.attn.q: matmul: inner sizes of [batch,4] and [3,4] differ: 4 and 3",
    );
    expect(message(() => reshape(x, [4, 4]))).toBe(
      "layers.3.attn.q: reshape: [batch,4] does not have the size of [4,4]",
    );
    expect(message(() => add(x, input(graph, "ids", "i32", [4])))).toBe(
      "layers.3.attn.q: add: operands are f32 and i32",
    );
    expect(message(() => sum(x, [2]))).toMatch(/axis 2 of a tensor with 2 axes/);
    expect(message(() => split(x, 1, [1, 2]))).toMatch(/sizes 1,2 do not add up/);
    expect(message(() => slice(x, 0, 0, 1))).toMatch(/no fixed size/);
    expect(message(() => add(x, constant(new Graph(), 1)))).toMatch(
      /add at "layers.3.attn.q": an operand belongs to another graph/,
    );
  });

  it("a path ends where its scope does, also after an error", () => {
    expect(graph.currentPath()).toBe("");
  });

  it("inputs and outputs have one meaning each", () => {
    expect(() => input(graph, "x", "f32", [1])).toThrow('input "x" is defined twice');
    expect(() => input(graph, "wide", "f32", ["2*batch"])).toThrow('"2*batch" of input "wide" is no symbol');
    graph.output("out", x);
    expect(() => graph.output("out", x)).toThrow('output "out" is defined twice');
    expect(() => constant(graph, [1, 2], [3])).toThrow("a constant of shape [3] needs 3 values, got 2");
  });
});

describe("grad", () => {
  const run = async (graph: Graph, feeds: Record<string, number[]>): Promise<Record<string, number[]>> => {
    const session = await new Engine({ threads: 1 }).session(graph, "test");
    const values = Object.fromEntries(Object.entries(feeds).map(([name, data]) => [name, f32(data)]));
    const result = await session.run(values);
    await session.release();
    return Object.fromEntries(
      Object.entries(result).map(([name, value]) => [name, Array.from(host(value).data as Float32Array)]),
    );
  };

  it("adds up fan-out, sums over broadcast axes and stops at detach: by hand", async () => {
    const graph = new Graph();
    const [x, y] = [input(graph, "x", "f32", [2]), input(graph, "y", "f32", [1])];
    // loss = sum(x² + x y + x · sg[x]); d/dx = 2x + y + x, d/dy = sum x.
    const loss = sum(add(add(mul(x, x), mul(x, y)), mul(x, detach(x))));
    grad(loss, [x, y]).forEach((g, i) => {
      graph.output(["dx", "dy"][i], g);
    });
    expect(await run(graph, { x: [1, 3], y: [10] })).toEqual({ dx: [13, 19], dy: [4] });
  });

  it("of a maximum goes to the largest elements, evenly where several are equal", async () => {
    const graph = new Graph();
    const x = input(graph, "x", "f32", [6]);
    const rows = reshape(x, [2, 3]);
    graph.output("dx", grad(sum(mul(max(rows, [1]), constant(graph, [10, 20], [2]))), [x])[0]);
    graph.output("dAll", grad(max(rows), [x])[0]);
    expect(await run(graph, { x: [1, 3, 3, -2, -5, -7] })).toEqual({
      dx: [0, 5, 5, 20, 0, 0],
      dAll: [0, 0.5, 0.5, 0, 0, 0],
    });
  });

  it("refuses what has no gradient, by name", () => {
    const graph = new Graph();
    const [x, other] = [input(graph, "x", "f32", [2]), input(graph, "other", "f32", [2])];
    expect(() => grad(mul(x, x), [x])).toThrow("the loss must be a scalar, not [2]");
    expect(() => grad(sum(x), [x, other])).toThrow('the loss does not depend on "other"');
  });

  it("flows through an inner value as well as to it", async () => {
    const graph = new Graph();
    const x = input(graph, "x", "f32", [2]);
    const inner = mul(x, 3);
    // loss = sum((3x)²): d/dx = 18 x, d/d(3x) = 6x.
    grad(sum(mul(inner, inner)), [x, inner]).forEach((g, i) => {
      graph.output(["dx", "dInner"][i], g);
    });
    expect(await run(graph, { x: [1, 2] })).toEqual({ dx: [18, 36], dInner: [6, 12] });
  });
});

describe("a printed graph", () => {
  it("RMSNorm and a linear layer, with their gradients", () => {
    const graph = new Graph();
    const x = input(graph, "x", "f32", ["batch", 4]);
    const [norm, weight] = [input(graph, "norm", "f32", [4]), input(graph, "weight", "f32", [3, 4])];
    const y = graph.scope("layer", () => linear(rmsNorm(x, norm, 1e-6), weight));
    const loss = graph.scope("loss", () => sum(mul(y, y)));
    graph.output("loss", loss);
    grad(loss, [norm, weight]).forEach((g, i) => {
      graph.output(["norm.grad", "weight.grad"][i], g);
    });
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "input x: f32[batch,4]
      input norm: f32[4]
      input weight: f32[3,4]
      %0 f32[batch,4] = mul(x, x) @ layer.rmsNorm
      %1 f32[batch,1] = mean(%0) {axes: 1, keepDims} @ layer.rmsNorm
      %2 f32[batch,1] = add(%1, 0.000001) @ layer.rmsNorm
      %3 f32[batch,1] = sqrt(%2) @ layer.rmsNorm
      %4 f32[batch,1] = reciprocal(%3) @ layer.rmsNorm
      %5 f32[batch,4] = mul(x, %4) @ layer.rmsNorm
      %6 f32[batch,4] = mul(%5, norm) @ layer.rmsNorm
      %7 f32[batch,3] = matmul(%6, weight) {transB} @ layer
      %8 f32[batch,3] = mul(%7, %7) @ loss
      %9 f32[] = sum(%8) {axes: 0,1} @ loss
      %10 f32[1,1] = reshape(1) {shape: 1,1} @ loss.grad
      %11 f32[batch,3] = expand(%10, %8) {batch,3} @ loss.grad
      %12 f32[batch,3] = mul(%11, %7) @ loss.grad
      %13 f32[batch,3] = mul(%11, %7) @ loss.grad
      %14 f32[batch,3] = add(%12, %13) @ loss.grad
      %15 f32[batch,4] = matmul(%14, weight) @ layer.grad
      %16 f32[3,4] = matmul(%14, %6) {transA} @ layer.grad
      %17 f32[batch,4] = mul(x, %4) @ layer.grad
      %18 f32[batch,4] = mul(%15, %17) @ layer.grad
      %19 f32[1,4] = sum(%18) {axes: 0, keepDims} @ layer.grad
      %20 f32[4] = reshape(%19) {shape: 4} @ layer.grad
      output loss = %9
      output norm.grad = %20
      output weight.grad = %16"
    `);
  });

  it("shows every attribute but a factor of 1", () => {
    const graph = new Graph();
    const x = input(graph, "x", "f32", [2, 5]);
    const [left, right] = split(x, 1, [1, 4]);
    graph.output(
      "y",
      matmul(slice(right, 1, 1, 4), concat([left, left, left], 1), { transA: true, alpha: 0.5 }),
    );
    graph.output("z", matmul(left, right, { transA: true }));
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "input x: f32[2,5]
      %0 f32[2,1], %1 f32[2,4] = split(x) {axis: 1, sizes: 1,4}
      %2 f32[2,3] = slice(%1) {axis: 1, start: 1, end: 4}
      %3 f32[2,3] = concat(%0, %0, %0) {1}
      %4 f32[3,3] = matmul(%2, %3) {transA, alpha: 0.5}
      %5 f32[1,4] = matmul(%0, %1) {transA}
      output y = %4
      output z = %5"
    `);
  });
});

describe("lowering", () => {
  it("shares equal constants, drops what no output needs, and gives each output its own name", async () => {
    const graph = new Graph();
    const x = input(graph, "x", "f32", [2]);
    const y = graph.scope("line", () => add(mul(x, 2), 2));
    exp(y);
    graph.output("first", y);
    graph.output("second", y);
    graph.output("same", x);
    graph.output("two", constant(graph, [7, 8], [2]));
    const { model } = lower(graph);
    expect(model.nodes.map((n) => `${n.opType} ${n.name}`)).toEqual([
      "Mul line.Mul#0",
      "Add line.Add#1",
      "Identity second.copy",
      "Identity same.copy",
      "Identity two.copy",
    ]);
    expect(model.constants.length).toBe(2);
    const session = await new Engine({ threads: 1 }).session(graph, "test");
    const result = await session.run({ x: f32([1, 2]) });
    expect(
      Object.entries(result).map(([name, value]) => [name, Array.from(host(value).data as Float32Array)]),
    ).toEqual([
      ["first", [4, 6]],
      ["second", [4, 6]],
      ["same", [1, 2]],
      ["two", [7, 8]],
    ]);
    await session.release();
  });

  it("reshapes symbolic sizes, also where only another tensor tells them", async () => {
    const graph = new Graph();
    const [x, like] = [
      input(graph, "x", "f32", [product(["batch", "seq"]), 2]),
      input(graph, "like", "f32", ["batch", "seq"]),
    ];
    graph.output(
      "out",
      reshape(x, ["batch", "seq", 2], add(reshape(like, ["batch", "seq", 1]), constant(graph, [0, 0], [2]))),
    );
    graph.output("sizes", reshape(x, [2, "seq", "batch"], like));
    const session = await new Engine({ threads: 1 }).session(graph, "test");
    const result = await session.run({
      x: f32([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [6, 2]),
      like: f32([0, 0, 0, 0, 0, 0], [2, 3]),
    });
    expect(result.out.shape).toEqual([2, 3, 2]);
    expect(result.sizes.shape).toEqual([2, 3, 2]);
    await session.release();
    const ambiguous = new Graph();
    const flat = input(ambiguous, "x", "f32", [product(["batch", "seq"])]);
    ambiguous.output("out", reshape(flat, ["batch", "seq"]));
    expect(() => lower(ambiguous)).toThrow(/ambiguous; give a tensor of the wanted shape/);
    const other = new Graph();
    const [x1, like1] = [
      input(other, "x", "f32", [product(["batch", "seq"])]),
      input(other, "like", "f32", ["batch"]),
    ];
    other.output("out", reshape(x1, ["batch", "seq"], like1));
    expect(() => lower(other)).toThrow(/no size of \[batch\] is "seq"/);
  });
});

describe("a session", () => {
  const graph = new Graph();
  graph.output("out", mul(input(graph, "x", "f32", ["batch", 2]), 2));

  it("writes into the arrays it is given, and says which input is missing or has another shape", async () => {
    const session = await new Engine({ threads: 1 }).session(graph, "test");
    const { out } = session.allocateOutputs(["out"], { batch: 2 });
    expect(out.shape).toEqual([2, 2]);
    const result = await session.run({ x: f32([1, 2, 3, 4], [2, 2]) }, { out });
    expect(result.out).toBe(out);
    expect(Array.from(host(out).data as Float32Array)).toEqual([2, 4, 6, 8]);
    await expect(session.run({})).rejects.toThrow(new RuntimeError('input "x" (f32 [batch,2]) was not fed'));
    await expect(session.run({ x: f32([1, 2, 3]) })).rejects.toThrow(
      'input "x" is f32 [3], expected f32 [batch,2]',
    );
    await session.release();
  });
});

describe("counting", () => {
  it("FLOPs by hand", () => {
    const graph = new Graph();
    const x = input(graph, "x", "f32", ["batch", 4]);
    const y = graph.scope("layer", () => relu(linear(x, input(graph, "w", "f32", [3, 4]))));
    graph.output(
      "loss",
      graph.scope("loss", () => mean(mul(y, 2))),
    );
    const { total, byPath } = countFlops(graph, { batch: 5 });
    // 2 · 5 · 4 · 3 and one a ReLU; then a product and a sum an element.
    expect(Object.fromEntries(byPath)).toMatchObject({ layer: 120 + 15, loss: 30 });
    expect(total).toBe(165);
    expect(() => countFlops(graph)).toThrow(/size "batch" has no value/);
  });

  it("memory: values live until their last reader", () => {
    const graph = new Graph();
    const x = input(graph, "x", "f32", [100]);
    // Two values of 400 bytes at a time, whatever the length of the chain.
    let y: Tensor = exp(x);
    for (let i = 0; i < 5; i++) y = log(exp(y));
    graph.output("out", sum(y));
    expect(estimateMemory(graph)).toEqual({ persistent: 404, peakIntermediate: 800 });
    expect(neededNodes(graph).length).toBe(13);
  });

  it("time: of each kernel the longer of arithmetic and memory, fused ones whole, views none", () => {
    const graph = new Graph();
    const x = input(graph, "x", "f32", ["rows", 10]);
    const product = matmul(x, input(graph, "w", "f32", [10, 20]));
    const normed = rmsNorm(reshape(product, [2, "rows", 10]), input(graph, "g", "f32", [10]), 1e-6);
    graph.output("out", add(normed, normed));
    const rows = 30;
    // 3 inputs, an output and 3 kernels: the product, the norm with its second output, the sum that reads once.
    const small = 7 / 1e3;
    const norm = 4 * (rows * 20 + 10 + rows * 20 + 2 * rows);
    const sum = 4 * (rows * 20 + rows * 20);
    const slowProducts = { flops: 1e4, bytes: 1e6, nodes: 1e3 };
    const arithmetic = (2 * rows * 10 * 20 + rows * 20) / 1e4;
    expect(estimateSeconds(graph, slowProducts, { rows })).toBeCloseTo(arithmetic + norm / 1e6 + small, 9);
    const slowMemory = { flops: 1e12, bytes: 1e6, nodes: 1e3 };
    const ofProduct = 4 * (rows * 10 + 10 * 20 + rows * 20);
    expect(estimateSeconds(graph, slowMemory, { rows })).toBeCloseTo(
      (ofProduct + norm + sum) / 1e6 + small,
      9,
    );
  });

  it("time: a lookup reads what it returns, not the table", () => {
    const graph = new Graph();
    const table = input(graph, "table", "f32", [100000, 8]);
    graph.output("out", gather(table, input(graph, "ids", "i32", [5])));
    const speeds = { flops: 1, bytes: 1, nodes: Number.POSITIVE_INFINITY };
    expect(estimateSeconds(graph, speeds)).toBe(4 * 5 + 2 * 4 * 5 * 8);
  });
});
