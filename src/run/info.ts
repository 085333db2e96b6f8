/** What `run.json` says about a run: enough to make it again, and to see on what it was made. */
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import os from "node:os";
import type { Recipe } from "../recipe/schema.ts";
import { onnxruntimeVersion } from "../runtime/onnxruntime-folder.ts";

export interface RunInfo {
  name: string;
  seed: number;
  /** Of the file that was given, in full: the paths in the recipe are relative to it. Absent in older runs. */
  recipeFolder?: string;
  /** Of the recipe with all defaults filled in. */
  recipeHash: string;
  /** Whether it takes over finished stages of the runs beside it. Absent in older runs. */
  reuse?: boolean;
  versions: { sputnik: string; node: string; onnxruntime: string };
  platform: string;
  cpu: string;
  /** ISO 8601. */
  startedAt: string;
  /** When each process took the run up, the first included. */
  sessions: string[];
  finishedAt: string | null;
}

export function describeRun(name: string, recipe: Recipe, now: string, recipeFolder?: string): RunInfo {
  return {
    name,
    seed: recipe.seed,
    ...(recipeFolder !== undefined && { recipeFolder }),
    recipeHash: hashRecipe(recipe),
    versions: {
      sputnik: packageVersion("../../package.json"),
      node: process.versions.node,
      onnxruntime: onnxruntimeVersion(),
    },
    platform: `${os.platform()}-${os.arch()}`,
    cpu: os.cpus()[0]?.model.trim() || "unknown",
    startedAt: now,
    sessions: [now],
    finishedAt: null,
  };
}

/** Equal for recipes that mean the same, however their YAML is laid out. */
export function hashRecipe(recipe: Recipe): string {
  return createHash("sha256")
    .update(JSON.stringify(sorted(recipe)))
    .digest("hex")
    .slice(0, 16);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}

function packageVersion(path: string): string {
  try {
    const { version } = createRequire(import.meta.url)(path) as { version?: unknown };
    return String(version ?? "unknown");
  } catch {
    return "unknown";
  }
}
