/** Nothing that a person does to the terminal ends a run (D8). */
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { TINY_RUN } from "../../bench/trust-leaks.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { until } from "./command.ts";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const MODEL = fileURLToPath(new URL("../../models/tiny-r1-zero", import.meta.url));
const node = `"${process.execPath}" "${MAIN}"`;

function place(recipe = TINY_RUN): string {
  const cwd = temporaryFolder();
  fs.writeFileSync(join(cwd, "tiny.yaml"), recipe);
  return cwd;
}

const finished = (cwd: string): boolean => {
  const info = join(cwd, "runs", "tiny", "run.json");
  return fs.existsSync(info) && JSON.parse(fs.readFileSync(info, "utf8")).finishedAt !== null;
};

/** In bash; the exit code is the command's own. */
const shell = (command: string, cwd: string) =>
  spawnSync("bash", ["-c", command], { cwd, encoding: "utf8", env: { ...process.env, CI: "" } });

describe.skipIf(process.platform === "win32")("a run comes to its end", () => {
  test.each([
    [
      "both streams into a reader that leaves",
      `${node} train tiny.yaml 2>&1 | head -1; exit \${PIPESTATUS[0]}`,
      0,
    ],
    ["no descriptor at all", `${node} train tiny.yaml <&- >&- 2>&-`, 0],
    // The result was asked for and is not there.
    ["standard output on a full disk", `${node} train tiny.yaml --json >/dev/full`, 1],
    ["both on a full disk", `${node} train tiny.yaml >/dev/full 2>&1`, 1],
  ])("%s", (_, command, code) => {
    const cwd = place();
    const { status, stderr } = shell(command, cwd);
    expect(finished(cwd)).toBe(true);
    expect(status).toBe(code);
    if (command.endsWith("--json >/dev/full"))
      expect(stderr).toMatch(/Standard output could not be written: the disk is full/);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test.skipIf(spawnSync("script", ["--version"]).status !== 0)(
    "a terminal that is closed amid it",
    async () => {
      const cwd = place(TINY_RUN.replace("steps: 20", "steps: 300"));
      const terminal = spawn("script", ["-qfec", `${node} train tiny.yaml`, "/dev/null"], {
        cwd,
        stdio: "pipe",
      });
      const metrics = join(cwd, "runs", "tiny", "metrics.jsonl");
      await until(() => fs.existsSync(metrics) && fs.statSync(metrics).size > 0);
      // The pseudo-terminal goes with it: SIGHUP for the run, and EIO for what it writes.
      terminal.kill("SIGKILL");
      expect(finished(cwd)).toBe(false);
      await until(() => finished(cwd));
      expect(fs.readFileSync(metrics, "utf8").trim().split("\n")).toHaveLength(300);
    },
  );
});

test.skipIf(spawnSync("script", ["--version"]).status !== 0)(
  "a terminal that is closed is no failure of the run: what comes after it in a script is done",
  async () => {
    const cwd = place(TINY_RUN.replace("steps: 20", "steps: 60"));
    // A shell that outlives the terminal, as under nohup.
    const script = `trap "" HUP; ${node} train tiny.yaml; echo $? > code`;
    const terminal = spawn("script", ["-qfec", script, "/dev/null"], { cwd, stdio: "pipe" });
    const metrics = join(cwd, "runs", "tiny", "metrics.jsonl");
    await until(() => fs.existsSync(metrics) && fs.statSync(metrics).size > 0);
    terminal.kill("SIGKILL");
    await until(() => fs.existsSync(join(cwd, "code")) && fs.statSync(join(cwd, "code")).size > 0);
    expect(finished(cwd)).toBe(true);
    expect(fs.readFileSync(join(cwd, "code"), "utf8")).toBe("0\n");
  },
);

test.skipIf(process.platform === "win32")("answers that nobody reads any more are not sampled", () => {
  const questions = "82 27 11 = 44\\n".repeat(2000);
  const start = performance.now();
  const { status } = shell(
    `printf '${questions}' | ${node} chat "${MODEL}" | head -1; exit \${PIPESTATUS[1]}`,
    temporaryFolder(),
  );
  expect(status).toBe(0);
  // 2,000 answers take minutes.
  expect(performance.now() - start).toBeLessThan(40_000);
});
