/** `sputnik schema`: recipes as a JSON Schema, for editors. */
import { recipeJsonSchema } from "../recipe/json-schema.ts";

export function schema(): void {
  console.log(JSON.stringify(recipeJsonSchema(), null, 1));
}
