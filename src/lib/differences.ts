/** Where two plain objects differ, in words for a person. */

/** One line for each difference, such as `stages.2.steps: 140 there, 200 here`. */
export function differences(there: unknown, here: unknown, path = ""): string[] {
  const bothObjects = [there, here].every((value) => typeof value === "object" && value !== null);
  if (!bothObjects) {
    const show = (value: unknown): string => (value === undefined ? "absent" : JSON.stringify(value));
    return Object.is(there, here) ? [] : [`${path}: ${show(there)} there, ${show(here)} here`];
  }
  const keys = new Set([...Object.keys(there as object), ...Object.keys(here as object)]);
  return [...keys].flatMap((key) =>
    differences(
      Reflect.get(there as object, key),
      Reflect.get(here as object, key),
      path === "" ? key : `${path}.${key}`,
    ),
  );
}
