/** `sputnik pull NAME`: a model from the Hugging Face Hub into a folder, with progress, resume and checksums. */
import { SingleBar } from "cli-progress";
import { downloadFiles, type Progress } from "../checkpoint/download.ts";
import { hubFromEnvironment, listModel, neededFiles } from "../checkpoint/hub.ts";
import { pullFolder, rememberPulled } from "../checkpoint/pulled.ts";
import { bytes, commandLine, duration } from "./screen.ts";

export interface PullOptions {
  revision?: string;
  to?: string;
  file?: string;
  json?: boolean;
}

export async function pull(name: string, { revision, to, file, json }: PullOptions): Promise<void> {
  const start = performance.now();
  const hub = hubFromEnvironment();
  const model = await listModel(name, revision, hub);
  const folder = to ?? pullFolder(model);
  const shown = json ? null : showProgress();
  const files = await downloadFiles(folder, model, neededFiles(model, file), {
    ...hub,
    replace: to === undefined,
    onProgress: shown?.update,
  }).finally(() => shown?.close());
  if (to === undefined)
    rememberPulled(
      model,
      files.map(({ path }) => path),
    );
  const seconds = (performance.now() - start) / 1000;
  const total = files.reduce((sum, one) => sum + one.bytes, 0);
  if (json) {
    console.log(JSON.stringify({ model: name, commit: model.commit, folder, bytes: total, seconds, files }));
    return;
  }
  const kept = files.every((one) => one.kept) ? "all there already" : duration(seconds);
  console.log(`${folder}: ${files.length} files, ${bytes(total)}, ${kept}; checksums agree.`);
  if (to === undefined) console.log(`Its name finds it: ${commandLine(`chat ${name}`)}`);
}

const LINE_EVERY_MS = 10_000;

/** A bar on a terminal, else a line a file and now and then; on standard error. */
function showProgress(): { update(progress: Progress): void; close(): void } {
  const out = process.stderr;
  if (out.isTTY) {
    const format = "{file}  {bar} {percentage} %  {done} of {all}";
    const bar = new SingleBar({ format, barsize: 24, stream: out, hideCursor: true, linewrap: false });
    let started = false;
    return {
      update({ file, allBytes, allTotal }) {
        const words = { file, done: bytes(allBytes), all: bytes(allTotal) };
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
      out.write(`${file}  ${bytes(done)} of ${bytes(total)}\n`);
    },
    close() {},
  };
}
