/** Values: reading them, views of them, and blocks that are copied between them. */
import { describe, expect, it } from "vitest";
import { Random } from "../../src/lib/random.ts";
import { allocate, type Blocks, copyBlocks, f32, host, i32, read, view } from "../../src/runtime/value.ts";

/** What `copyBlocks` promises, through a copy of the source. */
function byHand(target: number[], source: readonly number[], blocks: Required<Blocks>): number[] {
  const { count, width, from, fromStride, to, toStride } = blocks;
  const [copy, result] = [[...source], [...target]];
  for (let block = 0; block < count; block++)
    for (let i = 0; i < width; i++) result[to + block * toStride + i] = copy[from + block * fromStride + i];
  return result;
}

const counting = (length: number): number[] => Array.from({ length }, (_, i) => i);

describe("blocks", () => {
  const random = new Random("blocks");
  for (let round = 0; round < 40; round++) {
    const width = random.pick([1, 3, 32, 64, 300]);
    const count = random.integer(0, 5);
    const fromStride = width + random.integer(0, 3);
    const toStride = width + random.integer(0, 3);
    it(`${count} of ${width}, ${fromStride} apart, to ${toStride} apart`, () => {
      const blocks = {
        count,
        width,
        from: random.integer(0, 9),
        fromStride,
        to: random.integer(0, 9),
        toStride,
      };
      const length = 10 + 5 * (width + 3);
      const [source, target] = [counting(length), counting(length).map((i) => -i)];
      const value = f32(target);
      copyBlocks(value, f32(source), blocks);
      expect([...value.data]).toEqual(byHand(target, source, blocks));

      // Within one value, all towards one end.
      const [near, far] = [Math.min(blocks.from, blocks.to), Math.max(blocks.from, blocks.to)];
      const [narrow, wide] = [Math.min(fromStride, toStride), Math.max(fromStride, toStride)];
      for (const moved of [
        { count, width, from: near, fromStride: narrow, to: far, toStride: wide },
        { count, width, from: far, fromStride: wide, to: near, toStride: narrow },
      ]) {
        const same = i32(source);
        copyBlocks(same, same, moved);
        expect([...same.data]).toEqual(byHand(source, source, moved));
        const floats = f32(source);
        copyBlocks(floats, view(floats, [length]), moved);
        expect([...floats.data]).toEqual(byHand(source, source, moved));
      }
    });
  }

  it("follow one another unless said", () => {
    const value = allocate("f32", [2, 3]);
    copyBlocks(value, f32([1, 2, 3, 4]), { count: 2, width: 2 });
    expect([...value.data]).toEqual([1, 2, 3, 4, 0, 0]);
  });

  it("are of one dtype, and inside", () => {
    const [four, floats] = [allocate("f32", [4]), f32([1, 2, 3, 4])];
    expect(() => copyBlocks(four, i32([1]), { count: 1, width: 1 })).toThrow("i32 was copied into f32");
    expect(() => copyBlocks(four, floats, { count: 2, width: 2, to: 1 })).toThrow(
      "2 blocks of 2 do not fit between [4] and [4]",
    );
    expect(() => copyBlocks(four, floats, { count: 2, width: 2, fromStride: 3 })).toThrow(/do not fit/);
  });
});

it("a value is read as what it is", async () => {
  const value = i32([1, 2, 3]);
  expect(await read(value)).toBe(value.data);
  expect(await read(value, "i32")).toBe(value.data);
  await expect(read(value, "f32")).rejects.toThrow("a value of i32 [3] was read as f32");
});

it("a view has the first elements under another shape, in the same memory", () => {
  const value = f32(counting(12), [3, 4]);
  const rows = view(value, [2, 2, 2]);
  expect(rows.shape).toEqual([2, 2, 2]);
  (host(rows).data as Float32Array)[7] = 70;
  expect(value.data[7]).toBe(70);
});
