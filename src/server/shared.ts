/** Whether other people use this machine, who can reach a port on localhost too. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";

/** User ids of people on Linux, up to "nobody". */
const [FIRST, LAST] = [1000, 65_533];
const isPerson = (uid: number): boolean => uid >= FIRST && uid <= LAST;

/** By user ids, since a container's process may have one without an account. */
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
  // Accounts in a container's image belong to no person.
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
