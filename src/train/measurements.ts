/** What a run of a training graph reports beside the state that it advances. */
import { host, type Value } from "../runtime/session.ts";

/** The scalars among a run's outputs, as numbers. */
export function numbers(values: Record<string, Value>): Record<string, number> {
  const result: Record<string, number> = {};
  for (const [name, value] of Object.entries(values))
    if (value.shape.length === 0) result[name] = Number(host(value).data[0]);
  return result;
}

/** The vectors among them, but for those that were fetched as state. */
export function vectors(
  values: Record<string, Value>,
  fetches: Record<string, Value>,
): Map<string, Float32Array> {
  return new Map(
    Object.entries(values).flatMap(([name, value]) =>
      value.shape.length === 1 && !(name in fetches) ? [[name, host(value).data as Float32Array]] : [],
    ),
  );
}
