/** All operators under one name: `import { add, matmul, rmsNorm } from "../graph/ops.ts"`. */
export * from "./ops/elementwise.ts";
export * from "./ops/joint-attention.ts";
export * from "./ops/lookup.ts";
export * from "./ops/low-rank.ts";
export * from "./ops/matmul.ts";
export * from "./ops/movement.ts";
export * from "./ops/nn.ts";
export * from "./ops/quantised.ts";
export * from "./ops/reduce.ts";
export * from "./ops/routing.ts";
export * from "./ops/source.ts";
