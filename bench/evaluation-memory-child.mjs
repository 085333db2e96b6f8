/**
 * Completes as many different prompts as its first argument says, with weights that are fed as in an evaluation of a run, and prints
 * its peak memory in bytes. Plain JavaScript over `dist/`, as in `memory-child.mjs`.
 */
const [count, shape, promptTokens, newTokens, slots] = JSON.parse(process.argv[2]);
const { modelOf } = await import("../dist/models/architecture.js");
const { initialise } = await import("../dist/models/layers.js");
const { Sampler } = await import("../dist/sample/engine.js");

const weights = initialise(modelOf(shape).parameters, 1);
const sampler = await Sampler.create(shape);
const requests = Array.from({ length: count }, (_, i) => ({
  prompt: Array.from({ length: promptTokens }, (_, j) => (i * 131 + j * j) % shape.vocabSize),
  maxNewTokens: newTokens,
  key: ["exam", i],
}));
await sampler.generate(weights, requests, { temperature: 1, stopIds: new Set(), slots });
await sampler.release();
console.log(JSON.stringify({ peak: process.resourceUsage().maxRSS * 1024 }));
