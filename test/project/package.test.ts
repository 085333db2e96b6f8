/** What a clean install depends on beyond the code. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

/**
 * The install script fetches CUDA libraries from NuGet on Linux x64. npm runs a locked package's script only where the
 * lockfile says that there is one; `allowScripts` alone does not stop npm 10.
 */
it("npm ci does not run ONNX Runtime's install script: package-lock.json names none", () => {
  const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
  expect(packages["node_modules/onnxruntime-node"].version).toMatch(/^\d/);
  expect(packages["node_modules/onnxruntime-node"].hasInstallScript).toBeUndefined();
  expect(JSON.parse(readFileSync("package.json", "utf8")).allowScripts["onnxruntime-node"]).toBe(false);
});

it(".npmrc holds keys that npm knows", () => {
  const keys = readFileSync(".npmrc", "utf8").matchAll(/^([^=\s]+)\s*=/gm);
  expect([...keys].map(([, key]) => key)).toEqual(["save-exact"]);
});
