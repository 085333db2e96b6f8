/** Runs vitest, keeps its exit code, and closes with one line that a person or a script can count by. */
import { startVitest } from "vitest/node";

const vitest = await startVitest("test", process.argv.slice(2), { watch: false, run: true });
const modules = vitest.state.getTestModules();
let [passed, failed, skipped] = [0, 0, 0];
for (const module of modules) {
  for (const test of module.children.allTests()) {
    const { state } = test.result();
    if (state === "passed") passed++;
    else if (state === "failed") failed++;
    else skipped++;
  }
  // A file that cannot be loaded has no tests to count, and must not look like success.
  if (module.state() === "failed" && [...module.children.allTests("failed")].length === 0) failed++;
}
const errors = vitest.state.getUnhandledErrors().length;
await vitest.close();
if (skipped > 0) console.log(`${skipped} skipped`);
if (errors > 0) console.log(`${errors} errors outside of tests`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || errors > 0 || passed === 0 ? 1 : Number(process.exitCode ?? 0));
