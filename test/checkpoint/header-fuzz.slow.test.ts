/** 100,000 damaged and hostile safetensors headers: each is refused in words, or describes the file exactly. */
import { expect, it } from "vitest";
import { DTYPES } from "../../src/checkpoint/dtypes.ts";
import { headerLength, parseHeader } from "../../src/checkpoint/safetensors.ts";
import { isUserError } from "../../src/lib/errors.ts";

const RUNS = 100_000;
const SEED = 20260103;

const valid = JSON.stringify({
  __metadata__: { format: "pt" },
  "model.embed_tokens.weight": { dtype: "F32", shape: [4, 2], data_offsets: [0, 32] },
  "model.norm.weight": { dtype: "BF16", shape: [2], data_offsets: [32, 36] },
  bias: { dtype: "F8_E4M3", shape: [], data_offsets: [36, 37] },
  none: { dtype: "I64", shape: [0, 3], data_offsets: [37, 37] },
});
const DATA = 37;

/** What attackers and broken disks write. */
const PIECES = [
  ...[
    "0",
    "-1",
    "1e999",
    "9007199254740993",
    "18446744073709551615",
    "0.5",
    "null",
    "true",
    '""',
    "{}",
    "[]",
  ],
  ...[
    "[[[[",
    "}",
    ",",
    '"__proto__":{}',
    '"shape":[4294967296,4294967296]',
    '"F64"',
    "\ufeff",
    "\\ud800",
    "[0,64]",
  ],
  ...["1000000000000000", '"data_offsets":[0,37]', '"constructor"', "32", "36", "37"],
].map((text) => Buffer.from(text));

function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

it(`${RUNS} mutations`, () => {
  const below = random(SEED);
  const counts = { accepted: 0, refused: 0 };
  for (let run = 0; run < RUNS; run++) {
    let bytes = Buffer.from(valid);
    for (let change = below(3); change >= 0; change--) {
      const at = below(bytes.length);
      const kind = below(5);
      if (kind === 0) bytes[at] = below(256);
      else if (kind === 1)
        bytes = Buffer.concat([bytes.subarray(0, at), PIECES[below(PIECES.length)]!, bytes.subarray(at)]);
      else if (kind === 2)
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          bytes.subarray(Math.min(bytes.length, at + 1 + below(8))),
        ]);
      else if (kind === 3)
        bytes = Buffer.from(
          bytes.toString("latin1").replace(/\d+/, PIECES[below(PIECES.length)]!.toString("latin1")),
          "latin1",
        );
      else if (at > 0) bytes = bytes.subarray(0, at);
      if (bytes.length === 0) break;
    }
    // The claimed length is its own, or anything.
    const size = 8 + bytes.length + DATA;
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(
      below(4) === 0 ? BigInt(below(2 ** 31)) << BigInt(below(33)) : BigInt(bytes.length),
    );
    try {
      const length = headerLength("f", prefix, size);
      // Nothing larger than the file is ever allocated.
      expect(length).toBeLessThanOrEqual(size - 8);
      const header = parseHeader("f", Buffer.concat([bytes, Buffer.alloc(DATA)]).subarray(0, length), size);
      let end = header.dataStart;
      for (const { dtype, shape, begin, end: last } of [...header.tensors.values()].sort(
        (a, b) => a.begin - b.begin || a.end - b.end,
      )) {
        expect(header.dataStart + begin).toBe(end);
        expect(last - begin).toBe(shape.reduce((product, n) => product * n, DTYPES[dtype].bytes));
        end = header.dataStart + last;
      }
      expect(end).toBe(size);
      counts.accepted++;
    } catch (error) {
      if (!isUserError(error, "checkpoint")) throw error;
      expect(error.remedy).not.toBe("");
      counts.refused++;
    }
  }
  // Some mutations are harmless, such as a letter of a name.
  expect(counts.accepted).toBeGreaterThan(RUNS / 100);
  expect(counts.refused).toBeGreaterThan(RUNS / 2);
}, 240_000);
