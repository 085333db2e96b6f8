/** D5: a clean install needs the npm registry alone, with the npm of Node 20 as with later ones, and warns of nothing. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

const readJson = (file: string) => JSON.parse(readFileSync(file, "utf8"));
const { allowScripts, dependencies, devDependencies } = readJson("package.json");
interface Locked {
  dev?: boolean;
  hasInstallScript?: boolean;
  resolved?: string;
  engines?: { node?: string };
}
const packages: Record<string, Locked> = readJson("package-lock.json").packages;

it("install scripts of dependencies do not run, least of all the one that asks NuGet for CUDA", () => {
  expect(allowScripts).toMatchObject({ "onnxruntime-node": false });
  const withScripts = Object.entries(packages)
    .filter(([path, { hasInstallScript }]) => path !== "" && hasInstallScript)
    .map(([path]) => path.replace(/^.*node_modules\//, ""));
  for (const name of withScripts.filter((n) => n !== "fsevents"))
    expect(allowScripts, name).toHaveProperty(name, false);
});

/** npm 10 does not know allowScripts. It looks for a script only in packages that the lockfile marks. */
it("the lockfile marks no script of ONNX Runtime; after an update of it, delete that line again", () => {
  expect(packages).toHaveProperty(["node_modules/onnxruntime-node", "integrity"]);
  expect(packages["node_modules/onnxruntime-node"].hasInstallScript).toBeUndefined();
});

/** npm warns of each such package (EBADENGINE). `sputnik-r1/ai` is compiled with the types of @ai-sdk/provider, which run nowhere. */
it("no package of the lockfile wants a later Node; after an update of @ai-sdk/provider, delete its engines again", () => {
  for (const [path, { engines }] of Object.entries(packages)) {
    const ranges = (engines?.node ?? "*").split("||");
    const majors = ranges.map((range) => Number(/\d+/.exec(range)?.[0] ?? 0));
    expect(Math.min(...majors), path).toBeLessThanOrEqual(20);
  }
});

/** npm reads allowScripts of the root project alone, so a script of a dependency would run wherever Sputnik is installed. */
it("the published package has no dependency with an install script: it carries ONNX Runtime", () => {
  const published = Object.entries(packages).filter(([path, { dev }]) => path !== "" && !dev);
  expect(published.filter(([, { hasInstallScript }]) => hasInstallScript)).toEqual([]);
  expect(published.map(([path]) => path)).not.toContain("node_modules/onnxruntime-node");
  expect(dependencies["onnxruntime-common"]).toBe(devDependencies["onnxruntime-node"]);
});

it(".npmrc holds keys that npm knows: npm 11 warns of others at each command", () => {
  const keys = readFileSync(".npmrc", "utf8").matchAll(/^([^=\s]+)\s*=/gm);
  expect([...keys].map(([, key]) => key)).toEqual(["save-exact"]);
});

it("versions are exact, so that this gate holds for what is installed", () => {
  for (const [name, version] of Object.entries(dependencies))
    expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
});

it("everything in the lockfile comes from the registry", () => {
  for (const [path, { resolved }] of Object.entries(packages))
    if (resolved !== undefined) expect(resolved, path).toMatch(/^https:\/\/registry\.npmjs\.org\//);
});
