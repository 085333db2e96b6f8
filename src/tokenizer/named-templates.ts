/** Chat templates by their names, as `tokenizer_config.json` may hold several: "default", and "tool_use" for tools. */
export function namedTemplates(field: unknown): ReadonlyMap<string, string> {
  if (typeof field === "string") return new Map([["default", field]]);
  if (typeof field !== "object" || field === null) return new Map();
  const pairs: [unknown, unknown][] = Array.isArray(field)
    ? field.map((one) => [one?.name, one?.template])
    : Object.entries(field);
  return new Map(
    pairs.filter((pair): pair is [string, string] => pair.every((part) => typeof part === "string")),
  );
}

/** What transformers takes where a conversation has tools, if it is there. */
export const TOOL_USE = "tool_use";
