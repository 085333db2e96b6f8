/** Prints notes on a model's files to standard error, one line each. */
import color from "picocolors";
import { modelNotes } from "../checkpoint/generation-config.ts";
import { printable } from "./printable.ts";

/** @throws UserError for files that cannot be read */
export function printNotes(path: string): void {
  for (const note of modelNotes(path)) console.error(color.dim(printable(note)));
}
