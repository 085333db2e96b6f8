/** Whether others use this machine too: they reach a port on localhost as well as its owner does. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";

/** Accounts of people begin here on Linux; "nobody" ends them. */
const [FIRST, LAST] = [1000, 65_533];
const isPerson = (uid: number): boolean => uid >= FIRST && uid <= LAST;

/** By the process's number: a container may run under one that has no account, and so no name. */
export function isSharedMachine(me = process.getuid?.() ?? -1, root = "/"): boolean {
  if (process.platform === "darwin")
    return names(`${root}Users`).some(
      (name) => !/^(Shared|Guest|\..*)$/.test(name) && owner(`${root}Users/${name}`) !== me,
    );
  if (process.platform !== "linux") return false;
  const others = names(`${root}proc`)
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => owner(`${root}proc/${pid}`));
  if (others.some((uid) => uid !== me && isPerson(uid))) return true;
  // The accounts of a container's image are nobody's.
  if (existsSync(`${root}.dockerenv`) || existsSync(`${root}run/.containerenv`)) return false;
  return read(`${root}etc/passwd`)
    .split("\n")
    .map((line) => line.split(":"))
    .some(
      ([, , uid, , , home, shell]) =>
        isPerson(Number(uid)) &&
        Number(uid) !== me &&
        !/(nologin|false)$/.test(shell ?? "") &&
        existsSync(`${root}${home?.slice(1)}`),
    );
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** -1 where it cannot be seen. */
const owner = (path: string): number => statSync(path, { throwIfNoEntry: false })?.uid ?? -1;

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
