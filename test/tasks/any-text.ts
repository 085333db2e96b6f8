import fc from "fast-check";

/** Any UTF-16 units, lone surrogates too; plain characters are as likely as all the others together. */
export const anyText = fc
  .array(fc.oneof(fc.nat(0x7f), fc.nat(0xffff)))
  .map((units) => String.fromCharCode(...units));

/** Texts made of the pieces that a grammar knows, in any order. */
export const textOf = (...pieces: string[]) => fc.string({ unit: fc.constantFrom(...pieces) });
