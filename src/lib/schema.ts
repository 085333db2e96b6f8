/** Parts of schemas: numbers with a meaning, and enums of a record's keys. */
import { z } from "zod";

export const positive = z.number().positive();
export const nonNegative = z.number().min(0);
export const count = z.int().positive();
export const fraction = z.number().min(0).max(1);
/** A switch that is off by default. */
export const off = z.boolean().default(false);

/** Entries of one type that are chosen by name: the names are known to the compiler. */
export const registry =
  <Entry>() =>
  <Name extends string>(entries: Record<Name, Entry>): Record<Name, Entry> =>
    entries;

/** One of a record's keys, for options that choose an entry by its name. */
export const keyOf = <Key extends string>(record: Record<Key, unknown>) =>
  z.enum(Object.keys(record) as [Key, ...Key[]]);
