import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadModel } from "../../src/checkpoint/folder.ts";
import { exactJson } from "../../src/checkpoint/json.ts";
import {
  latestCheckpoint,
  loadCheckpoint,
  pruneCheckpoints,
  saveCheckpoint,
  type TrainingState,
} from "../../src/checkpoint/resume.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { WRITES, withFaults } from "../lib/faults.ts";
import { temporaryFolder } from "./temporary.ts";

const root = temporaryFolder();
let next = 0;
const newDir = () => join(root, `run-${next++}`, "checkpoints");

const numbers = [0.1, -0, 5e-324, Number.MAX_VALUE, -0.14285714285714285, 1 / 3, 2 ** 53 + 2];
const tensors = new Map([
  ["adam.m", { shape: [2, 2], data: Float32Array.of(1, -0, 1e-45, 3) }],
  ["adam.v", { shape: [600], data: new Float32Array(600).fill(0.1) }],
]);
const content = (mark: number): TrainingState => ({
  tensors,
  state: {
    mark,
    cursor: 12,
    random: [1, 2 ** 32 - 1],
    rollouts: [{ ids: [5, 6], logProbs: numbers, text: "\ud83d é" }],
  },
  model: {
    config: {
      vocabSize: 29,
      layers: 1,
      hiddenSize: 4,
      heads: 1,
      kvHeads: 1,
      headDim: 4,
      intermediateSize: 4,
      maxPositions: 8,
      ropeTheta: 10000,
      normEps: 1e-6,
      tieEmbeddings: false,
    },
    parameters: new Map([["w", { shape: [3], data: Float32Array.of(1, 2, mark) }]]),
    tokenizer: new CompactTokenizer(),
  },
});
const markOf = (path: string) => (loadCheckpoint(path).state as { mark: number }).mark;
/** Real but for waiting on the disk, which is slow where tests run. */
const hasty = <T>(action: () => T): T => withFaults(["fsyncSync"], () => () => undefined, action);

/** One saved checkpoint of step 100 to start from, copied since real saves wait for the disk. */
const template = join(root, "template");
saveCheckpoint(template, 100, content(1));
function prepared(): string {
  const dir = newDir();
  fs.cpSync(template, dir, { recursive: true });
  return dir;
}

/**
 * Runs the real operations (but for waiting on the disk) until the `failAt`-th, which throws `error`; a killed process does
 * nothing after it. @returns how many there were
 */
function failing(failAt: number, error: () => Error, killed: boolean, action: () => unknown): number {
  let calls = 0;
  withFaults(
    WRITES,
    (name, real) =>
      (...args) => {
        calls++;
        if (calls === failAt || (killed && calls > failAt)) throw error();
        return name === "fsyncSync" ? undefined : real(...args);
      },
    action,
  );
  return calls;
}
const coded = (code: string) => () => Object.assign(new Error(code), { code });

/** How many file operations one save makes, so that each can be made to fail. */
function countOperations(step: number): number {
  const dir = prepared();
  return failing(Number.POSITIVE_INFINITY, coded("none"), false, () => saveCheckpoint(dir, step, content(2)));
}

describe("saveCheckpoint", () => {
  it("restores every number bit for bit", () => {
    const dir = newDir();
    const path = saveCheckpoint(dir, 123, content(7));
    expect(path).toBe(join(dir, "step-000123"));
    const loaded = loadCheckpoint(path);
    expect(loaded.step).toBe(123);
    expect(loaded.state).toEqual(content(7).state);
    const { rollouts } = loaded.state as { rollouts: { logProbs: number[] }[] };
    expect(rollouts[0]!.logProbs.every((value, i) => Object.is(value, numbers[i]))).toBe(true);
    expect(loaded.tensors).toEqual(tensors);
    expect(loadModel(loaded.modelFolder!).parameters.get("w")!.data).toEqual(Float32Array.of(1, 2, 7));
    expect(fs.readdirSync(dir)).toEqual(["step-000123"]);
  });

  it.each([
    ["a new step", 200],
    ["the same step again", 100],
  ])("killed at any operation of %s: the old one or the new one is whole", (_, step) => {
    const operations = countOperations(step);
    expect(operations).toBeGreaterThan(30);
    const seen = new Set<number>();
    for (let failAt = 1; failAt <= operations; failAt++) {
      const dir = prepared();
      const save = () => saveCheckpoint(dir, step, content(2));
      expect(() => failing(failAt, coded("KILLED"), true, save)).toThrow("KILLED");
      const found = latestCheckpoint(dir, (message) => expect.unreachable(message));
      const mark = markOf(found!.path);
      seen.add(mark);
      expect([failAt, mark === 1 ? 100 : step]).toEqual([failAt, found!.step]);
      // The next save after a restart cleans up and succeeds.
      if (failAt % 10 === 0) {
        hasty(() => saveCheckpoint(dir, step, content(3)));
        expect(markOf(latestCheckpoint(dir)!.path)).toBe(3);
        pruneCheckpoints(dir, 1);
        expect(fs.readdirSync(dir)).toHaveLength(1);
      }
    }
    expect([...seen]).toEqual([1, 2]);
  });

  it("a disk that fills up at any write: a clear error, no leftovers, the old one untouched", () => {
    const operations = countOperations(200);
    let full = 0;
    for (let failAt = 1; failAt <= operations; failAt++) {
      const dir = prepared();
      try {
        failing(failAt, coded("ENOSPC"), false, () => saveCheckpoint(dir, 200, content(2)));
      } catch (error) {
        if (!fs.existsSync(join(dir, "step-000200"))) {
          full++;
          expect(fs.readdirSync(dir)).toEqual(["step-000100"]);
        }
        expect(String(error)).toMatch(/disk is full|ENOSPC/);
      }
      expect(markOf(join(dir, "step-000100"))).toBe(1);
    }
    expect(full).toBeGreaterThan(20);
  });

  it("says what a full disk means", () => {
    const dir = newDir();
    const full = () => () => {
      throw coded("ENOSPC")();
    };
    expect(() => withFaults(["writeSync"], full, () => saveCheckpoint(dir, 1, content(1)))).toThrow(
      /The disk is full: .*state.json could not be written.*Free some space/,
    );
  });

  it.each([
    [Number.NaN, /finite numbers at state.state.x\[1\], found number NaN/],
    [Number.POSITIVE_INFINITY, /found number Infinity/],
    [undefined, /found undefined undefined/],
    [1n, /found bigint 1/],
    [Float32Array.of(1), /found a Float32Array/],
    [new Map(), /found a Map/],
  ])("refuses %s in the state", (bad, message) => {
    expect(() => saveCheckpoint(newDir(), 1, { tensors, state: { x: [0, bad] } })).toThrow(message);
  });

  it("prints exact JSON", () => {
    expect(exactJson("f", { a: -0, b: [1e21, 0.1], "é\n": null, gone: undefined })).toBe(
      '{"a":-0,"b":[1e+21,0.1],"é\\n":null}',
    );
  });
});

