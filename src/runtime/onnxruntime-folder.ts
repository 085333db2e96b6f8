/** Where ONNX Runtime's package is, without loading it. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);

/** The copy that a published Sputnik carries (scripts/carry-onnxruntime.ts says why). A clone has none. */
const CARRIED = fileURLToPath(new URL("../onnxruntime-node", import.meta.url));

const versionIn = (folder: string): string =>
  (require(join(folder, "package.json")) as { version: string }).version;

/** The package that an import would find; `null` where it is not installed. */
function installed(): string | null {
  try {
    return dirname(require.resolve("onnxruntime-node/package.json"));
  } catch {
    return null;
  }
}

/**
 * The installed package where there is no carried one, or where both are of one version: a process cannot load two copies.
 * @throws Error if there is neither
 */
export function chooseFolder(carried: string, found: string | null): string {
  if (existsSync(carried) && (found === null || versionIn(found) !== versionIn(carried))) return carried;
  if (found === null) throw new Error("onnxruntime-node is not installed; run npm ci");
  return found;
}

/** The folder of the package. */
export const onnxruntimeFolder = (): string => chooseFolder(CARRIED, installed());

/** Such as "1.30.0". */
export const onnxruntimeVersion = (): string => versionIn(onnxruntimeFolder());
