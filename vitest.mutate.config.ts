import { defineConfig } from "vitest/config";

/** The test files that `npm run mutate` names: what StrykerJS runs for each of a folder's mutants. */
export default defineConfig({
  test: {
    include: JSON.parse(process.env.SPUTNIK_MUTATE_TESTS ?? "[]"),
    testTimeout: 20_000,
  },
});
