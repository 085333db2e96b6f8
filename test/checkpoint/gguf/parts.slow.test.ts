/** Models in several files, as llama-gguf-split writes them. */
import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { GgufFile, partName } from "../../../src/checkpoint/gguf/file.ts";
import { exportGguf, loadGguf } from "../../../src/checkpoint/gguf/model.ts";
import { type MetadataValue, text, u32 } from "../../../src/checkpoint/gguf/values.ts";
import { type GgufTensor, writeGguf } from "../../../src/checkpoint/gguf/write.ts";
import { holdsModel, openModelFiles, readShape } from "../../../src/checkpoint/model.ts";
import { isUserError, type UserError } from "../../../src/lib/errors.ts";
import { Random } from "../../../src/lib/random.ts";
import { temporaryFolder } from "../temporary.ts";

const root = temporaryFolder();
const shipped = new URL("../../../models/tiny-r1-zero", import.meta.url).pathname;
const whole = join(root, "whole.gguf");
exportGguf(shipped, whole, { dtype: "Q8_0" });

interface Cut {
  count?: number;
  /** Number of a tensor -> number of its part. */
  place?: (i: number) => number;
  total?: number;
  /** What a part says its number is. */
  no?: (part: number) => number;
  ending?: string;
}

/** The whole file in `count` parts; the metadata go into the first, as upstream's tool does it. */
function split({ count = 3, place = (i) => i % 3, total, no = (part) => part, ending = ".gguf" }: Cut = {}) {
  const folder = fs.mkdtempSync(join(root, "split-"));
  const opened = new GgufFile(whole);
  const { metadata, tensors } = opened.header;
  const all = [...tensors].map(
    ([name, { shape, type }]): GgufTensor => ({
      ...{ name, shape, type: type as GgufTensor["type"] },
      pieces: () => [opened.read(name)],
    }),
  );
  const paths = Array.from({ length: count }, (_, part) => {
    const digits = (n: number) => String(n).padStart(5, "0");
    const path = join(folder, `tiny-${digits(part + 1)}-of-${digits(count)}${ending}`);
    const entries: [string, MetadataValue][] = [
      ...(part === 0 ? metadata : [["general.architecture", text("llama")] as [string, MetadataValue]]),
      ["split.no", { type: "U16", value: no(part) }],
      ["split.count", { type: "U16", value: count }],
      ["split.tensors.count", { type: "I32", value: total ?? all.length }],
    ];
    writeGguf(
      path,
      new Map(entries),
      all.filter((_, i) => place(i) === part),
    );
    return path;
  });
  opened.close();
  return paths;
}

const expected = loadGguf(whole);
/** Decoded Q8_0 is written as the same codes again. */
function same(path: string): void {
  const loaded = openModelFiles(path);
  expect(loaded.config).toEqual(expected.config);
  expect(loaded.tokenizer.encode("3 + 4 = 7")).toEqual(expected.tokenizer.encode("3 + 4 = 7"));
  expect([...loaded.parameters.keys()].sort()).toEqual([...expected.parameters.keys()].sort());
  for (const [name, { data }] of expected.parameters)
    expect(Buffer.from(loaded.parameters.get(name)!.data.buffer).equals(Buffer.from(data.buffer)), name).toBe(
      true,
    );
}

describe("opened from any part", () => {
  const paths = split();
  it.each([0, 1, 2])("part %s", (part) => same(paths[part]!));

  it("the first part holds nothing but metadata (--no-tensor-first-split)", () =>
    same(split({ count: 4, place: (i) => 1 + (i % 3) })[3]!));

  it("one part of one, and an ending in capitals", () => {
    same(split({ count: 1, place: () => 0 })[0]!);
    const [, second] = split({ ending: ".GGUF" });
    expect(holdsModel(second!)).toBe(true);
    expect(readShape(second!).config).toEqual(expected.config);
    same(second!);
  });

  it("part names keep their prefix and ending", () => {
    expect(partName("a-00001-of-00002-00002-of-00012.GGUF", 11)).toBe("a-00001-of-00002-00011-of-00012.GGUF");
  });
});

