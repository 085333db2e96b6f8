/**
 * The package as a stranger gets it: packed, installed into an empty folder, imported from JavaScript and TypeScript. npm
 * takes what it has in its cache and asks the registry for the rest.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, beforeAll, expect, it } from "vitest";

const { version, exports } = JSON.parse(readFileSync("package.json", "utf8"));
/** Such as "sputnik-r1/graph". */
const ENTRIES = Object.keys(exports)
  .filter((path) => path !== "./package.json")
  .map((path) => path.replace(/^\./, "sputnik-r1"));

const project = mkdtempSync(join(tmpdir(), "sputnik-test-packed-"));
const tarball = join(project, `sputnik-r1-${version}.tgz`);
const inProject = (...path: string[]): string => join(project, ...path);

/** What npm and vitest set is not the stranger's. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_OPTIONS$|VITEST|FORCE_COLOR$)/.test(name)),
);
const npm = (words: string[], cwd = project): string =>
  execFileSync("npm", words, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** A module of the project, run by Node. @returns what it prints */
function script(code: string): string {
  writeFileSync(inProject("script.mjs"), code);
  const { stdout, stderr } = spawnSync(process.execPath, ["script.mjs"], {
    cwd: project,
    env,
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  return stdout.trim();
}

beforeAll(() => {
  // As `npm pack` does, without building again: other tests run what is built.
  npm(["run", "prepack"], resolve("."));
  try {
    npm(["pack", "--ignore-scripts", "--pack-destination", project], resolve("."));
  } finally {
    npm(["run", "postpack"], resolve("."));
  }
  writeFileSync(inProject("package.json"), JSON.stringify({ type: "module" }));
  npm(["install", "--prefer-offline", "--no-audit", "--no-fund", tarball]);
}, 240_000);
afterAll(() => rmSync(project, { recursive: true }));

it("the clone is as it was: it carries no copy of ONNX Runtime", () => {
  expect(existsSync("dist/onnxruntime-node")).toBe(false);
});

it("nothing that was installed has an install script, so npm asks nobody but the registry", () => {
  const { packages } = JSON.parse(readFileSync(inProject("node_modules/.package-lock.json"), "utf8"));
  expect(Object.keys(packages)).toContain("node_modules/sputnik-r1");
  for (const path of Object.keys(packages)) {
    const { scripts = {} } = JSON.parse(readFileSync(inProject(path, "package.json"), "utf8"));
    for (const name of ["preinstall", "install", "postinstall"])
      expect(scripts, path).not.toHaveProperty(name);
  }
});

it("every entry can be imported, and a graph runs on the carried ONNX Runtime", () => {
  const counts = script(`
    for (const name of ${JSON.stringify(ENTRIES)}) {
      const entry = await import(name);
      if (Object.keys(entry).length === 0) console.log(name + " exports nothing");
    }
    const { add, Engine, f32, Graph, input, read } = await import("sputnik-r1/graph");
    const graph = new Graph();
    graph.output("y", add(input(graph, "x", "f32", ["n"]), 1));
    const session = await new Engine().session(graph, "plus-one");
    const { y } = await session.run({ x: f32([1, 2]) });
    console.log(...(await read(y)));
    const { createRequire } = await import("node:module");
    const loaded = Object.keys(createRequire(import.meta.url).cache).filter((f) => f.endsWith(".node"));
    console.log(loaded.length, loaded[0].replaceAll("\\\\", "/").split("node_modules/").at(-1).split("/bin/")[0]);
  `);
  expect(counts.split("\n")).toEqual(["2 3", "1 sputnik-r1/dist/onnxruntime-node"]);
});

it.each([
  ["nodenext, with the types of Node", { module: "nodenext", lib: ["es2023"], types: ["node"] }],
  ["bundler, with those of a browser", { module: "esnext", moduleResolution: "bundler", types: [] }],
])("TypeScript accepts the types, strict and with libraries checked: moduleResolution %s", (_, options) => {
  // `sputnik-r1/ai` is for those who have the AI SDK, whose types it names.
  const typed = ENTRIES.filter((name) => name !== "sputnik-r1/ai");
  writeFileSync(
    inProject("stranger.ts"),
    `
    ${typed.map((name, i) => `import * as entry${i} from "${name}";`).join("\n")}
    import { type RunEvent, UserError } from "sputnik-r1";
    import { passAtK } from "sputnik-r1/eval";
    import { add, Engine, f32, Graph, input, read, type Tensor } from "sputnik-r1/graph";
    import { type ModelConfig, modelOf } from "sputnik-r1/models";
    import { type Task, taskFrom } from "sputnik-r1/tasks";
    import { advantages } from "sputnik-r1/train";

    export const entries = [${typed.map((_, i) => `entry${i}`).join(", ")}];
    export const sum = (x: Tensor): Tensor => add(x, 1);
    export async function run(): Promise<number> {
      const graph = new Graph();
      graph.output("y", sum(input(graph, "x", "f32", ["n"])));
      const { y } = await (await new Engine({ threads: 1 }).session(graph, "sum")).run({ x: f32([1]) });
      return (await read(y, "f32"))[0]!;
    }
    export const task: Task = taskFrom({ kind: "countdown" });
    export const parameters = (config: ModelConfig): number => modelOf(config).parameters.length;
    export const centred: number[] = advantages.grpo([1, 0, null]);
    export const share: number = passAtK({ samples: 4, right: 1 }, 2);
    export const isOurs = (error: unknown): error is UserError => error instanceof UserError;
    export const stepOf = (event: RunEvent): number | null => (event.type === "metrics" ? event.step : null);
    // The types refuse what is wrong, so none of them is any.
    // @ts-expect-error
    input(new Graph(), "x", "f33", []);
    // @ts-expect-error
    taskFrom({ kind: "countdown", numberOfNumbers: 3 });
    // @ts-expect-error
    advantages.grpo("1");
    // @ts-expect-error
    passAtK({ samples: 4 }, 2);
    // @ts-expect-error
    modelOf({});
    `,
  );
  const compilerOptions = {
    ...{ target: "es2023", strict: true, skipLibCheck: false, noEmit: true, ...options },
    typeRoots: [resolve("node_modules/@types")],
  };
  writeFileSync(inProject("tsconfig.json"), JSON.stringify({ compilerOptions, files: ["stranger.ts"] }));
  const tsc = resolve("node_modules/typescript/bin/tsc");
  const { stdout } = spawnSync(process.execPath, [tsc, "-p", "."], { cwd: project, env, encoding: "utf8" });
  expect(stdout).toBe("");
});

it("the command runs under both of its names, with the model that comes along", () => {
  for (const name of ["sputnik", "sputnik-r1"])
    expect(npm(["exec", "--no", "--", name, "--version"]).trim(), name).toBe(version);
  const said = npm(["exec", "--no", "--", "sputnik", "eval", "--problems", "2", "--samples", "1", "--json"]);
  expect(JSON.parse(said)).toMatchObject({ problems: 2 });
});

it("publint finds no fault", async () => {
  const pkgDir = inProject("node_modules/sputnik-r1");
  const { messages, pkg } = await publint({ pkgDir, pack: false, strict: true });
  expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).toEqual([]);
});

it("are-the-types-wrong finds no fault in what ES modules see", async () => {
  const result = await checkPackage(createPackageFromTarballData(readFileSync(tarball)));
  if (result.types === false) throw new Error("the package has no types");
  expect(Object.keys(result.entrypoints)).toEqual(Object.keys(exports));
  // The package is for ES modules: TypeScript's oldest resolution knows no exports, and require gets an ES module.
  const old = ["node10", "node16-cjs"];
  const faults = result.problems.filter(
    (one) => !("resolutionKind" in one && old.includes(one.resolutionKind)),
  );
  expect(faults).toEqual([]);
});
