import { existsSync } from "node:fs";

/**
 * A mutant of code that needs a session, where StrykerJS would take hours: one small patch, and the test that must fail
 * on it. `npm run mutate` applies each to a copy of the sources and runs its test.
 */
export interface Mutant {
  /** Path from the repository's root. */
  file: string;
  /** Text that occurs exactly once in the file. */
  find: string;
  replace: string;
  /** The test file that must fail. */
  test: string;
  /** The tests of the file that are run, by their names' beginnings or parts; all where absent. */
  name?: string;
  /** Why no test can notice it: the mutant is left out of the score. */
  equivalent?: string;
}

/** The file of a test that is named by its path below test/, whichever project it is in. */
export function testFile(name: string): string {
  const slow = `test/${name}.slow.test.ts`;
  return existsSync(slow) ? slow : `test/${name}.test.ts`;
}
