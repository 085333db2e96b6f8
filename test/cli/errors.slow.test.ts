/** Bad input: each case gives one clear screen, a non-zero exit, and loses nothing that was saved. */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { SHIPPED } from "../../src/run/find-model.ts";
import { type Ended, launch, sputnik, TINY, temporaryFolder, until, writeRecipe } from "./command.ts";

vi.setConfig({ testTimeout: 240_000 });

let cwd: string;
beforeEach(() => {
  cwd = temporaryFolder();
});

/** What every error has in common. Returns its text. */
function expectScreen({ code, stderr }: Ended): string {
  const start = stderr.lastIndexOf("error ");
  const screen = stderr.slice(start);
  expect(code).toBe(1);
  expect(start, stderr).toBeGreaterThanOrEqual(0);
  expect(screen.trim().split("\n").length).toBeLessThanOrEqual(24);
  expect(screen).not.toMatch(/^ {4}at /m);
  return screen;
}

const short = (steps: number): string => TINY.replace("steps: 120", `steps: ${steps}`);

describe("the recipe", () => {
  test("an unknown key: file, line and the nearest key", async () => {
    writeRecipe(cwd, TINY.replace("everySteps", "evrySteps"));
    const screen = expectScreen(await sputnik(["train", "tiny.yaml"], { cwd }));
    const line = TINY.split("\n").findIndex((text) => text.includes("everySteps")) + 1;
    expect(screen).toContain(`tiny.yaml:${line}:`);
    expect(screen).toContain('"everySteps"');
    expect(fs.existsSync(join(cwd, "runs"))).toBe(false);
  });

  test("an impossible shape: what does not fit, and what would", async () => {
    writeRecipe(cwd, TINY.replace("heads: 2", "heads: 3"));
    const screen = expectScreen(await sputnik(["train", "tiny.yaml"], { cwd }));
    expect(screen).toContain("tiny.yaml:3:");
    expect(screen).toContain('"heads" is 3. Expected a divisor of hiddenSize 32. Use 2 heads');
  });

  test("a file that is not there, for a program too", async () => {
    const ended = await sputnik(["train", "missing.yaml", "--json"], { cwd });
    expectScreen(ended);
    expect(JSON.parse(ended.stdout)).toMatchObject({ error: { kind: "recipe" } });
  });

  test("a task file with a broken line: its number, before the first step", async () => {
    fs.writeFileSync(
      join(cwd, "words.jsonl"),
      '{"question":"1+1?","answer":"#### 2"}\n{"question":"2+2?","answer":"#### 4"}\n{"question": oops}\n',
    );
    writeRecipe(cwd, TINY.replace("{ kind: countdown, numbers: [2] }", "{ kind: jsonl, file: words.jsonl }"));
    const screen = expectScreen(await sputnik(["train", "tiny.yaml"], { cwd }));
    expect(screen).toContain("words.jsonl, line 3");
    expect(fs.existsSync(join(cwd, "runs"))).toBe(false);
  });

  test("what a later stage has no room or no rows for: before the run and in --dry-run (D7, U4)", async () => {
    // Of the 96 positions a prompt leaves at most 85.
    writeRecipe(cwd, TINY.replaceAll("maxNewTokens: 60", "maxNewTokens: 90"));
    fs.mkdirSync(join(cwd, "data"));
    fs.writeFileSync(join(cwd, "data", "rows.jsonl"), '{"question":"1 + 1","answer":"2"}\n');
    writeRecipe(
      join(cwd, "data"),
      TINY.replace(
        "{ kind: countdown, numbers: [2] }",
        "{ kind: jsonl, file: rows.jsonl, split: { validation: 0, test: 0 } }",
      ).replace("problems: 12", "problems: 1, split: train"),
    );
    for (const flags of [["--dry-run"], []]) {
      const room = expectScreen(await sputnik(["train", "tiny.yaml", ...flags], { cwd }));
      expect(room).toMatch(/tiny\.yaml:15:\d+: Stage "base-exam", maxNewTokens: Completions of 90 tokens/);
      const rows = expectScreen(await sputnik(["train", "data/tiny.yaml", ...flags], { cwd }));
      expect(rows).toContain("data/rows.jsonl: none of its 1 rows falls into the test split");
      expect(rows).toContain("test: FILE");
    }
    expect(fs.existsSync(join(cwd, "runs"))).toBe(false);
  });

  test("another recipe under a finished run's name: what differs", async () => {
    writeRecipe(cwd, short(12));
    expect((await sputnik(["train", "tiny.yaml", "--quiet"], { cwd })).code).toBe(0);
    writeRecipe(cwd, short(12).replace("seed: 7", "seed: 8"));
    const screen = expectScreen(await sputnik(["train", "tiny.yaml", "--quiet"], { cwd }));
    expect(screen).toContain("seed: 7 there, 8 here");
    expect(screen).toContain("--fresh");
  });
});

