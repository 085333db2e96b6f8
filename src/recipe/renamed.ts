/**
 * Keys of recipes that had other names, by the block that holds them. A person's recipe with an old key is refused, and
 * the new name is shown; the recipe of a stored run is translated, so that the run can be read and resumed.
 */

/** The block is the key that holds it: `model`, `optimizer`, ...; of a stage it is `stages`. */
const RENAMED: Record<string, Record<string, string>> = {
  model: {
    width: "hiddenSize",
    ffn: "intermediateSize",
    latent: "kvLoraRank",
    queryRank: "queryLoraRank",
    expertFfn: "moeIntermediateSize",
  },
  optimizer: { rate: "lr", adamRate: "adamLr", decay: "weightDecay" },
  schedule: { final: "minLrRatio" },
  stages: { slots: "maxBatch", sharePrompt: "sharedPrefix" },
};

/** The present name of an old key in the block at `path`. */
export function renamedKey(path: readonly PropertyKey[], key: string): string | undefined {
  const block = path.findLast((part) => typeof part === "string");
  return block === undefined ? undefined : RENAMED[String(block)]?.[key];
}

/** A stored run's recipe, as YAML gives it, with the present keys. */
export function translateKeys(value: unknown, path: readonly PropertyKey[] = []): unknown {
  if (Array.isArray(value)) return value.map((item, index) => translateKeys(item, [...path, index]));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      renamedKey(path, key) ?? key,
      translateKeys(inner, [...path, key]),
    ]),
  );
}
