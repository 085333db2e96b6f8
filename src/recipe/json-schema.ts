/** Recipes as a JSON Schema, from which editors complete and check: `sputnik schema`, and recipes/schema.json. */
import { z } from "zod";
import { presetKeys, presetNames } from "../train/presets.ts";
import { recipeObject } from "./schema.ts";

interface Node {
  [key: string]: unknown;
  properties?: Record<string, Node>;
  required?: string[];
  oneOf?: Node[];
  items?: Node;
}

/** Draft 7, which YAML's language server reads. Rules over several keys (`validate.ts`) are not in it. */
export function recipeJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(recipeObject, { io: "input", target: "draft-7" }) as Node;
  // A model named by `from` brings its tokenizer.
  schema.required = schema.required?.filter((key) => key !== "tokenizer");
  const stages = schema.properties?.stages?.items;
  if (stages?.oneOf !== undefined) stages.oneOf = stages.oneOf.flatMap(withAndWithoutPreset);
  // The key `module` says the kind.
  const named = [schema, ...(stages?.oneOf ?? [])];
  const data = named.flatMap(({ properties }) => properties?.data?.oneOf ?? []);
  const teachers = named.flatMap(({ properties }): Node[] =>
    properties?.teachers?.items === undefined ? [] : [properties.teachers.items],
  );
  for (const { properties } of [...named, ...data, ...teachers])
    for (const task of properties?.task?.oneOf ?? [])
      if (task.properties?.module !== undefined) task.required = ["module"];
  withoutBounds(schema);
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "A recipe of Sputnik",
    description: `A run from its first weights to its report. Presets: ${presetNames.join(", ")}.`,
    ...schema,
    patternProperties: {
      "^x-": { description: "A block that holds parts for other places: name it with &, use it with *." },
    },
  };
}

/** A stage that has presets takes one, which fills the objective, or gives every key of the objective itself. */
function withAndWithoutPreset(stage: Node): Node[] {
  const { preset, ...own } = stage.properties ?? {};
  if (preset === undefined) return [stage];
  const { required: _, ...clip } = own.clip as Node;
  const others = stage.required?.filter((key) => !presetKeys.includes(key)) ?? [];
  return [
    { ...stage, properties: { ...own, preset, clip }, required: [...others, "preset"] },
    { ...stage, properties: own },
  ];
}

/** Without the bounds of JavaScript's integers, which a person does not need. */
function withoutBounds(node: unknown): void {
  if (typeof node !== "object" || node === null) return;
  const fields = node as Record<string, unknown>;
  if (fields.maximum === Number.MAX_SAFE_INTEGER) delete fields.maximum;
  if (fields.minimum === Number.MIN_SAFE_INTEGER) delete fields.minimum;
  for (const inner of Object.values(fields)) withoutBounds(inner);
}