describe("refused, with the parts by name", () => {
  const failing = (path: string): UserError => {
    let error: unknown;
    try {
      loadGguf(path);
    } catch (caught) {
      error = caught;
    }
    expect(isUserError(error, "checkpoint")).toBe(true);
    return error as UserError;
  };

  it("missing parts", () => {
    const paths = split();
    fs.rmSync(paths[0]!);
    fs.rmSync(paths[2]!);
    const { message, remedy } = failing(paths[1]!);
    expect(message).toContain(
      "expected all 3 parts of the model beside it, found 1; missing: tiny-00001-of-00003.gguf, tiny-00003-of-00003.gguf",
    );
    expect(remedy).toContain("Download the missing parts");
  });

  it("a renamed part", () => {
    const [first] = split();
    const renamed = join(root, "renamed.gguf");
    fs.copyFileSync(first!, renamed);
    expect(failing(renamed).message).toMatch(
      /split.count: expected a name such as model-00001-of-00003.gguf: it is one part of 3, found renamed.gguf/,
    );
    // Its own number is another than its name says.
    expect(failing(split({ no: (part) => 2 - part })[0]!).message).toMatch(
      /expected a name such as model-00003-of-00003.gguf/,
    );
  });

  it("a part of another model", () => {
    const paths = split();
    fs.copyFileSync(split({ count: 4, place: (i) => i % 4 })[1]!, paths[1]!);
    expect(failing(paths[0]!).message).toMatch(
      /tiny-00002-of-00003.gguf, key split.count: expected 3, by its name, found 4/,
    );
    const swapped = split();
    fs.copyFileSync(swapped[1]!, swapped[2]!);
    expect(failing(swapped[0]!).message).toMatch(
      /tiny-00003.*key split.no: expected 2, by its name, found 1/,
    );
  });

  it("tensors that are twice there, or too few", () => {
    const twice = split();
    const other = split({ place: (i) => (i + 1) % 3 });
    fs.copyFileSync(other[1]!, twice[1]!);
    expect(failing(twice[0]!).message).toMatch(/tensor .*: expected each tensor once, found another copy in/);
    const total = expected.parameters.size;
    expect(failing(split({ total: total + 1 })[0]!).message).toMatch(
      new RegExp(`split.tensors.count: expected ${total}, the tensors of all parts, found ${total + 1}`),
    );
  });
});

it("600 damaged parts: sound, or a UserError", () => {
  const paths = split();
  const good = paths.map((path) => fs.readFileSync(path));
  const random = new Random("parts", 7);
  const counts = { sound: 0, refused: 0 };
  for (let run = 0; run < 600; run++) {
    const part = random.integer(0, 2);
    const bytes = Buffer.from(good[part]!);
    const at = random.integer(8, part === 0 ? 4000 : 600);
    const kind = random.integer(0, 3);
    if (kind === 0) bytes[at] = random.integer(0, 255);
    else if (kind === 1) bytes.writeUInt32LE([0, 1, 2 ** 31, 2 ** 32 - 1][random.integer(0, 3)]!, at);
    else if (kind === 2) bytes.copyWithin(at, random.integer(8, 600));
    fs.writeFileSync(paths[part]!, kind === 3 ? bytes.subarray(0, at) : bytes);
    try {
      readShape(paths[random.integer(0, 2)]!);
      counts.sound++;
    } catch (error) {
      if (!["UserError", "TokenizerError"].includes((error as Error).name)) throw error;
      expect((error as Error).message.length).toBeLessThan(3000);
      counts.refused++;
    }
    fs.writeFileSync(paths[part]!, good[part]!);
  }
  expect(counts.refused).toBeGreaterThan(150);
  expect(counts.sound).toBeGreaterThan(10);
}, 60_000);

it("a count in the header alone opens nothing", () => {
  const path = join(root, "alone-00001-of-65535.gguf");
  writeGguf(
    path,
    new Map<string, MetadataValue>([
      ["split.no", u32(0)],
      ["split.count", u32(65535)],
    ]),
    [],
  );
  expect(() => loadGguf(path)).toThrow(/found 1; missing: alone-00002-of-65535.gguf, .* and 65526 more/);
});
