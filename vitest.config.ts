import "./src/runtime/no-telemetry.ts";
import { defineConfig } from "vitest/config";

const SLOW = "test/**/*.slow.test.ts";

/**
 * Two projects. `slow` is every file that opens a browser, kills a process, runs the built command, trains until something
 * is learnt or takes more than some seconds; `unit` is the rest, which `npm run test:unit` and `test:watch` run.
 */
export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: "forks",
    maxWorkers: 2,
    projects: [
      // One process loads each module once for all of its files, which takes half of the time.
      {
        extends: true,
        test: { name: "unit", include: ["test/**/*.test.ts"], exclude: [SLOW], isolate: false },
      },
      { extends: true, test: { name: "slow", include: [SLOW], globalSetup: "test/build.ts" } },
    ],
  },
});
