/**
 * Imported before anything that loads ONNX Runtime, and in a process's main thread. onnxruntime-node 1.30's Linux and
 * macOS binaries report each session to Microsoft unless this variable is set when they are loaded
 * (onnxruntime/core/platform/posix/telemetry.cc); they read the process's own environment, of which a worker thread has
 * a copy alone, so that setting it there is too late.
 */
import { isMainThread } from "node:worker_threads";

if (!isMainThread && !process.env.ORT_DISABLE_TELEMETRY)
  throw new Error(
    "ONNX Runtime would report to Microsoft from this worker thread, and only the main thread can switch that off. Import sputnik-r1 in the main thread before the worker starts, or set ORT_DISABLE_TELEMETRY=1 in the environment (0 to allow the reports).",
  );
process.env.ORT_DISABLE_TELEMETRY ||= "1";
