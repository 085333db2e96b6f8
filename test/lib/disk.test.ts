import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { onDisk, openToRead, readInto, replaceFile, writeAll, writeDurably } from "../../src/lib/disk.ts";
import { isUserError } from "../../src/lib/errors.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { WRITES, withFaults } from "./faults.ts";

const folder = temporaryFolder();
const file = join(folder, "file");
const coded = (code: string) => () => {
  throw Object.assign(new Error(`${code}: refused`), { code });
};
const failure = (action: () => unknown): unknown => {
  try {
    action();
  } catch (error) {
    return error;
  }
  return null;
};

describe("writing", () => {
  it("a write that takes one byte at a time, from a position on", () => {
    fs.writeFileSync(file, "0123456789");
    const handle = fs.openSync(file, "r+");
    type Write = (handle: number, bytes: Uint8Array, offset: number, length: number, at: number) => number;
    const short = (_: string, real: unknown) =>
      ((handle, bytes, offset, _length, at) => (real as Write)(handle, bytes, offset, 1, at)) as Write;
    withFaults(["writeSync"], short, () => writeAll(handle, Buffer.from("abc"), 4));
    fs.closeSync(handle);
    expect(fs.readFileSync(file, "utf8")).toBe("0123abc789");
  });

  it("text, and pieces that are made one after the other", () => {
    writeDurably(file, "täxt");
    expect(fs.readFileSync(file, "utf8")).toBe("täxt");
    replaceFile(file, [Buffer.from("one "), new Uint8Array(), Buffer.from("two")]);
    expect(fs.readFileSync(file, "utf8")).toBe("one two");
  });

  it("a replacement that fails at any operation: the old file or the new one, and nothing else", () => {
    let operations = 0;
    const failing = (at: number) => {
      operations = 0;
      withFaults(
        WRITES,
        (_, real) =>
          (...args) =>
            ++operations === at ? coded("EIO")() : real(...args),
        () => replaceFile(file, "new"),
      );
    };
    failing(0);
    const total = operations;
    const seen = new Set<string>();
    for (let at = 1; at <= total; at++) {
      fs.writeFileSync(file, "old");
      expect(
        isUserError(
          failure(() => failing(at)),
          "disk",
        ),
      ).toBe(true);
      seen.add(fs.readFileSync(file, "utf8"));
      expect(fs.readdirSync(folder)).toEqual(["file"]);
    }
    expect([...seen].sort()).toEqual(["new", "old"]);
  });
});

it.each([
  ["ENOSPC", /^The disk is full: a\/b could not be written\. .*Free some space/],
  ["EDQUOT", /^Your disk quota is used up: a\/b/],
  ["EFBIG", /^The file system takes no larger file: a\/b/],
  ["EACCES", /^a\/b may not be written \(EACCES\)\. Change its permissions/],
  ["EROFS", /^a\/b may not be written \(EROFS\)\./],
  ["EIO", /^a\/b could not be written: EIO: refused\. Check the disk/],
])("%s in words", (code, message) => {
  const error = failure(() => onDisk("a/b", coded(code)));
  expect(isUserError(error, "disk") && error.message).toMatch(message);
});

it("an error that is not the system's stays as it is", () => {
  const error = new TypeError("a fault of ours");
  expect(
    failure(() =>
      onDisk("a/b", () => {
        throw error;
      }),
    ),
  ).toBe(error);
});

describe("reading", () => {
  const open = (path: string) => failure(() => openToRead(path, (found) => new Error(found))) as Error;

  it("says what is there instead of a file", () => {
    expect(open(folder).message).toBe("a folder, not a file");
    expect(open("/dev/null").message).toBe("a pipe or a device, not a file");
    expect(open(join(folder, "none")).message).toBe("no such file");
    fs.symlinkSync("gone", join(folder, "link"));
    expect(open(join(folder, "link")).message).toBe("a link to gone, which is not there");
  });

  it("fills as much of the target as the file has", () => {
    fs.writeFileSync(file, "0123456789");
    const handle = openToRead(file, (found) => new Error(found));
    const target = new Uint8Array(6);
    expect(readInto(handle, 2, target)).toBe(6);
    expect(Buffer.from(target).toString()).toBe("234567");
    expect(readInto(handle, 7, target)).toBe(3);
    fs.closeSync(handle);
  });
});
