import { describe, expect, it } from "vitest";
import { DTYPES, fromFloat16, toBfloat16, toFloat16 } from "../../src/checkpoint/dtypes.ts";

const fromBfloat16 = (bits: number) => DTYPES.BF16.decode(new Uint8Array(Uint16Array.of(bits).buffer))[0]!;

const words = Array.from({ length: 65536 }, (_, bits) => bits);

describe("bf16", () => {
  // Pitfall C6: the bit patterns that a table forgets.
  it.each([
    [0x3f80, 1],
    [0x0001, 2 ** -133],
    [0x7fc0, Number.NaN],
    [0xff80, Number.NEGATIVE_INFINITY],
    [0x8000, -0],
    [0x4049, 3.140625],
    [0x7f7f, (2 - 2 ** -7) * 2 ** 127],
  ])("%i is %d", (bits, value) => {
    expect(fromBfloat16(bits)).toBe(value);
    expect(toBfloat16(value)).toBe(bits);
  });

  it.each([
    ["halfway, even below", 1 + 2 ** -8, 0x3f80],
    ["halfway, even above", 1 + 3 * 2 ** -8, 0x3f82],
    ["just above halfway", 1 + 2 ** -8 + 2 ** -20, 0x3f81],
    ["largest f32 rounds to infinity", 3.4028234663852886e38, 0x7f80],
    ["smallest f32 subnormal", 2 ** -149, 0x0000],
    ["negative halfway", -(1 + 2 ** -8), 0xbf80],
  ])("rounds to nearest even: %s", (_, value, bits) => {
    expect(toBfloat16(value)).toBe(bits);
  });

  it("keeps every word but the NaNs' payloads", () => {
    for (const bits of words) {
      const value = fromBfloat16(bits);
      if (Number.isNaN(value)) expect(fromBfloat16(toBfloat16(value))).toBeNaN();
      else if (toBfloat16(value) !== bits) expect.unreachable(`${bits}`);
    }
  });
});

describe("f16", () => {
  it.each([
    [0x3c00, 1],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x0400, 2 ** -14],
    [0x03ff, 1023 * 2 ** -24],
    [0x0001, 2 ** -24],
    [0x8000, -0],
    [0x7c00, Number.POSITIVE_INFINITY],
    [0x3555, 0.333251953125],
  ])("%i is %d", (bits, value) => {
    expect(fromFloat16(bits)).toBe(value);
    expect(toFloat16(value)).toBe(bits);
  });

  it.each([
    ["halfway, even below", 1 + 2 ** -11, 0x3c00],
    ["halfway, even above", 1 + 3 * 2 ** -11, 0x3c02],
    ["65519.99 stays finite", 65519.99, 0x7bff],
    ["65520 is infinite", 65520, 0x7c00],
    ["half of the smallest goes to zero", 2 ** -25, 0x0000],
    ["a little more does not", 2 ** -25 * 1.001, 0x0001],
    ["the largest subnormal rounds up to normal", 1023.5 * 2 ** -24, 0x0400],
    ["NaN stays NaN", Number.NaN, 0x7e00],
  ])("rounds to nearest even: %s", (_, value, bits) => {
    expect(toFloat16(value)).toBe(bits);
  });

  it("keeps every word but the NaNs' payloads", () => {
    for (const bits of words) {
      const value = fromFloat16(bits);
      if (Number.isNaN(value)) expect(fromFloat16(toFloat16(value))).toBeNaN();
      else if (toFloat16(value) !== bits) expect.unreachable(`${bits}`);
    }
  });
});

it("every type's own bytes come back", () => {
  const raw = Uint8Array.from([0, 0, 128, 63, 0, 0, 0, 64]);
  for (const [name, element] of Object.entries(DTYPES)) {
    const data = element.decode(raw.slice());
    expect([name, data.length]).toEqual([name, 8 / element.bytes]);
    expect([name, element.encode(data as never)]).toEqual([name, raw]);
  }
});
