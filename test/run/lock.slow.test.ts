/** X16: one process trains a run, whatever machines and containers share its folder. */
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { thisProcess } from "../../src/lib/owner.ts";
import { acquireLock } from "../../src/run/lock.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { until } from "../cli/command.ts";

const pulse = { beatMs: 50, patienceMs: 600 };
const place = (): string => join(temporaryFolder(), "lock.json");
const take = (path: string) => acquireLock(path, "mine", pulse);

/** As another container of this host wrote it: its process 1 is none that can be seen from here. */
const foreign = JSON.stringify({
  pid: 2 ** 22 + 1,
  started: "12",
  place: "0a1b2c3d",
  host: hostname(),
  beats: true,
});

describe("a lock of another container with the same host name", () => {
  it("is respected while its time changes", () => {
    const path = place();
    fs.writeFileSync(path, foreign);
    const beating = spawnBeat(path);
    try {
      expect(() => take(path)).toThrow(/is being written by process \d+ in another container/);
    } finally {
      beating();
    }
  });

  it("is taken over when its time stays the same", () => {
    const path = place();
    fs.writeFileSync(path, foreign);
    const lock = take(path);
    expect(JSON.parse(fs.readFileSync(path, "utf8"))).toMatchObject({ ...thisProcess(), beats: true });
    lock.release();
    expect(fs.existsSync(path)).toBe(false);
  });
});

/** Touches the file from a process of its own, since watching blocks this thread. */
function spawnBeat(path: string): () => void {
  const script = `const t = Date.now(); while (Date.now() - t < 5000) { require("fs").utimesSync(${JSON.stringify(path)}, Date.now() / 1000, Date.now() / 1000); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20); }`;
  const child = spawn(process.execPath, ["-e", script]);
  return () => void child.kill("SIGKILL");
}

it("changes its time while it is held, and no longer afterwards", async () => {
  const path = place();
  const lock = take(path);
  const time = () => fs.statSync(path).mtimeMs;
  const first = time();
  await until(() => time() !== first);
  expect(time()).toBeGreaterThan(first);
  lock.release();
});

it("tells a process that lost it, before it writes a checkpoint", () => {
  const path = place();
  const lock = take(path);
  lock.check();
  fs.writeFileSync(path, foreign);
  expect(() => lock.check()).toThrow(/is being written by process 4194305 in another container/);
  lock.release();
  expect(fs.readFileSync(path, "utf8")).toBe(foreign);
});

const namespaces = spawnSync("unshare", ["-rpf", "--mount-proc", "true"]).status === 0;

it.skipIf(!namespaces)("keeps a process of another pid namespace out", () => {
  const path = place();
  const lock = take(path);
  const module = fileURLToPath(new URL("../../src/run/lock.ts", import.meta.url));
  const script = `import(${JSON.stringify(module)}).then(({ acquireLock }) => acquireLock(${JSON.stringify(path)}, "mine", ${JSON.stringify(pulse)})).then(() => console.log("taken"), (error) => console.log(error.message));`;
  const child = spawnSync(
    "unshare",
    ["-rpf", "--mount-proc", process.execPath, "--import", "tsx", "-e", script],
    { encoding: "utf8" },
  );
  expect(child.stdout).toMatch(/is being written by process \d+ in another container/);
  lock.release();
});

it.skipIf(process.platform === "win32")("without a descriptor for its heart a run goes on", () => {
  const module = fileURLToPath(new URL("../../src/run/lock.ts", import.meta.url));
  const script = `
    import fs from "node:fs";
    const { acquireLock } = await import(${JSON.stringify(module)});
    const held = [];
    try { for (;;) held.push(fs.openSync("/dev/null")); } catch {}
    // Enough for a file, not for a thread.
    for (const fd of held.splice(-2)) fs.closeSync(fd);
    const lock = acquireLock(${JSON.stringify(place())}, "mine");
    await new Promise((resolve) => setTimeout(resolve, 300));
    lock.check();
    lock.release();
    console.log("went on");`;
  const { stdout, stderr } = spawnSync(
    "bash",
    ["-c", `ulimit -n 200; exec "${process.execPath}" --import tsx --input-type=module -e "$0"`, script],
    { encoding: "utf8" },
  );
  expect(stderr).toBe("");
  expect(stdout).toBe("went on\n");
});
