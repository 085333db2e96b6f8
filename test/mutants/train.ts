import type { Mutant } from "./mutant.ts";

export const trainMutants: readonly Mutant[] = [];
