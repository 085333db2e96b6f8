/** `sputnik pull NAME`: a model from the Hugging Face Hub into a folder, with progress, resume and checksums. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { SingleBar } from "cli-progress";
import {
  downloadFiles,
  type Fetched,
  type Progress,
  pullFolder,
  rememberPulled,
} from "../checkpoint/download.ts";
import { BEGINNING_BYTES, refusedByBeginning } from "../checkpoint/gguf/beginning.ts";
import { isGguf } from "../checkpoint/gguf/file.ts";
import {
  firstBytes,
  type HubFile,
  type HubModel,
  type HubOptions,
  hubError,
  hubFromEnvironment,
  insecure,
  listModel,
} from "../checkpoint/hub.ts";
import { indexOf, neededFiles } from "../checkpoint/hub-files.ts";
import { readJson } from "../checkpoint/json.ts";
import { blockSize } from "../checkpoint/weights.ts";
import { isUserError } from "../lib/errors.ts";
import { fromHuggingFace } from "../models/architectures.ts";
import { printable, printableJson } from "./printable.ts";
import { bytes, commandLine, duration } from "./screen.ts";

export interface PullOptions {
  revision?: string;
  to?: string;
  file?: string;
  unchecked?: boolean;
  json?: boolean;
}

export async function pull(
  name: string,
  { revision, to, file, unchecked, json }: PullOptions,
): Promise<void> {
  const start = performance.now();
  const hub = hubFromEnvironment();
  const warning = insecure(hub);
  if (warning !== null) console.error(printable(warning));
  const model = await listModel(name, revision, hub);
  const folder = to ?? pullFolder(model);
  const shown = json ? null : showProgress();
  const options = { ...hub, unchecked, replace: to === undefined, onProgress: shown?.update };
  const fetch = (wanted: readonly HubFile[]) => downloadFiles(folder, model, wanted, options);
  let files: Fetched[];
  try {
    const index = indexOf(model, file);
    // The index names the files, and the config shows whether the model can be read here, so both are downloaded first.
    if (index !== undefined)
      await downloadFiles(folder, model, [index], { ...options, onProgress: undefined });
    const content = index === undefined ? undefined : readJson(join(folder, index.path));
    const needed = neededFiles(model, file, content);
    const config = needed.find(({ path }) => path === "config.json");
    if (config === undefined && needed.some(({ path }) => path.endsWith(".safetensors")))
      throw hubError(
        `${name} has weights without a config.json, so nothing says what model they are.`,
        "Look for another copy of the model.",
      );
    if (config !== undefined) {
      await downloadFiles(folder, model, [config], { ...options, onProgress: undefined });
      checkReadable(model, join(folder, config.path));
    }
    await checkGguf(folder, model, needed[0], hub);
    files = await fetch(needed);
  } finally {
    shown?.close();
  }
  if (to === undefined)
    rememberPulled(
      model,
      files.map(({ path }) => path),
    );
  const seconds = (performance.now() - start) / 1000;
  const total = files.reduce((sum, one) => sum + one.bytes, 0);
  if (json) {
    console.log(printableJson({ model: name, commit: model.commit, folder, bytes: total, seconds, files }));
    return;
  }
  const kept = files.every((one) => one.kept) ? "all there already" : duration(seconds);
  const unsure = files.filter(({ sum }) => sum === null).map(({ path }) => path);
  const compared =
    unsure.length === 0
      ? "checksums agree"
      : `size only, without a checksum: ${printable(unsure.join(", "))}`;
  console.log(`${folder}: ${files.length} files, ${bytes(total)}, ${kept}; ${compared}.`);
  if (to === undefined) console.log(`Its name finds it: ${commandLine(`chat ${name}`)}`);
}

/**
 * Checks before gigabytes are downloaded whether the model can be read here. A config that does not tell is left to the
 * reader. @throws UserError naming the architecture that was found
 */
function checkReadable(model: HubModel, file: string): void {
  const config = optionalObject(file);
  if (typeof config?.model_type !== "string") return;
  const refuse = (message: string, remedy: string): never => {
    throw hubError(
      `${model.name} is not read here: ${message}`,
      `${remedy} Nothing but its configuration was fetched.`,
    );
  };
  const has = (path: string): boolean => model.files.some((one) => one.path === path);
  try {
    fromHuggingFace(config);
    blockSize("config.json", config);
  } catch (error) {
    if (!isUserError(error, "config") && !isUserError(error, "checkpoint")) throw error;
    refuse(`${error.message}`, "Look for another model, or for this one in another form.");
  }
  if (!has("tokenizer.json"))
    refuse(
      "it has no tokenizer.json.",
      "Look for a copy that has one: transformers writes it with AutoTokenizer.from_pretrained(...).save_pretrained(...).",
    );
}

/** Checks the first bytes of a GGUF file. If the server does not send them, the file is downloaded unchecked. */
async function checkGguf(
  folder: string,
  model: HubModel,
  file: HubFile | undefined,
  hub: HubOptions,
): Promise<void> {
  if (file === undefined || !isGguf(file.path) || existsSync(join(folder, file.path))) return;
  const beginning = await firstBytes(model, file, BEGINNING_BYTES, hub).catch(() => null);
  const size = file.bytes >= 0 ? file.bytes : Number.MAX_SAFE_INTEGER;
  const refused = beginning === null ? null : refusedByBeginning(file.path, beginning, size);
  if (refused !== null)
    throw hubError(
      `${model.name} is not read here: ${refused.message}`,
      `${refused.remedy} Nothing of it was kept.`,
    );
}

function optionalObject(file: string): Record<string, unknown> | null {
  try {
    const content = readJson(file);
    return typeof content === "object" && content !== null ? (content as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

const LINE_EVERY_MS = 10_000;

/** Prints to standard error: a bar on a terminal, otherwise a line for each file and from time to time. */
function showProgress(): { update(progress: Progress): void; close(): void } {
  const out = process.stderr;
  if (out.isTTY) {
    const format = "{file}  {bar} {percentage} %  {done} of {all}";
    const bar = new SingleBar({ format, barsize: 24, stream: out, hideCursor: true, linewrap: false });
    let started = false;
    return {
      update({ file, allBytes, allTotal }) {
        const words = { file: printable(file), done: bytes(allBytes), all: bytes(allTotal) };
        if (started) bar.update(allBytes, words);
        else bar.start(allTotal, allBytes, words);
        started = true;
      },
      close: () => bar.stop(),
    };
  }
  let [last, when] = ["", 0];
  return {
    update({ file, bytes: done, total }) {
      const now = performance.now();
      if (file === last && (done < total || total === 0) && now - when < LINE_EVERY_MS) return;
      [last, when] = [file, now];
      out.write(`${printable(file)}  ${bytes(done)} of ${bytes(total)}\n`);
    },
    close() {},
  };
}
