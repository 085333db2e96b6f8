/**
 * `npm pack` and `npm publish` call this before and after: the package carries ONNX Runtime in dist/onnxruntime-node.
 *
 * As a dependency of the published package, onnxruntime-node would run its install script in every project that installs
 * Sputnik. On Linux x64 that script downloads CUDA libraries from NuGet, and where NuGet is not reachable, `npm install` fails
 * (npm 10 and 11; npm 12 blocks the script with a warning). A package cannot switch off the script of its dependency: npm
 * reads `allowScripts` and `overrides` of the root project alone, a shrinkwrap changes nothing, a bundled dependency's
 * script runs too, and an optional dependency whose script fails is left out, silently. The copy has no script and lacks
 * what no session of ours loads: DirectML, the shader compiler of WebGPU on Windows, and macOS's library under its second
 * name.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

const SOURCE = join("node_modules", "onnxruntime-node");
const TARGET = join("dist", "onnxruntime-node");
/** Folders of the package that are carried: its JavaScript and its libraries. */
const CARRIED = ["dist", "bin"];
/** Libraries of DirectML, of WebGPU's shaders and of `npm run gpu:setup`; a second name; types and source maps. */
const LEFT_OUT =
  /^(DirectML\.dll|dxcompiler\.dll|dxil\.dll|libonnxruntime_providers_.+|libonnxruntime\.\d+\.\d+\.\d+\.dylib|.+\.d\.ts|.+\.map)$/;

rmSync(TARGET, { recursive: true, force: true });
if (!process.argv.includes("--remove")) {
  mkdirSync(TARGET, { recursive: true });
  for (const folder of CARRIED)
    cpSync(join(SOURCE, folder), join(TARGET, folder), {
      recursive: true,
      filter: (path) => !LEFT_OUT.test(basename(path)),
    });
  const described = JSON.parse(readFileSync(join(SOURCE, "package.json"), "utf8"));
  for (const key of ["scripts", "dependencies", "devDependencies", "types"]) delete described[key];
  writeFileSync(join(TARGET, "package.json"), `${JSON.stringify(described, null, 2)}\n`);
  // The package of ONNX Runtime has no licence file. Its licence is ours, MIT, with another holder.
  const license = readFileSync("LICENSE", "utf8");
  writeFileSync(
    join(TARGET, "LICENSE"),
    license.replace(/^Copyright .*$/m, "Copyright (c) Microsoft Corporation"),
  );
}
