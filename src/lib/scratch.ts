/**
 * Folders for temporary files of one process. They are removed when it is done or killed, and at the latest when another
 * process starts: their names tell the owner.
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

/** Types, by `statfs`, of file systems in memory: Linux's tmpfs and ramfs. */
const IN_MEMORY = [0x01021994, 0x858458f6];

/** The system's temporary folder; if that is in memory, where mapping a file saves nothing, /var/tmp. */
export function temporaryFolder(typeOf = (path: string) => statfsSync(path).type): string {
  const folder = tmpdir();
  if (process.platform !== "linux" || process.env.TMPDIR !== undefined) return folder;
  return IN_MEMORY.includes(typeOf(folder)) && existsSync("/var/tmp") ? "/var/tmp" : folder;
}

/** Makes a folder that only this user can read. Folders of dead processes are removed first, to free their space. */
export function scratchFolder(kind: "model" | "profile" | "export", parent = temporaryFolder()): Scratch {
  removeLeftovers(parent);
  const { pid, started, place } = thisProcess();
  const unique = randomBytes(6).toString("hex");
  // An export's folder is hidden, since it is beside a person's files.
  const name = kind === "export" ? ".sputnik-export" : `sputnik-${kind}`;
  const path = join(parent, `${name}-${pid}-${started ?? "0"}-${place}-${unique}`);
  // Started before the folder is made: a signal may come in between.
  const dismiss = removeWhenKilled(path);
  mkdirSync(path, { mode: 0o700 });
  const remove = (): void => {
    rmSync(path, { recursive: true, force: true, maxRetries: 3 });
    dismiss();
  };
  return { path, remove };
}

/**
 * Starts a shell that waits for the end of a pipe and removes the folder. The kernel closes the pipe when this process ends
 * in any way; a signal handler would not run while ONNX Runtime has the thread.
 */
function removeWhenKilled(path: string): () => void {
  if (process.platform === "win32") return () => {};
  // Detached: Ctrl-C and a closed terminal do not reach it.
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

/** Names with the owner, and names of older versions without: six characters. */
const NAME =
  /^(?:(?:sputnik-(?:model|profile)|\.sputnik-export)-(\d+)-(\d+)-([0-9a-f]{8})-[A-Za-z0-9]{6,12}|sputnik-(?:model|profile)-[A-Za-z0-9]{6})$/;
/** Files of older versions: a saved graph with its weights, or profiles. A folder with others is a person's. */
const CONTENT = /^(?:model\.onnx(?:\.data|\.json)?|trace.*\.json)$/;
/** How long after its last change a folder is kept whose owner is not visible here. */
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
      // Another process removes it too, or it is mapped (Windows).
    }
  }
}

const lastChange = (folder: string): number =>
  Math.max(
    ...[folder, ...namesIn(folder).map((name) => join(folder, name))].map((p) => lstatSync(p).mtimeMs),
  );

/** Whether the path is a folder, not a link, of this user: anybody can make such names in a temporary folder. */
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
