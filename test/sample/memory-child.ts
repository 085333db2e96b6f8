/** Opens a synthetic model at the precision of the first argument, decodes, and prints its own memory in bytes as JSON. */

import type { Precision } from "../../src/checkpoint/quantise.ts";
import { allParameters } from "../../src/models/architectures.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { Sampler } from "../../src/sample/sampler.ts";
import { baked } from "../../src/sample/weights.ts";
import { config } from "./memory-model.ts";

/** Every part of a weight is another piece of the same noise: equal ones the engine would keep once. */
const noise = Float32Array.from({ length: 1 << 21 }, (_, i) => Math.sin(i * i) / 20);
let turn = 0;
const source = new Map(
  allParameters(config).map(({ name, shape }) => {
    const read = (_start = 0, count = shape.reduce((product, n) => product * n, 1)): Float32Array => {
      const from = (turn++ * 7919) % (1 << 20);
      return noise.subarray(from, from + count);
    };
    return [name, { shape, read }];
  }),
);
const before = process.memoryUsage.rss();
const sampler = await Sampler.create(config, new Engine({ threads: 1 }), {
  weights: baked(source, { precision: process.argv[2] as Precision }),
});
const requests = [{ prompt: [1, 2, 3], maxNewTokens: 4, key: ["memory"] }];
const { tokens } = await sampler.generate(requests, { sampling: { temperature: 0 }, stopIds: new Set() });
await sampler.release();
// maxRSS is in kilobytes.
console.log(JSON.stringify({ before, peak: process.resourceUsage().maxRSS * 1024, tokens }));
