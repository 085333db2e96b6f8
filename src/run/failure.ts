/** What a failed run tells its person: for a NaN, the checkpoint to return to. */
import { latestCheckpoint } from "../checkpoint/resume.ts";
import { isUserError } from "../lib/errors.ts";
import { type Failure, toFailure } from "../lib/failure.ts";
import { NonFiniteError } from "../train/step.ts";

/** The failure of a run whose checkpoints are in the folder `checkpoints`. */
export function runFailure(error: unknown, checkpoints: string): Failure {
  const failure = toFailure(error);
  if (!(error instanceof NonFiniteError || isUserError(error, "logits"))) return failure;
  const saved = latestCheckpoint(checkpoints, () => {});
  const back =
    saved === null
      ? "There is no checkpoint yet, so the same command begins again."
      : `The last good checkpoint is ${saved.path}: the same command returns to it.`;
  const remedy = `${back} The same numbers would fail again at the same step: lower the stage's lr or its clip under a new --name.`;
  return { ...failure, remedy };
}
