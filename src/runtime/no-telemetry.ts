/**
 * Must be imported before anything that loads ONNX Runtime, in the main thread of a process. The Linux and macOS binaries
 * of onnxruntime-node 1.30 report each session to Microsoft unless this variable is set when they are loaded
 * (onnxruntime/core/platform/posix/telemetry.cc). They read the environment of the process, and a worker thread can only
 * change its copy.
 */
import { isMainThread } from "node:worker_threads";

if (!isMainThread && !process.env.ORT_DISABLE_TELEMETRY)
  throw new Error(
    "ONNX Runtime would report to Microsoft from this worker thread, and only the main thread can switch that off. Import sputnik-r1 in the main thread before the worker starts, or set ORT_DISABLE_TELEMETRY=1 in the environment (0 to allow the reports).",
  );
process.env.ORT_DISABLE_TELEMETRY ||= "1";
