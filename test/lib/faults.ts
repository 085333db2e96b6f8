import fs from "node:fs";
import { vi } from "vitest";

/** The operations by which `lib/disk.ts` and its callers change a disk. */
export const WRITES = [
  ...(["mkdirSync", "openSync", "writeSync", "fsyncSync", "closeSync", "renameSync", "rmSync"] as const),
];

type Operation = (...args: never[]) => unknown;

/** Runs `action` while each of the named operations is answered by `replace(name, real)`. */
export function withFaults<T>(
  names: readonly (typeof WRITES)[number][],
  replace: (name: string, real: Operation) => Operation,
  action: () => T,
): T {
  const spies = names.map((name) => {
    const real = fs[name] as Operation;
    return vi.spyOn(fs, name).mockImplementation(replace(name, real) as never);
  });
  try {
    return action();
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
