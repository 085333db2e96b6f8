/** An op of one's own: softplus, one node of ONNX, with its gradient; its sample inputs are what the tests run. */
import {
  defineOp,
  Engine,
  f32,
  Graph,
  grad,
  input,
  likeFirst,
  mul,
  onnx,
  operands,
  perElement,
  read,
  sigmoid,
  sum,
  type Tensor,
} from "sputnik-r1/graph";

const softplusOp = defineOp({
  name: "softplus",
  shape: likeFirst,
  lower: onnx("Softplus"),
  grad: (g, { inputs: [x] }) => [mul(g, sigmoid(x))],
  flops: perElement(3),
  samples: [{ inputs: operands([2, 3]), build: (x) => softplus(x) }],
});

/** log(1 + e^x) */
const softplus = (x: Tensor): Tensor => softplusOp([x], null);

const graph = new Graph();
const x = input(graph, "x", "f32", ["n"]);
const y = softplus(x);
graph.output("y", y);
graph.output("slope", grad(sum(y), [x])[0]);

const session = await new Engine().session(graph, "softplus");
const outputs = await session.run({ x: f32([-2, 0, 3]) });
for (const [name, value] of Object.entries(outputs)) console.log(name, [...(await read(value, "f32"))]);
