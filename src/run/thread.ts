/** The thread in which a run computes: ONNX Runtime blocks it, and the page and the terminal stay responsive. */
import { parentPort, workerData } from "node:worker_threads";
import { toFailure } from "../lib/failure.ts";
import { checkSources } from "../recipe/check.ts";
import { parseRecipe } from "../recipe/load.ts";
import { resolvePaths } from "../recipe/paths.ts";
import { Engine } from "../runtime/engine.ts";
import { runFailure } from "./failure.ts";
import { resumeOrCreate } from "./folder.ts";
import type { EngineData, EngineMessage } from "./launch.ts";
import { Run } from "./run.ts";

const { order, stopFlag } = workerData as EngineData;
const stop = new Int32Array(stopFlag);
const post = (message: EngineMessage): void => parentPort?.postMessage(message);

/** The folder is closed and its lock free before the last message goes out. */
async function work(): Promise<EngineMessage> {
  const recipe = parseRecipe(order.recipeText, order.recipeFile);
  const { recipe: resolved, notes } = resolvePaths(recipe, order.recipeFile);
  notes.push(...checkSources(resolved, { text: order.recipeText, file: order.recipeFile }));
  const folder = resumeOrCreate(recipe, order);
  try {
    if (folder.movedTo !== null) {
      const message = `The earlier run is kept as ${folder.movedTo}.`;
      post({ type: "event", event: { type: "notice", level: "info", message } });
    }
    const run = new Run(resolved, folder, {
      emit: (event) => post({ type: "event", event }),
      shouldStop: () => Atomics.load(stop, 0) === 1,
      engine: new Engine(order.engine),
      notes,
    });
    return { type: "ended", outcome: await run.run() };
  } catch (error) {
    return { type: "failed", failure: runFailure(error, folder.paths.checkpoints) };
  } finally {
    folder.close();
  }
}

post(await work().catch((error): EngineMessage => ({ type: "failed", failure: toFailure(error) })));
