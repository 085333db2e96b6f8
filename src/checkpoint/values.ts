/** Between the tensors of files and the values that a device computes with. */
import { f32, read, type Value } from "../runtime/value.ts";
import type { Parameter } from "./safetensors.ts";

/** The tensors of a file as values; their memory is not copied. */
export function asValues(parameters: ReadonlyMap<string, Parameter>): Map<string, Value> {
  return new Map([...parameters].map(([name, { shape, data }]) => [name, f32(data, shape)]));
}

/** The values as tensors, for a file. */
export async function readParameters(values: ReadonlyMap<string, Value>): Promise<Map<string, Parameter>> {
  const tensor = async ([name, value]: [string, Value]): Promise<[string, Parameter]> => [
    name,
    { shape: value.shape, data: await read(value, "f32") },
  ];
  return new Map(await Promise.all([...values].map(tensor)));
}