describe("models and checkpoints", () => {
  test("a run that does not exist: what there is instead", async () => {
    const screen = expectScreen(await sputnik(["chat", "nobody"], { cwd }));
    expect(screen).toContain('no model called "nobody"');
    expect(screen).toContain("sputnik train");
  });

  test("a truncated checkpoint: the run goes on from the one before; without one, chat says why", async () => {
    writeRecipe(cwd);
    const running = launch(["train", "tiny.yaml", "--quiet"], { cwd });
    const checkpoints = join(cwd, "runs", "tiny", "checkpoints");
    const saved = (): string[] =>
      fs.existsSync(checkpoints)
        ? fs
            .readdirSync(checkpoints)
            .filter((name) => name.startsWith("step-"))
            .sort()
        : [];
    await until(() => saved().length >= 2);
    running.child.kill("SIGKILL");
    await running.ended;

    const [older, newest] = saved()
      .slice(-2)
      .map((name) => join(checkpoints, name)) as [string, string];
    fs.truncateSync(join(newest, "model", "model.safetensors"), 100);
    const resumed = await sputnik(["train", "tiny.yaml", "--quiet"], { cwd });
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stderr).toContain(
      `skipped damaged checkpoint runs/tiny/checkpoints/${newest.slice(checkpoints.length + 1)}`,
    );
    expect(resumed.stderr).toContain(`resumed from step ${Number(/\d+$/.exec(older)?.[0])}`);

    for (const name of saved()) fs.truncateSync(join(checkpoints, name, "model", "model.safetensors"), 100);
    const screen = expectScreen(await sputnik(["eval", "tiny", "--task", "countdown"], { cwd }));
    expect(screen).toContain("expected");
    expect(screen).toContain("found 100");
    const folder = expectScreen(
      await sputnik(["eval", join(checkpoints, saved()[0] as string, "model"), "--task", "countdown"], {
        cwd,
      }),
    );
    expect(folder).toContain("model.safetensors");
  });
});

describe("the machine", () => {
  test("a disk that fills up: says so, keeps the checkpoints, and goes on later", async () => {
    writeRecipe(cwd);
    const preload = fileURLToPath(new URL("./full-disk.cjs", import.meta.url));
    const ended = await sputnik(["train", "tiny.yaml", "--quiet"], {
      cwd,
      nodeOptions: ["--require", preload],
      env: { DISK_BYTES: "600000" },
    });
    const screen = expectScreen(ended);
    expect(screen).toMatch(/disk is full|a full disk/i);
    expect(screen).toMatch(/free some space/i);
    const resumed = await sputnik(["train", "tiny.yaml", "--quiet"], { cwd });
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stderr).toMatch(/resumed from step \d+/);
  });

  test("no room for the weights while they run: where, and what to do", async () => {
    const preload = fileURLToPath(new URL("./full-disk.cjs", import.meta.url));
    const ended = await sputnik(["complete", SHIPPED], {
      ...{ cwd, input: "1", nodeOptions: ["--require", preload], env: { DISK_BYTES: "600000" } },
    });
    expect(expectScreen(ended)).toMatch(/sputnik-model-.*found a full disk[\s\S]*TMPDIR/);
  });

  test.skipIf(spawnSync("unshare", ["-rm", "true"]).status !== 0)(
    "a real file system of 300 kB",
    async () => {
      writeRecipe(cwd);
      fs.mkdirSync(join(cwd, "runs"));
      const script = 'mount -t tmpfs -o size=300k tmpfs runs && exec "$@"';
      const ended = await sputnik(["train", "tiny.yaml", "--quiet"], {
        cwd,
        wrapper: ["unshare", "-rm", "sh", "-c", script, "sh"],
      });
      expect(expectScreen(ended)).toMatch(/disk is full|a full disk/i);
    },
  );

  test("a port in use: before anything is computed", async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => {
      server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
    });
    writeRecipe(cwd);
    const screen = expectScreen(
      await sputnik(["train", "tiny.yaml", "--serve", "--port", String(port)], { cwd }),
    );
    server.close();
    expect(screen).toContain(`Port ${port} is in use`);
    expect(screen).toContain("--port");
    expect(fs.existsSync(join(cwd, "runs", "tiny", "metrics.jsonl"))).toBe(false);
  });
});

