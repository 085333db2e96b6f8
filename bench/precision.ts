/** What each precision of the weights costs: perplexity of SmolLM2-135M-Instruct, over that in f32. */
import { readFileSync } from "node:fs";
import { loadGguf } from "../src/checkpoint/gguf/model.ts";
import { expectedShapes } from "../src/checkpoint/weights.ts";
import type { BakedOptions } from "../src/sample/weights.ts";
import { perplexity, roundedPerplexity, TEXT, windows } from "./perplexity.ts";
import type { Row } from "./rows.ts";
import { fetchSmolLm2 } from "./smollm2.ts";

/** As `--precision` opens a GGUF file, in blocks of 32, and a folder. */
const CASES: Record<string, BakedOptions> = {
  "int8-gguf": { precision: "int8", block: 32 },
  "int4-offset-gguf": { precision: "int4-offset", block: 32 },
  "int4-gguf": { precision: "int4", block: 32 },
  "int8-folder": { precision: "int8" },
  "int4-folder": { precision: "int4" },
};

export async function benchPrecision(): Promise<Row[]> {
  const model = loadGguf(fetchSmolLm2(), expectedShapes);
  const parts = windows(model.tokenizer.encode(readFileSync(TEXT, "utf8")));
  const exact = await perplexity(model, parts);
  const rows: Row[] = [];
  for (const [name, options] of Object.entries(CASES)) {
    const rounded = await roundedPerplexity(model, parts, options);
    rows.push({
      name: `precision/${name}`,
      value: rounded / exact,
      unit: "x the perplexity in f32",
      note: `${rounded.toFixed(2)} against ${exact.toFixed(2)}, ${parts.length} x ${parts[0].length} tokens`,
    });
  }
  return rows;
}
