/** X3: what a process writes for itself alone goes with it, however it ends. */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, test, vi } from "vitest";
import { writeSynthetic } from "../../bench/synthetic.ts";
import { LOADS_A_WHILE } from "../../bench/trust-leaks.ts";
import { thisProcess } from "../../src/lib/owner.ts";
import { scratchFolder, temporaryFolder } from "../../src/lib/scratch.ts";
import { temporaryFolder as forTest } from "../checkpoint/temporary.ts";
import { launch, until } from "../cli/command.ts";

const [EXT4, TMPFS] = [0xef53, 0x01021994];
const linux = process.platform === "linux";

afterEach(() => vi.unstubAllEnvs());

describe("the temporary folder", () => {
  it("is the system's, on a disk or where the user names one", () => {
    vi.stubEnv("TMPDIR", undefined);
    expect(temporaryFolder(() => EXT4)).toBe(tmpdir());
    vi.stubEnv("TMPDIR", "/somewhere");
    expect(temporaryFolder(() => TMPFS)).toBe(tmpdir());
  });

  it.runIf(linux && fs.existsSync("/var/tmp"))("is not in memory", () => {
    vi.stubEnv("TMPDIR", undefined);
    expect(temporaryFolder(() => TMPFS)).toBe("/var/tmp");
  });
});

describe("leftovers", () => {
  const { pid, started, place } = thisProcess();
  const dead = spawnSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }).stdout.trim();
  const DAY = 24 * 3600;

  /** What is left of these folders when another one begins. `old`: last changed two days ago. */
  function leftOf(names: string[], old: string[] = []): string[] {
    const parent = forTest();
    for (const name of names) {
      fs.mkdirSync(join(parent, name));
      fs.writeFileSync(join(parent, name, "model.onnx.data"), "weights");
    }
    const then = Date.now() / 1000 - 2 * DAY;
    for (const name of old)
      for (const path of [join(parent, name, "model.onnx.data"), join(parent, name)])
        fs.utimesSync(path, then, then);
    const mine = scratchFolder("model", parent);
    expect(fs.statSync(mine.path).mode & 0o777).toBe(process.platform === "win32" ? 0o666 : 0o700);
    mine.remove();
    return fs.readdirSync(parent).sort();
  }

  it.runIf(linux)(
    "of dead processes and of reused process ids are removed, those of living ones are not",
    () => {
      const mine = `sputnik-model-${pid}-${started}-${place}-abcdef`;
      const gone = [
        `sputnik-model-${dead}-12345-${place}-abcdef`,
        `sputnik-profile-${dead}-12345-${place}-abcdef`,
        `sputnik-model-${pid}-1-${place}-abcdef`,
      ];
      expect(leftOf([mine, ...gone])).toEqual([mine]);
    },
  );

  it("whose owner cannot be seen are removed a day after their last change, not before", () => {
    const foreign = ["00000000-abcdef", "00000000-ghijkl"].map((end) => `sputnik-model-${dead}-12345-${end}`);
    const unnamed = ["sputnik-model-abcdef", "sputnik-model-ghijkl"];
    expect(leftOf([...foreign, ...unnamed], [foreign[1], unnamed[1]])).toEqual([foreign[0], unnamed[0]]);
  });

  it("a person's own folder of such a name stays, however old it is", () => {
    const parent = forTest();
    const then = Date.now() / 1000 - 30 * DAY;
    const folders = [
      ["sputnik-model-backup", "config.json"],
      ["sputnik-model-smollm2", "model.onnx.data"],
      ["sputnik-profile-thesis", "notes.txt"],
    ] as const;
    for (const [name, file] of folders) {
      fs.mkdirSync(join(parent, name));
      fs.writeFileSync(join(parent, name, file), "mine");
      for (const path of [join(parent, name, file), join(parent, name)]) fs.utimesSync(path, then, then);
    }
    fs.mkdirSync(join(parent, "sputnik-model-unused"));
    fs.utimesSync(join(parent, "sputnik-model-unused"), then, then);
    scratchFolder("model", parent).remove();
    expect(fs.readdirSync(parent).sort()).toEqual(
      [...folders.map(([name]) => name), "sputnik-model-unused"].sort(),
    );
  });

  it("of others are never touched: other names, files, links", () => {
    const parent = forTest();
    const other = forTest();
    fs.writeFileSync(join(other, "kept"), "");
    const file = `sputnik-model-${dead}-1-${place}-abcdef`;
    const link = `sputnik-model-${dead}-2-${place}-abcdef`;
    fs.writeFileSync(join(parent, file), "");
    fs.symlinkSync(other, join(parent, link));
    const names = [
      `my-sputnik-model-${dead}-1-${place}-abcdef`,
      `sputnik-model-${dead}-1-${place}-abcdef.bak`,
    ];
    for (const name of names) fs.mkdirSync(join(parent, name));
    scratchFolder("model", parent).remove();
    expect(fs.readdirSync(parent).sort()).toEqual([file, link, ...names].sort());
    expect(fs.readdirSync(other)).toEqual(["kept"]);
  });
});

test.runIf(process.platform !== "win32")(
  "a signal while a model loads leaves nothing in the temporary folder",
  async () => {
    const cwd = forTest();
    const env = { TMPDIR: join(cwd, "tmp"), HOME: cwd };
    const model = join(cwd, "model");
    for (const folder of [env.TMPDIR, model]) fs.mkdirSync(folder);
    writeSynthetic(model, LOADS_A_WHILE);
    const found = () => fs.readdirSync(env.TMPDIR);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"] as const) {
      const running = launch(["chat", model], { cwd, env, input: "82 27 11 = 44\n" });
      await until(() => found().length > 0, 1);
      running.child.kill(signal);
      expect((await running.ended).signal).toBe(signal);
      await until(() => found().length === 0, 1);
    }
  },
);
