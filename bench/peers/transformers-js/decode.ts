/**
 * transformers.js on onnxruntime-node: decodes one prompt greedily with a model folder as it wants it (`config.json`,
 * `onnx/model.onnx`, ...); nothing is fetched.
 *
 *   node --import tsx decode.ts --model FOLDER --prompts JSON --tokens N [--threads N] [--dtype fp32|q8]
 */
import "../../../src/runtime/no-telemetry.ts";
import { basename, dirname } from "node:path";
import { AutoModelForCausalLM, BaseStreamer, env, Tensor } from "@huggingface/transformers";
import { Rate } from "../rate.ts";
import { type Decoded, readTask, serve } from "../task.ts";

const { model: folder, prompts, count, threads, extra: dtype } = readTask({ name: "dtype", usual: "fp32" });

env.allowRemoteModels = false;
env.localModelPath = dirname(folder);
const model = await AutoModelForCausalLM.from_pretrained(basename(folder), {
  ...{ dtype: dtype as "fp32" | "q8", device: "cpu" },
  session_options: { intraOpNumThreads: threads, interOpNumThreads: 1 },
});

/** Hears of the prompt first, then of each token. */
class Clock extends BaseStreamer {
  readonly rate = new Rate(1);
  private heard = false;
  override put(): void {
    if (this.heard) this.rate.mark(0);
    this.heard = true;
  }
  override end(): void {}
}

async function decode(): Promise<Decoded> {
  const prompt = prompts[0];
  const shape = [1, prompt.length];
  const tensor = (values: readonly number[]) =>
    new Tensor("int64", BigInt64Array.from(values, BigInt), shape);
  const clock = new Clock();
  const output = (await model.generate({
    inputs: tensor(prompt),
    attention_mask: tensor(prompt.map(() => 1)),
    ...{ do_sample: false, min_new_tokens: count, max_new_tokens: count },
    streamer: clock,
  } as never)) as Tensor;
  const ids = [...(output.data as BigInt64Array)].map(Number).slice(prompt.length);
  return { rate: clock.rate.perSecond(), ids: [ids] };
}

await serve(decode);
