import "./src/runtime/no-telemetry.ts";
import { defineConfig } from "vitest/config";

/** Two cores: one test file at a time keeps ONNX Runtime's threads and the timings honest. */
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
