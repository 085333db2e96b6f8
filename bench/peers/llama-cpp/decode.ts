/**
 * llama.cpp as Node sees it (node-llama-cpp): decodes some prompts together, each as a sequence of one context, with
 * llama.cpp's own defaults (flash attention, keys and values in f16).
 *
 *   node --import tsx decode.ts --model FILE --prompts JSON --tokens N [--threads N] [--flash auto|on|off]
 */
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { Rate } from "../rate.ts";
import { type Decoded, readTask, serve } from "../task.ts";

const {
  model: modelPath,
  prompts,
  count,
  threads,
  extra: flash,
} = readTask({ name: "flash", usual: "auto" });
const longest = Math.max(...prompts.map((prompt) => prompt.length));

const llama = await getLlama({
  ...{ build: "never", skipDownload: true, gpu: false, logLevel: LlamaLogLevel.error, maxThreads: threads },
});
const model = await llama.loadModel({ modelPath });

/** One context per number of rows: a context for 16 is slower for one. */
const contexts = new Map<number, ReturnType<typeof open>>();
async function open(rows: number) {
  const context = await model.createContext({
    sequences: rows,
    contextSize: longest + count,
    batchSize: Math.max(512, rows * longest),
    threads,
    flashAttention: flash === "auto" ? "auto" : flash === "on",
  });
  return Array.from({ length: rows }, () => context.getSequence());
}

async function decode(rows: number): Promise<Decoded> {
  if (!contexts.has(rows)) contexts.set(rows, open(rows));
  const sequences = (await contexts.get(rows)) as Awaited<ReturnType<typeof open>>;
  const rate = new Rate(rows);
  const one = async (row: number): Promise<number[]> => {
    await sequences[row].clearHistory();
    const ids: number[] = [];
    const tokens = prompts[row] as Parameters<(typeof sequences)[0]["evaluate"]>[0];
    for await (const id of sequences[row].evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
      rate.mark(row);
      ids.push(id);
      if (ids.length === count) break;
    }
    return ids;
  };
  const ids = await Promise.all(Array.from({ length: rows }, (_, row) => one(row)));
  return { rate: rate.perSecond(), ids };
}

await serve(decode);
