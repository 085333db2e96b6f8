/**
 * `sputnik-r1/graph`: symbolic tensors and ops, automatic differentiation, optimizers as graphs, ONNX, and the engine that
 * runs a graph on values in memory.
 * @module sputnik-r1/graph
 */
export { countFlops, estimateMemory, estimateSeconds, type Speeds } from "../graph/analyse.ts";
export type { Emitter } from "../graph/emitter.ts";
export { grad, gradients } from "../graph/grad.ts";
export { type Forms, type LoweredGraph, type LowerOptions, lower } from "../graph/lower.ts";
export {
  type Apply,
  defineComposite,
  defineOp,
  free,
  likeFirst,
  onnx,
  perElement,
  perInput,
} from "../graph/op.ts";
export {
  abs,
  add,
  and,
  argmax,
  attention,
  cast,
  clip,
  column,
  concat,
  constant,
  detach,
  div,
  embedding,
  entropy,
  equal,
  exp,
  expandLike,
  gather,
  gatherRows,
  greater,
  greaterEqual,
  input,
  less,
  lessEqual,
  linear,
  log,
  logSoftmax,
  MASKED,
  matmul,
  max,
  maximum,
  mean,
  minimum,
  mul,
  neg,
  not,
  oneHot,
  or,
  pad,
  reciprocal,
  relu,
  reshape,
  rmsNorm,
  rope,
  scatter,
  scatterAdd,
  segmentSum,
  sigmoid,
  silu,
  slice,
  softmax,
  split,
  sqrt,
  sub,
  sum,
  swiglu,
  takeAlongAxis,
  tanh,
  tokenLogProbs,
  topK,
  transpose,
  where,
} from "../graph/ops.ts";
export {
  type AdamWOptions,
  adamW,
  clipFactor,
  globalNorm,
  type MuonGroupMember,
  type MuonOptions,
  muon,
  orthogonalise,
  type StepScalars,
  stepScalars,
  stepScalarValues,
} from "../graph/optim.ts";
export { printGraph } from "../graph/print.ts";
export type { Attribute, OnnxModel } from "../graph/proto.ts";
export { recompute, recomputeAll } from "../graph/recompute.ts";
export { integers, listed, operands, type SampleInput, type SampleRule } from "../graph/samples.ts";
export {
  type CompositeRule,
  type Dim,
  type DType,
  type Flops,
  type FusedForm,
  type Gradients,
  Graph,
  GraphError,
  type Lower,
  type Node,
  type OpRule,
  type Shape,
  SymbolicDim,
  type Tensor,
  type TensorSpec,
} from "../graph/tensor.ts";
export type { DeviceName } from "../runtime/device.ts";
export { Engine, type EngineOptions } from "../runtime/engine.ts";
export { saveModelFile } from "../runtime/model-file.ts";
export {
  type ArrayOf,
  allocate,
  f32,
  type HostValue,
  hostValue,
  i32,
  RuntimeError,
  read,
  type Session,
  scalar,
  type TypedArray,
  type Value,
} from "../runtime/session.ts";
