/** What a person should know of a model's files before it answers: settings that are not applied, files that are not read. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { settingsIn } from "../checkpoint/generation-settings.ts";
import { openParts } from "../checkpoint/gguf/file.ts";
import { samplingOf } from "../checkpoint/gguf/values.ts";
import { readJson } from "../checkpoint/json.ts";
import { isGguf } from "../checkpoint/model.ts";
import { strayWeights } from "../checkpoint/shards.ts";
import { MOST_POSITIONS } from "../models/rope.ts";
import { notApplied } from "./defaults.ts";

/** Sentences, none where there is nothing to say. @throws UserError for files that cannot be read */
export function modelNotes(path: string): string[] {
  const file = isGguf(path) ? path : settingsFile(path);
  const settings = notApplied(isGguf(path) ? ggufSettings(path) : settingsIn(fields(file)));
  return [
    ...strayWeights(path),
    ...(isGguf(path) ? [] : positions(path)),
    ...(settings.length === 0
      ? []
      : [
          `${file}: not applied here: ${settings.join(", ")}. Answers differ from those of programs that do.`,
        ]),
  ];
}

/** Where a folder says how its model wants to be sampled. */
function settingsFile(folder: string): string {
  const file = join(folder, "generation_config.json");
  return existsSync(file) ? file : join(folder, "config.json");
}

function positions(folder: string): string[] {
  const claimed = fields(join(folder, "config.json")).max_position_embeddings;
  if (typeof claimed !== "number" || claimed <= MOST_POSITIONS) return [];
  return [
    `${folder}: of its ${claimed.toLocaleString("en")} positions the first ${MOST_POSITIONS.toLocaleString("en")} are used here.`,
  ];
}

function fields(file: string): Record<string, unknown> {
  return (readJson(file, { optional: true }) ?? {}) as Record<string, unknown>;
}

function ggufSettings(path: string): Record<string, unknown> {
  const parts = openParts(path);
  for (const part of parts) part.close();
  return samplingOf(parts[0]!.header.metadata);
}
