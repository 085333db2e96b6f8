/** A command with its wall time and the resident memory of its process tree (Linux). */
import { execFileSync, spawn } from "node:child_process";

export interface Timed {
  seconds: number;
  gigabytes: number;
}

/** Runs a command and watches the resident memory of its process tree (Linux). */
export function timed(command: string, args: string[], cwd: string): Promise<Timed> {
  const start = performance.now();
  const child = spawn(command, args, {
    cwd,
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, CI: "true" },
  });
  let peak = 0;
  const watch = setInterval(() => {
    peak = Math.max(peak, residentTree(child.pid as number));
  }, 1000);
  return new Promise((resolve, reject) => {
    child.on("exit", (code) => {
      clearInterval(watch);
      if (code === 0) resolve({ seconds: (performance.now() - start) / 1000, gigabytes: peak / 2 ** 30 });
      else reject(new Error(`${command} ${args.join(" ")} ended with ${code}`));
    });
  });
}

function residentTree(root: number): number {
  try {
    const rows = execFileSync("ps", ["-eo", "pid=,ppid=,rss="], { encoding: "utf8" })
      .trim()
      .split("\n")
      .map((line) => line.trim().split(/\s+/).map(Number));
    const family = new Set([root]);
    for (let grown = true; grown; ) {
      grown = false;
      for (const [pid, parent] of rows)
        if (family.has(parent) && !family.has(pid)) {
          family.add(pid);
          grown = true;
        }
    }
    return rows.reduce((total, [pid, , rss]) => total + (family.has(pid) ? rss * 1024 : 0), 0);
  } catch {
    return 0;
  }
}
