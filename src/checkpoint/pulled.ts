/** Where `sputnik pull` puts models, by their names on the Hub, so that a name is enough to find one again. */
import fs from "node:fs";
import os from "node:os";
import { dirname, join } from "node:path";
import { replaceFile } from "../lib/disk.ts";
import { HUB_NAME, type HubModel } from "./hub.ts";
import { holdsModel, isGguf } from "./model.ts";

/** SPUTNIK_CACHE, or the person's own cache. */
function cacheFolder(): string {
  const { SPUTNIK_CACHE, XDG_CACHE_HOME } = process.env;
  return join(SPUTNIK_CACHE || join(XDG_CACHE_HOME || join(os.homedir(), ".cache"), "sputnik"), "models");
}

/** A name's folder, which holds one of each commit. */
const nameFolder = (name: string): string => join(cacheFolder(), name.replace("/", "--"));

/** Of a name's folder the place, relative to it, of what was pulled last and is whole. */
const LAST = "last";

export const pullFolder = ({ name, commit }: HubModel): string => join(nameFolder(name), commit.slice(0, 12));

/** Says that a model is whole, once its files are: the folder that `pullFolder` gave, or the GGUF file in it. */
export function rememberPulled(model: HubModel, paths: readonly string[]): void {
  const folder = pullFolder(model);
  // Any part opens all parts of a split file.
  const place = [model.commit.slice(0, 12), ...paths.filter(isGguf).toSorted().slice(0, 1)].join("/");
  replaceFile(join(dirname(folder), LAST), `${place}\n`);
}

/** The model of that name that was pulled last: a folder, or a GGUF file. `null` where there is none, or not all of it. */
export function pulledModel(name: string): string | null {
  const last = join(nameFolder(name), LAST);
  if (!HUB_NAME.test(name) || !fs.existsSync(last)) return null;
  const place = join(nameFolder(name), fs.readFileSync(last, "utf8").trim());
  return holdsModel(place) ? place : null;
}