test("NaN in the loss: the step and the first node", async () => {
  writeRecipe(cwd, short(12).replace("lr: 0.02, adamLr: 0.004", "lr: 1.0e+38, adamLr: 1.0e+38"));
  const screen = expectScreen(await sputnik(["train", "tiny.yaml", "--quiet"], { cwd }));
  expect(screen).toMatch(/step \d+: the (loss|gradient norm) is not a finite number/);
  expect(screen).toMatch(/the first node that made one is/);
  expect(screen).toContain("There is no checkpoint yet");
});

test("a policy that is no longer finite: the checkpoint to return to", async () => {
  const broken = short(12).replace("kind: adamw, lr: 1.0e-3", "kind: adamw, lr: 1.0e+38");
  writeRecipe(cwd, broken.replace("schedule: { kind: linear, warmup: 2 }", "schedule: { kind: constant }"));
  const screen = expectScreen(await sputnik(["train", "tiny.yaml", "--quiet"], { cwd }));
  // The update itself was finite: the policy that it made is not.
  expect(screen).toMatch(/the model's logits are not finite numbers/);
  expect(screen).not.toContain("fault of Sputnik");
  expect(screen).toContain("runs/tiny/checkpoints/step-000013");
  expect(screen).toContain("--name");
});

test("a text that is no text is named before the model is loaded", async () => {
  const read = (name: string, bytes: Buffer) => {
    fs.writeFileSync(join(cwd, name), bytes);
    return sputnik(["complete", SHIPPED, name], { cwd });
  };
  const utf16 = await read("utf16.txt", Buffer.from("\uFEFF", "utf16le"));
  expect(utf16.stderr).toContain("There is no text to continue.");
  const archive = await read("notes.txt.gz", gzipSync("notes"));
  expect(archive.stderr).toContain("notes.txt.gz: a gzip archive.");
  expect((await sputnik(["complete", SHIPPED, "."], { cwd })).stderr).toContain("it is a folder");
});

describe("Ctrl-C", () => {
  test("finishes the step, saves, says how to go on; the same command does", async () => {
    writeRecipe(cwd, short(3000));
    const running = launch(["train", "tiny.yaml", "--quiet"], { cwd });
    await until(() => running.output().includes("base 1/3000"));
    running.child.kill("SIGINT");
    const ended = await running.ended;
    expect(ended.code).toBe(130);
    expect(ended.stderr).toContain("To resume: sputnik train tiny.yaml");
    const [saved] = fs
      .readdirSync(join(cwd, "runs", "tiny", "checkpoints"))
      .sort()
      .reverse() as [string];
    const again = launch(["train", "tiny.yaml", "--quiet"], { cwd });
    await until(() => again.output().includes("stage base"));
    expect(again.output()).toContain(`resumed from step ${Number(/\d+$/.exec(saved)?.[0])}`);
    again.child.kill("SIGINT");
    expect((await again.ended).code).toBe(130);
  });

  test("that npm passes on a second time is one", async () => {
    writeRecipe(cwd, short(3000).replace("batch: 8", "batch: 400"));
    const running = launch(["train", "tiny.yaml", "--quiet"], { cwd, env: { npm_command: "run-script" } });
    await until(() => running.output().includes("stage base"));
    running.child.kill("SIGINT");
    await until(() => running.output().includes("Ctrl-C again"));
    running.child.kill("SIGINT");
    const { code, stderr } = await running.ended;
    expect([code, stderr]).toEqual([130, expect.stringContaining("Saved. To resume")]);
  });

  test("twice stops at once", async () => {
    writeRecipe(cwd, short(3000).replace("batch: 8", "batch: 4000"));
    const running = launch(["train", "tiny.yaml", "--quiet"], { cwd });
    await until(() => running.output().includes("stage base"));
    running.child.kill("SIGINT");
    await until(() => running.output().includes("Ctrl-C again"));
    running.child.kill("SIGINT");
    expect((await running.ended).signal).toBe("SIGINT");
  });
});
