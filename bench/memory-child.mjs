/**
 * Opens the model folder of its first argument as `sputnik chat` does, decodes after a prompt, and prints what that took
 * as JSON; without arguments, what Node.js and ONNX Runtime take alone. Plain JavaScript over `dist/`: a TypeScript
 * loader would count as memory.
 */
await import("../dist/runtime/onnxruntime.js");

/** Bytes; the system counts in KiB. */
const peak = () => process.resourceUsage().maxRSS * 1024;

const [folder, precision, prompt, tokens] = process.argv.slice(2);
if (folder === undefined) {
  console.log(JSON.stringify({ peak: peak() }));
  process.exit();
}
const { openForInference } = await import("../dist/sample/inference.js");
const start = performance.now();
const model = await openForInference(folder, { precision });
const openSeconds = (performance.now() - start) / 1000;
const ids = Array.from({ length: Number(prompt) }, (_, i) => (37 * i) % 1000);
const times = [];
await model.generate([{ prompt: ids, maxNewTokens: Number(tokens), key: ["memory"] }], {
  temperature: 0,
  stopIds: new Set(),
  onToken: () => times.push(performance.now()),
});
const tokensPerSecond = (1000 * (times.length - 1)) / (times[times.length - 1] - times[0]);
await model.release();
console.log(JSON.stringify({ peak: peak(), openSeconds, tokensPerSecond }));
