import type { Mutant } from "./mutant.ts";

export const sampleMutants: readonly Mutant[] = [];