describe("latestCheckpoint", () => {
  const damage: [string, (path: string) => void, string][] = [
    [
      "1 KB cut off",
      (path) =>
        fs.truncateSync(
          join(path, "tensors.safetensors"),
          fs.statSync(join(path, "tensors.safetensors")).size - 1024,
        ),
      "tensors.safetensors: expected",
    ],
    [
      "1 KB too much",
      (path) => fs.appendFileSync(join(path, "tensors.safetensors"), Buffer.alloc(1024)),
      "tensors.safetensors: expected",
    ],
    [
      "a missing file",
      (path) => fs.rmSync(join(path, "model", "config.json")),
      "model/config.json is missing",
    ],
    ["a missing manifest", (path) => fs.rmSync(join(path, "manifest.json")), "no readable manifest.json"],
    [
      "a cut manifest",
      (path) => fs.truncateSync(join(path, "manifest.json"), 50),
      "no readable manifest.json",
    ],
    [
      "a changed byte",
      (path) => {
        const file = join(path, "model", "model.safetensors");
        const bytes = fs.readFileSync(file);
        bytes[bytes.length - 1]! ^= 1;
        fs.writeFileSync(file, bytes);
      },
      "model/model.safetensors: its content has changed",
    ],
  ];

  it.each(damage)("skips one with %s and names it", (_, harm, reason) => {
    const dir = prepared();
    const newer = hasty(() => saveCheckpoint(dir, 200, content(2)));
    harm(newer);
    const warnings: string[] = [];
    expect(latestCheckpoint(dir, (message) => warnings.push(message))).toEqual({
      step: 100,
      path: join(dir, "step-000100"),
    });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`skipped damaged checkpoint ${newer}: ${reason}`);
    expect(() => loadCheckpoint(newer)).toThrow(/expected a complete checkpoint/);
  });

  it("orders by number, not by name, and finds nothing in nothing", () => {
    const dir = newDir();
    expect(latestCheckpoint(dir)).toBeNull();
    hasty(() => saveCheckpoint(dir, 999_999, { tensors, state: 1 }));
    hasty(() => saveCheckpoint(dir, 1_000_000, { tensors, state: 2 }));
    fs.mkdirSync(join(dir, "step-x"));
    expect(latestCheckpoint(dir)!.step).toBe(1_000_000);
    expect(loadCheckpoint(latestCheckpoint(dir)!.path).modelFolder).toBeNull();
  });
});

describe("pruneCheckpoints", () => {
  it("keeps the newest whole ones", () => {
    const dir = newDir();
    for (const step of [1, 2, 3, 4, 5]) hasty(() => saveCheckpoint(dir, step, { tensors, state: step }));
    fs.rmSync(join(dir, "step-000004", "state.json"));
    fs.mkdirSync(join(dir, ".tmp-step-000006"));
    expect(pruneCheckpoints(dir, 2)).toEqual([join(dir, "step-000002"), join(dir, "step-000001")]);
    expect(fs.readdirSync(dir)).toEqual(["step-000003", "step-000004", "step-000005"]);
    expect(latestCheckpoint(dir, () => undefined)!.step).toBe(5);
    expect(pruneCheckpoints(dir, 3)).toEqual([]);
    expect(() => pruneCheckpoints(dir, 0)).toThrow(RangeError);
  });
});
