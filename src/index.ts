/**
 * `sputnik-r1`: recipes, the events of a run, and the errors that a person can act on.
 * The parts are under `sputnik-r1/graph`, `/models`, `/tasks`, `/train` and `/eval`.
 */
import "./runtime/no-telemetry.ts";

export type { GroupRecord, Metrics, RunEvent, SampleRecord, StageInfo } from "./events.ts";
export { type ErrorKind, isUserError, UserError, type UserErrorDetail } from "./lib/errors.ts";
export { loadRecipe, parseRecipe } from "./recipe/load.ts";
export type { Recipe, Stage } from "./recipe/schema.ts";
