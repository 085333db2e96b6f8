/** Peak memory of a model with its weights in the graph, opened and run in a process of its own: once. `bench -- memory` at size. */

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { allParameters } from "../../src/models/architectures.ts";
import { countParameters } from "../../src/models/layers.ts";
import { config, weightBytes } from "./memory-model.ts";

const CHILD = fileURLToPath(new URL("memory-child.ts", import.meta.url));

/** For the engine, the graph, V8's young generation and the cache; 60 MB were seen. */
const BESIDE = 100e6;

it.each(["f32", "int8", "int4"] as const)(
  "%s needs its weights once, not twice and not the f32 model",
  (precision) => {
    const parameters = allParameters(config);
    const output = execFileSync(process.execPath, ["--import", "tsx", CHILD, precision], {
      encoding: "utf8",
    });
    const { before, peak, tokens } = JSON.parse(output) as { before: number; peak: number; tokens: number };
    expect(tokens).toBe(4);
    const weights = weightBytes(parameters, { precision });
    // The engine has each scale three times, 4 bytes for a block of 128.
    const scales = precision === "f32" ? 0 : (countParameters(parameters) / 128) * 4;
    expect(peak - before).toBeLessThan((precision === "f32" ? 1.3 : 1) * weights + 2 * scales + BESIDE);
    // Less would mean that the weights are not there.
    expect(peak - before).toBeGreaterThan(weights);
  },
  240_000,
);
