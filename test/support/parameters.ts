/** Values in memory as the tensors of a file. */
import type { Parameter } from "../../src/checkpoint/safetensors.ts";
import { host, type Value } from "../../src/runtime/value.ts";

export const asParameters = (values: ReadonlyMap<string, Value>): Map<string, Parameter> =>
  new Map(
    [...values].map(([name, value]) => [
      name,
      { shape: value.shape, data: host(value).data as Float32Array },
    ]),
  );

/** The numbers of a value in memory. @throws where there is no value */
export const numbersOf = (value: Value | undefined): Float32Array => {
  if (value === undefined) throw new Error("there is no value of this name");
  return host(value).data as Float32Array;
};
