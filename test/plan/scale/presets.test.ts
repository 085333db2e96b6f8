/** What the presets hold: figures with sources, dated prices, and the verdict that follows from them. */
import { describe, expect, it, test } from "vitest";
import { fromHuggingFace } from "../../../src/models/architectures.ts";
import { type Gpu, gpuNamed, gpus } from "../../../src/plan/scale/gpus.ts";
import { FIRMNESS, sources } from "../../../src/plan/scale/sources.ts";
import { type System, systemNamed, systems } from "../../../src/plan/scale/systems.ts";
import { verdict } from "../../../src/plan/scale/verdict.ts";

const PAGE = /^https:\/\/[a-z0-9.-]+\.[a-z]+(\/[\w./?=&:%~#-]*)?$/;

test("every source is a page with a name", () => {
  for (const { cite, url } of Object.values(sources)) {
    expect(url).toMatch(PAGE);
    expect(cite.length).toBeGreaterThan(5);
  }
});

/** Every object in a preset that holds a figure or words, by path; and every bare number or string beside. */
function walk(value: unknown, path: string): { figures: [string, object][]; bare: [string, unknown][] } {
  if (value === null || value === undefined) return { figures: [], bare: [] };
  if (typeof value !== "object") return { figures: [], bare: [[path, value]] };
  if ("source" in value || "firmness" in value) return { figures: [[path, value]], bare: [] };
  const parts = Object.entries(value).map(([key, part]) => walk(part, `${path}.${key}`));
  return { figures: parts.flatMap(({ figures }) => figures), bare: parts.flatMap(({ bare }) => bare) };
}

describe.each(Object.entries<System>(systems))("%s", (name, system) => {
  const { shape, ...others } = system;
  const { figures, bare } = walk(others, name);

  it("gives source and firmness of every figure", () => {
    expect(figures.length).toBeGreaterThan(0);
    for (const [path, figure] of figures) {
      expect(figure, path).toMatchObject({ source: expect.any(String), firmness: expect.any(String) });
      const { source, firmness, value } = figure as { source: string; firmness: string; value?: unknown };
      expect(sources, path).toHaveProperty([source]);
      expect(FIRMNESS, path).toContain(firmness);
      if ("value" in figure) expect(value, path).toBeGreaterThan(0);
    }
  });

  it("has no number without a source but the length of its sequences", () => {
    const loose = bare.filter(
      ([path]) => !/\.(title|released|base|name|method)$|\.text\.\d+\.context$/.test(path),
    );
    expect(loose).toEqual([]);
  });

  it("has a size where it has stages, and a shape that agrees with it", () => {
    if (system.stages.length > 0) expect([system.parameters, system.active]).not.toContain(null);
    if (shape !== null) expect(() => fromHuggingFace(shape)).not.toThrow();
    if (system.base !== undefined) expect(() => systemNamed(system.base ?? "")).not.toThrow();
  });

  it("names the hours of its stages as often as their sum", () => {
    const hours = system.stages.map(({ gpuHours }) => gpuHours?.value ?? null);
    if (system.gpuHours !== null && hours.length > 0 && !hours.includes(null))
      expect(hours.reduce((a = 0, b) => (a ?? 0) + (b ?? 0), 0)).toBe(system.gpuHours.value);
  });
});

test("what nobody knows is unknown", () => {
  const { parameters, active, tokens, gpu, gpuHours } = systems["claude-3.5-sonnet"];
  expect([parameters, active, tokens, gpu, gpuHours]).toEqual([null, null, null, null, null]);
  expect(systems["gemini-ultra"].parameters).toBeNull();
  expect(systems["grok-3"].tokens).toBeNull();
  for (const name of ["deepseek-v4-pro", "deepseek-v4-flash", "deepseek-v4.1-flash"] as const)
    expect([systems[name].gpu, systems[name].gpuHours, systems[name].dollars]).toEqual([null, null, []]);
});

test("a name that is no preset is told the nearest one", () => {
  expect(systemNamed("DeepSeek-V3").title).toBe("DeepSeek-V3");
  expect(() => systemNamed("depseek-v3")).toThrow("Did you mean deepseek-v3?");
  expect(() => systemNamed("constructor")).toThrow(/is no preset/);
});

describe("GPUs", () => {
  test.each(Object.entries<Gpu>(gpus))("%s has dated prices with their pages", (_, gpu) => {
    expect(gpu.released).toMatch(/^20\d\d-\d\d-\d\d$/);
    expect(gpu.url).toMatch(PAGE);
    for (const price of [...gpu.rents, ...(gpu.purchase === null ? [] : [gpu.purchase])]) {
      expect(price.date).toMatch(/^20\d\d-\d\d(-\d\d)?$/);
      expect(price.url).toMatch(/^https:\/\//);
      expect(price.value).toBeGreaterThan(0);
    }
    // Sparse rates are twice the dense ones: FP8 is at most twice BF16.
    expect((gpu.peak.fp8 ?? 0) / gpu.peak.bf16).toBeLessThan(2.01);
  });

  it("are found however they are written, and a slip is told", () => {
    expect(gpuNamed("h100")).toBe(gpus.H100);
    expect(gpuNamed("a100 80")).toBe(gpus["A100-80"]);
    expect(() => gpuNamed("H900")).toThrow("Did you mean H800? Known: H800, H100");
    expect(() => gpuNamed("abacus")).toThrow(/^No accelerator is called "abacus"\. Known: /);
  });
});

describe("the verdict", () => {
  const { sums, ...readings } = verdict();
  const dollars = (part: "true" | "not" | "comparisons") =>
    Object.fromEntries(readings[part].map(({ reading, dollars }) => [reading, dollars]));

  it("is 5.576 and 0.294 million, 5.87 together, for 2.935 million hours at $2", () => {
    expect(sums).toMatchObject({ gpuHours: 2_935_000, v3: 5_576_000, r1: 294_000, both: 5_870_000 });
    expect(sums.gpt4OverBoth).toBeCloseTo(13.4, 1);
  });

  it("has other sums for what the claim leaves out", () => {
    const { "both, at a listed rent": listed, "V3, trials and failures": trials, ...others } = dollars("not");
    expect(listed).toEqual([2_935_000 * 3.42]);
    expect(trials).toEqual([11_152_000, 22_304_000]);
    expect(others["both with all experiments"]).toEqual([expect.closeTo(6.7505e6, 0), 58_700_000]);
    // 2,048 x 33,800 x 1.64 / 0.81
    expect(others["2,048 H800, bought"]).toEqual([51e6, expect.closeTo(140.154e6, -4)]);
    expect(others["salaries, data, old models"]).toBeNull();
  });

  it("gives GPT-4's dollars by each method, and words where its maker gives no number", () => {
    expect(dollars("comparisons")).toEqual({
      "GPT-4, amortised": [40_700_000],
      "GPT-4, rented": [78_400_000],
      "GPT-4, bought": [778_000_000],
      "GPT-4, stated": "more than $100 M",
      "Claude 3.5 Sonnet, stated": "a few $10M's",
    });
  });
});
