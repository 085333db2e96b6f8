import type { Mutant } from "./mutant.ts";
import { sampleMutants } from "./sample.ts";
import { trainMutants } from "./train.ts";

/** By the folder whose score they count in; those of runs and checkpoints count in that of training. */
export const committed: Record<string, readonly Mutant[]> = { train: trainMutants, sample: sampleMutants };

export const mutants: readonly Mutant[] = Object.values(committed).flat();
