import type { Mutant } from "./mutant.ts";
import { sampleMutants } from "./sample.ts";
import { trainMutants } from "./train.ts";

export const mutants: readonly Mutant[] = [...trainMutants, ...sampleMutants];
