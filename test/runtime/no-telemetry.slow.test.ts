/** X1: ONNX Runtime is loaded by one module, silent; nothing leaves the machine. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect, it, test } from "vitest";
import { canIsolate, EVERY_COMMAND, EVERY_OPTION, leaksOf } from "../../bench/trust-leaks.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (file: string): string => readFileSync(join(root, file), "utf8");

const code = ["src", "bench", "test", "scripts"]
  .flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((f) => join(folder, f)),
  )
  .filter((file) => /\.([cm]?[jt]sx?)$/.test(file) && !file.includes("node_modules"));

/** An import or a require of the package, not of its package.json or its install script. */
const LOADS =
  /(?:from\s*|import\s*\(?\s*|require\(\s*)(?:["'](?:onnxruntime-node|@huggingface\/transformers)["']|onnxruntimeFolder\(\))/;

describe("who loads ONNX Runtime", () => {
  it("one module does, after it has switched telemetry off", () => {
    const loading = code.filter((file) => LOADS.test(read(file)));
    expect(loading.sort()).toEqual(["bench/peers/transformers-js/decode.ts", "src/runtime/onnxruntime.ts"]);
    for (const file of loading)
      expect(read(file).match(/^import .*$/m)?.[0], file).toMatch(/^import ".*\/no-telemetry\.ts";$/);
  });

  it("the command, the threads and the benchmarks switch it off before they import anything else", () => {
    for (const file of ["src/cli/main.ts", "src/runtime/thread.ts", "bench/main.ts", "vitest.config.ts"])
      expect(read(file).match(/^import .*$/m)?.[0], file).toMatch(/no-telemetry\.ts";$/);
  });
});

describe("the variable", () => {
  const module = new URL("../../dist/runtime/no-telemetry.js", import.meta.url).href;
  const childSays = (value: string | undefined) => {
    const { ORT_DISABLE_TELEMETRY: _, ...env } = process.env;
    const script = `await import(${JSON.stringify(module)}); console.log(process.env.ORT_DISABLE_TELEMETRY)`;
    return spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      ...{ encoding: "utf8", env: value === undefined ? env : { ...env, ORT_DISABLE_TELEMETRY: value } },
    }).stdout.trim();
  };
  it("is set, unless a person has set it; an empty one says nothing", () => {
    expect([childSays(undefined), childSays(""), childSays("0")]).toEqual(["1", "1", "0"]);
  });

  it("cannot be set in a worker thread, which says so instead of reporting home", async () => {
    const { ORT_DISABLE_TELEMETRY: _, ...env } = process.env;
    const worker = new Worker(`import(${JSON.stringify(module)})`, { eval: true, env });
    const error = await new Promise<Error>((resolve) => worker.once("error", resolve));
    expect(error.message).toMatch(/Import sputnik-r1 in the main thread before the worker starts/);
  });
});

// Where a namespace is not allowed, the benchmark `trust` on another machine is the proof.
describe.skipIf(!canIsolate())("in a network namespace, with a fresh home and without CI's variables", () => {
  test("train, chat, eval, export and the page send nothing, ask for no name and leave no file", () => {
    const { results, ...leaks } = leaksOf(EVERY_COMMAND, EVERY_OPTION);
    expect(results.map(({ code, output }) => (code === 0 ? 0 : output))).toEqual([0, 0, 0, 0, 0]);
    expect(results[1].output).toContain("<answer>");
    expect(results[4].output).toContain('"verdict"');
    expect(leaks).toEqual({ bytes: 0, names: [], files: [] });
  });

  test("the same probe sees files where telemetry is on", () => {
    const { files } = leaksOf([EVERY_COMMAND[1]], { env: { ORT_DISABLE_TELEMETRY: "0" } });
    expect(files).toContain("home/.cache/Microsoft/DeveloperTools/.onnxruntime/deviceid");
  });
});
