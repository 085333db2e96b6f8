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
