/** Peak memory of a model with its weights in the graph, opened and run in a process of its own. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { decoderParameters } from "../../src/models/dense.ts";
import { countParameters } from "../../src/models/layers.ts";
import { config } from "./memory-model.ts";

const CHILD = fileURLToPath(new URL("memory-child.ts", import.meta.url));

// A code, its share of an f32 scale (kept twice) and of a sum that the kernel adds, and 150 MB for the engine and for what was
// read and waits for the collector.
it.each([
  ["f32", 32],
  ["int8", 8],
  ["int4", 4],
] as const)(
  "%s needs its codes, and not the f32 model beside them",
  (precision, bits) => {
    const parameters = countParameters(decoderParameters(config));
    const output = execFileSync(process.execPath, ["--import", "tsx", CHILD, precision], {
      encoding: "utf8",
    });
    const { before, peak, tokens } = JSON.parse(output) as { before: number; peak: number; tokens: number };
    expect(tokens).toBe(4);
    const codes = (parameters * bits) / 8;
    const scales = bits === 32 ? 0 : (parameters / 32) * 4;
    expect(peak - before).toBeLessThan(1.3 * (codes + 3 * scales) + 150e6);
    // Less would mean that the weights are not there.
    expect(peak - before).toBeGreaterThan(codes + scales);
  },
  240_000,
);
