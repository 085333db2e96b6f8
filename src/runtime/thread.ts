/** Worker threads whose first module is ours, from the build (`.js`) as well as from source (`.ts`). */
import "./no-telemetry.ts";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker, type WorkerOptions } from "node:worker_threads";

/** Starts the module `name` (without its ending) beside the caller, whose `import.meta.url` is `from`. */
export function startThread(name: string, from: string, options: WorkerOptions = {}): Worker {
  const typescript = from.endsWith(".ts");
  const file = new URL(`./${name}${typescript ? ".ts" : ".js"}`, from);
  return typescript
    ? new Worker(throughTsx(file), { ...options, eval: true, execArgv: [] })
    : new Worker(file, options);
}

/**
 * A thread's first code, which loads a `.ts` module: `--import tsx` in `execArgv` has no effect on a
 * thread's first module (tsx 4.23, Node 20), so the thread registers tsx by itself.
 */
function throughTsx(file: URL): string {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx"));
  const [api, module] = [new URL("./esm/api/index.mjs", tsx), file].map((url) => JSON.stringify(url.href));
  return `import(${api}).then((tsx) => { tsx.register(); return import(${module}); });`;
}
