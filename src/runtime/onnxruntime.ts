/** ONNX Runtime, silent: the only module that loads it. Its types are those of onnxruntime-common. */
import "./no-telemetry.ts";
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type * as common from "onnxruntime-common";
import { UserError, userError } from "../lib/errors.ts";
import { onnxruntimeFolder, onnxruntimeVersion } from "./onnxruntime-folder.ts";

/** What the package exports beside the names of onnxruntime-common. */
interface Binding {
  listSupportedBackends(): { name: string; bundled: boolean }[];
}

const require = createRequire(import.meta.url);

/** @throws UserError "platform" if the package in `folder` has no library for the platform */
export function checkPlatform(folder: string, platform: string, arch: string): void {
  const libraries = join(folder, "bin", "napi-v6");
  if (existsSync(join(libraries, platform, arch))) return;
  const known = readdirSync(libraries).flatMap((system) =>
    readdirSync(join(libraries, system)).map((processor) => `${system}-${processor}`),
  );
  throw userError(
    "platform",
    `ONNX Runtime has no library for ${platform}-${arch}.`,
    `Use a Node.js for one of ${known.sort().join(", ")}.`,
  );
}

/** What to do where the library is there and does not load. */
export function loadRemedy(platform: string, message: string): string {
  // Windows means a library that the named file needs.
  if (platform === "win32" && /could not be found/i.test(message))
    return "It needs Microsoft's Visual C++ Redistributable: install it, for this processor, and run the same command again.";
  if (platform === "linux" && /ld-linux|GLIBC|musl/.test(message))
    return "It needs glibc 2.28 or newer: use a distribution that has it, such as Debian 10, and not Alpine.";
  return `If this process has loaded another copy of onnxruntime-node, install version ${onnxruntimeVersion()} of it beside Sputnik, so that both use one copy, or run Sputnik in a process of its own.`;
}

function load(): typeof common & Binding {
  checkPlatform(onnxruntimeFolder(), process.platform, process.arch);
  try {
    return require(onnxruntimeFolder());
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new UserError({
      kind: "platform",
      what: `ONNX Runtime could not be loaded: ${message}`,
      remedy: loadRemedy(process.platform, message),
      cause,
    });
  }
}

export const { InferenceSession, Tensor, listSupportedBackends } = load();
