/**
 * Folders for what a process writes for itself alone. They go when it is done, when it is killed, and at the latest when
 * another one begins: their names tell whose they are.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lives, type Owner, thisProcess } from "./owner.ts";

export interface Scratch {
  path: string;
  remove(): void;
}

/** What `statfs` says of file systems that lie in memory: Linux's tmpfs and ramfs. */
const IN_MEMORY = [0x01021994, 0x858458f6];

/** The system's temporary folder; where that lies in memory, in which a mapped file saves nothing, Linux's other one. */
export function temporaryFolder(typeOf = (path: string) => statfsSync(path).type): string {
  const folder = tmpdir();
  if (process.platform !== "linux" || process.env.TMPDIR !== undefined) return folder;
  return IN_MEMORY.includes(typeOf(folder)) && existsSync("/var/tmp") ? "/var/tmp" : folder;
}

/** A new folder of this process, readable by this user alone. Those of dead processes go first: it may need their room. */
export function scratchFolder(kind: "model" | "profile" | "export", parent = temporaryFolder()): Scratch {
  removeLeftovers(parent);
  const { pid, started, place } = thisProcess();
  const unique = randomBytes(6).toString("hex");
  // Beside a person's own files it is hidden.
  const name = kind === "export" ? ".sputnik-export" : `sputnik-${kind}`;
  const path = join(parent, `${name}-${pid}-${started ?? "0"}-${place}-${unique}`);
  // Before the folder is there: a signal may come in between.
  const dismiss = removeWhenKilled(path);
  mkdirSync(path, { mode: 0o700 });
  const remove = (): void => {
    rmSync(path, { recursive: true, force: true, maxRetries: 3 });
    dismiss();
  };
  return { path, remove };
}

/**
 * A shell that waits for the other end of a pipe: the kernel closes it when this process ends, however that comes about,
 * and a handler of signals would not run while ONNX Runtime has the thread.
 */
function removeWhenKilled(path: string): () => void {
  if (process.platform === "win32") return () => {};
  // A session of its own, which Ctrl-C and a closed terminal do not reach.
  const shell = spawn("/bin/sh", ["-c", 'read _; rm -rf -- "$1"', "sh", path], {
    ...{ detached: true, cwd: "/", stdio: ["pipe", "ignore", "ignore"] },
  });
  // Without a shell the next start cleans up.
  shell.on("error", () => {});
  shell.stdin?.on("error", () => {});
  shell.unref();
  (shell.stdin as unknown as { unref(): void }).unref();
  return () => void shell.stdin?.end();
}

/** With the owner; those of older versions had none, and six further characters. */
const NAME =
  /^(?:(?:sputnik-(?:model|profile)|\.sputnik-export)-(\d+)-(\d+)-([0-9a-f]{8})-[A-Za-z0-9]{6,12}|sputnik-(?:model|profile)-[A-Za-z0-9]{6})$/;
/** What the latter held: a saved graph with its weights, or profiles. With anything else the folder is a person's. */
const CONTENT = /^(?:model\.onnx(?:\.data|\.json)?|trace.*\.json)$/;
/** Folders whose owner cannot be seen from here are left alone for this long after their last change. */
const FOREIGN_MS = 24 * 60 * 60 * 1000;

function removeLeftovers(parent: string): void {
  for (const name of namesIn(parent)) {
    const parts = NAME.exec(name);
    if (parts === null) continue;
    const [, pid, started, place] = parts;
    const owner: Owner | null =
      pid === undefined ? null : { pid: Number(pid), started: started === "0" ? null : started, place };
    const path = join(parent, name);
    try {
      const alive = owner === null ? "unknown" : lives(owner);
      if (!isMine(path) || alive === true) continue;
      const files = namesIn(path);
      if (owner === null && (files.length === 0 || !files.every((file) => CONTENT.test(file)))) continue;
      if (alive === "unknown" && Date.now() - lastChange(path) < FOREIGN_MS) continue;
      rmSync(path, { recursive: true, force: true });
    } catch {
      // Another process removes it as well, or it is mapped (Windows).
    }
  }
}

const lastChange = (folder: string): number =>
  Math.max(
    ...[folder, ...namesIn(folder).map((name) => join(folder, name))].map((p) => lstatSync(p).mtimeMs),
  );

/** A folder, no link, and this user's: names in a temporary folder can be anybody's. */
function isMine(path: string): boolean {
  const stats = lstatSync(path);
  return stats.isDirectory() && (process.getuid === undefined || stats.uid === process.getuid());
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
