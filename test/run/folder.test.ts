import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { EvaluationRecord } from "../../src/events.ts";
import { BillBook, type BillFile } from "../../src/ledger/bill.ts";
import { UserError } from "../../src/lib/errors.ts";
import { Journal, readJournal } from "../../src/lib/journal.ts";
import { loadRecipe } from "../../src/recipe/load.ts";
import { type MetricsLine, type RunFolder, readJson, resumeOrCreate } from "../../src/run/folder.ts";
import { readRun } from "../../src/run/reader.ts";

const recipe = loadRecipe("recipes/tiny-r1-zero.yaml");
let root: string;
const open: RunFolder[] = [];

beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), "sputnik-run-"));
});

afterEach(() => {
  vi.restoreAllMocks();
  for (const run of open.splice(0)) run.close();
  fs.rmSync(root, { recursive: true });
});

function start(options: Parameters<typeof resumeOrCreate>[1] = {}, of = recipe): RunFolder {
  const run = resumeOrCreate(of, { root, ...options });
  open.push(run);
  return run;
}

function stop(run: RunFolder): void {
  open.splice(open.indexOf(run), 1);
  run.close();
}

const line = (step: number, loss: number | null = step): MetricsLine => ({
  stage: "base",
  step,
  totalSteps: 30,
  metrics: { loss },
});

const stepsIn = (run: RunFolder): number[] =>
  readJournal<MetricsLine>(run.paths.metrics).map(({ step }) => step);

