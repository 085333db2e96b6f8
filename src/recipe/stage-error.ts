/** A stage asks for what its model or its data do not have: the place in the recipe, and what to do. */
import { UsageError } from "../run/find-model.ts";

export class StageError extends UsageError {
  override name = "StageError";
  /** Within the stage. */
  readonly path: string[];

  constructor(stage: string, path: string[], message: string, remedy: string) {
    super(`Stage "${stage}", ${path.join(".")}: ${message}`, remedy);
    this.path = path;
  }
}
