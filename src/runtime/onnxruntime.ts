/** ONNX Runtime, silent: the only module that loads it. */
import "./no-telemetry.ts";

export * from "onnxruntime-node";