describe("a new run", () => {
  test("records the recipe as run, seed, versions and machine", () => {
    const run = start({ recipeText: fs.readFileSync("recipes/tiny-r1-zero.yaml", "utf8") });
    expect(run.resumed).toBe(false);
    expect(fs.readFileSync(run.paths.recipe, "utf8")).toMatch(/^# A small R1-Zero/m);
    const info = JSON.parse(fs.readFileSync(run.paths.info, "utf8"));
    expect(info).toMatchObject({ name: "tiny-r1-zero", seed: 1, finishedAt: null });
    expect(info.versions.node).toBe(process.versions.node);
    expect(info.versions.onnxruntime).toMatch(/^\d+\.\d+/);
    run.finish("2026-01-01T00:00:00.000Z");
    expect(JSON.parse(fs.readFileSync(run.paths.info, "utf8")).finishedAt).toBe("2026-01-01T00:00:00.000Z");
  });

  test("without a recipe text writes one that loads to the same recipe", () => {
    expect(loadRecipe(start().paths.recipe)).toEqual(recipe);
  });
});

describe("journals", () => {
  test.skipIf(process.platform === "win32")(
    "are written in the run's own folder: a link that a stranger put there leads to nothing of a person's",
    () => {
      const run = start();
      const { metrics, samples, evaluations, charges } = run.paths;
      stop(run);
      const diary = join(root, "diary.txt");
      for (const journal of [metrics, samples, evaluations, charges]) {
        fs.writeFileSync(diary, "Dear diary,\nno line end");
        fs.renameSync(journal, `${journal}.own`);
        fs.symlinkSync(diary, journal);
        expect(() => start()).toThrow(`${journal} is a link, and is not written through.`);
        expect(fs.readFileSync(diary, "utf8")).toBe("Dear diary,\nno line end");
        fs.renameSync(`${journal}.own`, journal);
      }
      start();
    },
  );

  test.skipIf(process.platform === "win32")(
    "and a run's other files are read from files, not from devices",
    () => {
      const path = join(root, "endless");
      fs.symlinkSync("/dev/null", path);
      expect(() => readJournal(path)).toThrow(/endless is no file/);
      expect(() => readJson(path)).toThrow(/endless: a pipe or a device, not a file/);
      const run = start();
      stop(run);
      for (const file of [run.paths.recipe, run.paths.info]) {
        fs.renameSync(file, `${file}.own`);
        fs.symlinkSync("/dev/null", file);
        expect(() => readRun(run.folder)).toThrow(/a pipe or a device/);
        fs.rmSync(file);
        fs.renameSync(`${file}.own`, file);
      }
      expect(readRun(run.folder).info.name).toBe(recipe.name);
    },
  );

  test.skipIf(process.platform === "win32")(
    "checkpoints of another run are not taken up, those on another disk are",
    () => {
      const [mine, other] = [start(), start({ name: "other" })];
      for (const run of [mine, other]) stop(run);
      const { checkpoints } = mine.paths;
      fs.rmdirSync(checkpoints);
      fs.symlinkSync(join("..", "other", "checkpoints"), checkpoints);
      expect(() => start()).toThrow(/leads to the checkpoints of another run \(.*other\)/);
      fs.rmSync(checkpoints);
      fs.mkdirSync(join(root, "disk"));
      fs.symlinkSync(join("..", "disk"), checkpoints);
      expect(start().resumed).toBe(true);
    },
  );

  test("store NaN and infinities as null, so that every line is JSON (pitfall G2)", () => {
    const run = start();
    for (const value of [Number.NaN, Infinity, -Infinity]) run.appendMetrics(line(1, value));
    expect(readJournal<MetricsLine>(run.paths.metrics).map(({ metrics }) => metrics.loss)).toEqual([
      null,
      null,
      null,
    ]);
  });

  test("drop a torn last line when they are opened, whatever its length", () => {
    const path = join(root, "torn.jsonl");
    const whole = `{"a":"é"}\n{"b":2}\n`;
    for (const torn of ["", "{", `{"long":"${"x".repeat(200_000)}`]) {
      fs.writeFileSync(path, whole + torn);
      expect(readJournal(path)).toEqual([{ a: "é" }, { b: 2 }]);
      const journal = new Journal(path);
      expect(journal.position()).toBe(Buffer.byteLength(whole));
      journal.append({ c: 3 });
      journal.close();
      expect(fs.readFileSync(path, "utf8")).toBe(`${whole}{"c":3}\n`);
    }
    fs.writeFileSync(path, "{ no line end");
    new Journal(path).close();
    expect(fs.readFileSync(path, "utf8")).toBe("");
  });

  test("a broken line in the middle is named", () => {
    const path = join(root, "broken.jsonl");
    fs.writeFileSync(path, '{"a":1}\noops\n');
    expect(() => readJournal(path)).toThrow(/broken\.jsonl:2 is not a line of JSON/);
    expect(() => readJournal(path)).toThrow(UserError);
  });

  test("lines of every length are read whole, across the pieces in which a file is read", () => {
    const path = join(root, "long.jsonl");
    const values = [0, 2 ** 20 - 3, 2 ** 20, 3 * 2 ** 20, 1].map((length) => "\u00e4".repeat(length));
    fs.writeFileSync(path, `${values.map((value) => JSON.stringify(value)).join("\n")}\n"torn`);
    expect(readJournal(path)).toEqual(values);
  });

  test("a full disk is said in words and leaves whole lines", () => {
    const run = start();
    run.appendMetrics(line(1));
    const write = fs.writeSync.bind(fs) as (
      file: number,
      bytes: Uint8Array,
      offset: number,
      length?: number,
    ) => number;
    let calls = 0;
    vi.spyOn(fs, "writeSync").mockImplementation(((file: number, bytes: Uint8Array, offset: number) => {
      // Half of the line fits.
      if (calls++ === 0) return write(file, bytes, offset, 10);
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    }) as typeof fs.writeSync);
    expect(() => run.appendMetrics(line(2))).toThrow(/The disk is full: .*metrics\.jsonl.*Free some space/);
    vi.restoreAllMocks();
    expect(fs.readFileSync(run.paths.metrics, "utf8")).toBe(`${JSON.stringify(line(1))}\n`);
    run.appendMetrics(line(2));
    expect(stepsIn(run)).toEqual([1, 2]);
  });
});

describe("resuming", () => {
  test("shows each step once: checkpoint at 10, killed at 17, resumed to 30 (pitfall G1)", () => {
    const run = start();
    let position = run.position();
    for (let step = 1; step <= 17; step++) {
      run.appendMetrics(line(step, -1));
      if (step === 10) position = run.position();
    }
    run.appendEvaluation({ label: "late" } as EvaluationRecord);
    stop(run);
    fs.appendFileSync(run.paths.metrics, '{"stage":"ba');

    const again = start();
    expect(again.resumed).toBe(true);
    expect(again.info.sessions).toHaveLength(2);
    expect(again.truncateTo(position)).toBeNull();
    for (let step = 11; step <= 30; step++) again.appendMetrics(line(step));
    expect(stepsIn(again)).toEqual(Array.from({ length: 30 }, (_, index) => index + 1));
    expect(readJournal<MetricsLine>(again.paths.metrics)[16]!.metrics.loss).toBe(17);
    expect(readJournal(again.paths.evaluations)).toEqual([]);
  });

  test("takes nothing back of what was charged, drops a torn charge, and takes over an older version's bill", () => {
    const run = start();
    const line = { stage: "base", flops: 7, seconds: 3, tokens: 4, wattHours: null, dollars: null };
    const old = { sessions: [{ startedAt: "t", lines: [line] }] } as unknown as BillFile;
    run.writeBill(old);
    stop(run);
    const again = start();
    expect(again.charges()).toMatchObject([{ session: 0, stage: "base", flops: 7, trained: 4, step: null }]);
    const book = new BillBook(
      { watts: null, dollarsPerHour: null, method: "" },
      again.info.sessions,
      again.charges(),
    );
    again.appendCharge(book.charge({ stage: "base", step: 1, ends: true, flops: 1, seconds: 1 }));
    again.truncateTo(null);
    stop(again);
    fs.appendFileSync(again.paths.charges, '{"session":1,"st');
    expect(
      start()
        .charges()
        .map(({ flops }) => flops),
    ).toEqual([7, 1]);
  });

  test("before the first checkpoint begins the curves again", () => {
    const run = start();
    run.appendMetrics(line(1));
    stop(run);
    const again = start();
    expect(again.truncateTo(null)).toBeNull();
    expect(stepsIn(again)).toEqual([]);
  });

  test("with lines lost says so", () => {
    const run = start();
    run.appendMetrics(line(1));
    run.appendMetrics(line(2));
    const position = run.position();
    stop(run);
    fs.truncateSync(run.paths.metrics, 10);
    expect(start().truncateTo(position)).toMatch(/bytes of earlier metrics are missing/);
  });

  test("refuses another recipe, says where it differs and what to do", () => {
    stop(start());
    const other = { ...recipe, seed: 2, stages: recipe.stages.slice(0, 3) };
    expect(() => start({}, other)).toThrow(
      /another recipe.*\n {2}seed: 1 there, 2 here\n.*absent here[\s\S]*--fresh/,
    );
    expect(start({ name: "other" }, other).resumed).toBe(false);
  });

  test("fresh keeps the earlier run under another name", () => {
    const run = start();
    run.appendMetrics(line(1));
    stop(run);
    const fresh = start({ fresh: true }, { ...recipe, seed: 2 });
    expect(fresh.resumed).toBe(false);
    expect(fresh.movedTo).toBe(`${fresh.folder}.1`);
    expect(readJournal(join(fresh.movedTo!, "metrics.jsonl"))).toHaveLength(1);
    stop(fresh);
    expect(start({ fresh: true }).movedTo).toBe(`${fresh.folder}.2`);
  });
});

describe("what is not a run's stays as it is", () => {
  test.each(["../x", "..", ".", "", "a/b", "-x", ".hidden", "a\nb", "~", "a".repeat(101)])(
    "a run cannot be called %j",
    (name) => {
      fs.writeFileSync(join(root, "kept"), "mine");
      for (const fresh of [false, true])
        expect(() => start({ name, fresh })).toThrow(/A run cannot be called .* letters, digits/);
      expect(fs.readdirSync(root)).toEqual(["kept"]);
    },
  );

  test("a folder of that name with other files is refused; fresh keeps it under another name", () => {
    const folder = join(root, recipe.name);
    fs.mkdirSync(folder);
    fs.writeFileSync(join(folder, "recipe.yaml"), "for pancakes");
    expect(() => start()).toThrow(/holds no run, but other files: recipe\.yaml/);
    expect(fs.readdirSync(folder)).toEqual(["recipe.yaml"]);
    const run = start({ fresh: true });
    expect(run.movedTo).toBe(`${folder}.1`);
    expect(fs.readFileSync(join(`${folder}.1`, "recipe.yaml"), "utf8")).toBe("for pancakes");
  });
});

describe("the lock", () => {
  test("keeps a second writer out and names the first", () => {
    start();
    expect(() => start()).toThrow(UserError);
    expect(() => start({ fresh: true })).toThrow(`process ${process.pid}`);
  });

  test("of a dead process is taken over; of a reused process id too; of another machine it is believed", () => {
    const path = start().paths.lock;
    stop(open[0]!);
    expect(fs.existsSync(path)).toBe(false);
    const { hostname } = JSON.parse(
      spawnSync(process.execPath, ["-p", "JSON.stringify({ hostname: os.hostname() })"], { encoding: "utf8" })
        .stdout,
    );
    const dead = spawnSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }).stdout.trim();
    const stale = [
      JSON.stringify({ pid: Number(dead), host: hostname, started: "1" }),
      JSON.stringify({ pid: process.pid, host: hostname, started: "1" }),
      "",
    ];
    for (const text of process.platform === "linux" ? stale : [stale[0]!, ""]) {
      fs.writeFileSync(path, text);
      stop(start());
    }
    fs.writeFileSync(path, JSON.stringify({ pid: Number(dead), host: `not-${hostname}`, started: "1" }));
    expect(() => start()).toThrow(/on not-.* remove /);
    expect(fs.readdirSync(join(root, recipe.name)).filter((file) => file.startsWith("lock"))).toEqual([
      "lock.json",
    ]);
  });
});
