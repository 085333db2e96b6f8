/**
 * `npm run docs:recipes`: writes recipes/schema.json, from which editors complete, and recipes/README.md, the page of every
 * key, both from the schema that the code checks recipes with.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { recipeJsonSchema } from "../src/recipe/json-schema.ts";
import { recipeObject } from "../src/recipe/schema.ts";

interface Node {
  type?: string;
  description?: string;
  properties?: Record<string, Node>;
  required?: string[];
  anyOf?: Node[];
  oneOf?: Node[];
  items?: Node;
  prefixItems?: Node[];
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
}

/** A part of a recipe with keys, by the path where it is first used. */
interface Part {
  title: string;
  node: Node;
}

const INTRODUCTION = `<!-- Written by \`npm run docs:recipes\` from the schema in src/recipe. Change the schema, not this page. -->

# Recipes

A recipe is one YAML file from which a run follows completely: the model, the tokenizer, the task and a list of stages.
\`npx sputnik train recipes/smoke.yaml\` runs one, \`--dry-run\` checks it and shows its shapes, memory, FLOPs and time.
A key that is not in this page is an error. Paths are relative to the recipe's folder. Keys that begin with \`x-\` hold parts
that other places reuse by YAML's \`&\` and \`*\`. An editor with a YAML language server completes these keys from
[schema.json](schema.json).

Keys without a default and without "optional" are required.
`;

const variantsOf = (node: Node): Node[] => (node.oneOf ?? node.anyOf ?? [node]).filter(isObject);
const isObject = (node: Node): boolean => node.properties !== undefined;
const code = (value: unknown): string => `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;
/** As a heading's address on GitHub. */
const anchor = (title: string): string =>
  title
    .toLowerCase()
    .replace(/[^a-z0-9 _-]/g, "")
    .replaceAll(" ", "-");
const cell = (text: string): string => text.replaceAll("|", "\\|").replace(/\s+/g, " ");

function numberType({ type, minimum, maximum, exclusiveMinimum }: Node): string {
  const word = type === "integer" ? "integer" : "number";
  const least = minimum === Number.MIN_SAFE_INTEGER ? undefined : minimum;
  const most = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum;
  if (least !== undefined && most !== undefined) return `${word} from ${least} to ${most}`;
  const bounds = [
    exclusiveMinimum !== undefined ? ` above ${exclusiveMinimum}` : "",
    least !== undefined ? ` of at least ${least}` : "",
    most !== undefined ? ` of at most ${most}` : "",
  ];
  return word + bounds.filter(Boolean).join(" and");
}

class Reference {
  private readonly parts: Part[] = [];

  private typeOf(node: Node, path: string): string {
    if (node.const !== undefined) return code(node.const);
    if (node.enum !== undefined) return node.enum.map(code).join(", ");
    if (node.type === "integer" || node.type === "number") return numberType(node);
    if (node.type === "boolean") return "true or false";
    if (node.type === "string") return "text";
    if (node.type === "null") return "`null`";
    if (node.prefixItems !== undefined)
      return `[${node.prefixItems.map((item) => this.typeOf(item, path)).join(", ")}]`;
    if (node.type === "array") return `list of ${this.typeOf(node.items ?? {}, path)}`;
    const others = (node.anyOf ?? node.oneOf ?? []).filter((variant) => !isObject(variant));
    const objects = variantsOf(node);
    // One form of several has its section alone: the others are said here.
    const linked = objects.length === 1 && others.length > 0 ? objects[0] : node;
    const parts = objects.length === 0 ? [] : [this.linkTo(linked, path)];
    return [...parts, ...others.map((variant) => this.typeOf(variant, path))].join(" or ") || "anything";
  }

  /** Equal parts, such as the optimizer of every stage, have one section. */
  private linkTo(node: Node, path: string): string {
    const { default: _default, description: _meaning, ...content } = node;
    const same = this.parts.find(({ node }) => JSON.stringify(node) === JSON.stringify(content));
    const name = path.split(".").at(-1)!;
    const taken = this.parts.some(({ title }) => title === name);
    const title = same?.title ?? (taken ? path : name);
    if (same === undefined) this.parts.push({ title, node: content });
    return `[${title}](#${anchor(title)})`;
  }

  private table(node: Node, path: string): string {
    const rows = Object.entries(node.properties ?? {}).map(([key, value]) => {
      const type = this.typeOf(value, `${path}.${key}`);
      const fallback =
        value.default !== undefined ? code(value.default) : node.required?.includes(key) ? "" : "optional";
      return `| \`${key}\` | ${cell(type)} | ${cell(fallback)} | ${cell(value.description ?? "")} |\n`;
    });
    return `| key | value | default | meaning |\n| --- | --- | --- | --- |\n${rows.join("")}`;
  }

  private section({ title, node }: Part): string {
    const variants = variantsOf(node);
    if (variants.length === 1)
      return `## ${title}\n\n${paragraph(node.description ?? variants[0].description)}${this.table(variants[0], title)}\n`;
    const shown = variants.map((variant) => {
      const chosen = Object.entries(variant.properties!).find(([, { const: value }]) => value !== undefined);
      const heading =
        chosen === undefined
          ? `with ${Object.keys(variant.properties!).slice(0, 1).map(code)}`
          : `${code(`${chosen[0]}: ${chosen[1].const}`)}`;
      return `### ${title}, ${heading}\n\n${paragraph(variant.description)}${this.table(variant, title)}\n`;
    });
    return `## ${title}\n\n${paragraph(node.description)}One of ${variants.length} forms.\n\n${shown.join("")}`;
  }

  page(root: Node): string {
    this.parts.push({ title: "The recipe", node: root });
    const sections: string[] = [];
    for (let next = 0; next < this.parts.length; next++) sections.push(this.section(this.parts[next]));
    return `${INTRODUCTION}\n${sections.join("")}`.trimEnd().concat("\n");
  }
}

const paragraph = (text: string | undefined): string => (text === undefined ? "" : `${text}\n\n`);

/** The page of every key. */
export function recipeReference(): string {
  return new Reference().page(z.toJSONSchema(recipeObject, { io: "input" }) as Node);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync("recipes/schema.json", `${JSON.stringify(recipeJsonSchema(), null, 1)}\n`);
  writeFileSync("recipes/README.md", recipeReference());
}
